//! Generation as a picture: tokens a second and memory against the share of the cache that is kept, at the
//! longest context that was measured.

use super::labels::{Pixel, Rect};
use super::palette::{self, SHAPES};
use super::svg::{BASELINE, HEIGHT, Look, Svg};
use super::{LABEL_SIZE, LEGEND_LINE, pdf, png, text_width};
use crate::{Report, ReportError, SpeedRow};

/// The panel to the left; the other one has the same shape.
const PANEL: Rect = Rect { x: 80.0, y: 96.0, width: 370.0, height: 428.0 };
const APART: f64 = 486.0;

/// What a panel shows of a row.
type Figure<'a> = &'a dyn Fn(&SpeedRow) -> Option<f64>;

impl Report {
    /// Speed and memory of generation as a standalone SVG; `None` without figures of `[speed]`.
    #[must_use]
    pub fn speed_svg(&self) -> Option<String> {
        let context = self.speed.iter().map(|row| row.context).max()?;
        let rows: Vec<&SpeedRow> = self.speed.iter().filter(|row| row.context == context).collect();
        let mut svg = Svg::new();
        svg.text(PANEL.x, 34.0, 18.0, "start", "#111", "600", &self.title);
        let subtitle = format!("{} · behind {context} tokens", self.subtitle);
        svg.text(PANEL.x, 54.0, 12.5, "start", "#555", "400", &subtitle);

        let mut series: Vec<(&str, Vec<&SpeedRow>)> = Vec::new();
        for row in rows.iter().copied().filter(|row| kept(row) < 1.0) {
            let name = series_of(&row.label);
            match series.iter_mut().find(|(known, _)| *known == name) {
                Some((_, rows)) => rows.push(row),
                None => series.push((name, vec![row])),
            }
        }
        let whole = rows.iter().copied().find(|row| kept(row) >= 1.0);
        let down = legend(&mut svg, &series);
        let rate = |row: &SpeedRow| Some(row.decode_tokens_per_s);
        let memory = |row: &SpeedRow| Some(row.decode_peak_bytes? as f64 / f64::from(1 << 20));
        let panels: [(&str, Figure<'_>); 2] =
            [("decode, tokens per second", &rate), ("most memory while decoding, MiB", &memory)];
        for (at, (title, value)) in panels.into_iter().enumerate() {
            let area = Rect {
                x: PANEL.x + APART * at as f64,
                y: PANEL.y + down,
                height: PANEL.height - down,
                ..PANEL
            };
            panel(&mut svg, area, title, value, &series, whole);
        }
        Some(svg.finish(HEIGHT))
    }

    /// The same as PNG, `scale` pixels for each of the SVG's 960 × 600.
    ///
    /// # Errors
    /// If the picture is too large for memory.
    pub fn speed_png(&self, scale: f32) -> Result<Option<Vec<u8>>, ReportError> {
        self.speed_svg().map(|svg| png::render(&svg, scale)).transpose()
    }

    /// The same as PDF, its text as outlines.
    ///
    /// # Errors
    /// If the picture cannot be read back, which is a mistake of this crate.
    pub fn speed_pdf(&self) -> Result<Option<Vec<u8>>, ReportError> {
        self.speed_svg().map(|svg| pdf::render(&svg)).transpose()
    }
}

fn kept(row: &SpeedRow) -> f64 {
    row.cache_bytes as f64 / row.cache_raw_bytes as f64
}

/// A label without the number that tells its cells apart.
fn series_of(label: &str) -> &str {
    match label.rsplit_once(' ') {
        Some((name, number)) if number.parse::<f64>().is_ok() => name,
        _ => label,
    }
}

/// The look of the family. Of several series of one family each has a shape of its own.
fn look(series: &[(&str, Vec<&SpeedRow>)], at: usize) -> Look {
    let family = |(_, rows): &(&str, Vec<&'_ SpeedRow>)| rows[0].family.clone();
    let own = family(&series[at]);
    let before = series[..at].iter().filter(|other| family(other) == own).count();
    let look = palette::look(&own);
    Look { shape: (look.shape + before) % SHAPES, ..look }
}

/// Names of the series, in as many lines as they take. Returns the height beyond one line.
fn legend(svg: &mut Svg, series: &[(&str, Vec<&SpeedRow>)]) -> f64 {
    let (mut x, mut down) = (PANEL.x + 6.0, 0.0);
    for (at, name) in
        std::iter::once("baseline").chain(series.iter().map(|(name, _)| *name)).enumerate()
    {
        let width = 33.0 + text_width(name, false);
        if x + width > PANEL.x + APART + PANEL.width {
            (x, down) = (PANEL.x + 6.0, down + LEGEND_LINE);
        }
        svg.marker((x, 76.0 + down), if at == 0 { BASELINE } else { look(series, at - 1) });
        svg.text(x + 11.0, 80.0 + down, LABEL_SIZE, "start", "#222", "400", name);
        x += width;
    }
    down
}

fn panel(
    svg: &mut Svg,
    area: Rect,
    title: &str,
    value: Figure<'_>,
    series: &[(&str, Vec<&SpeedRow>)],
    whole: Option<&SpeedRow>,
) {
    let (left, right, bottom) = (area.x, area.x + area.width, area.y + area.height);
    let all = series.iter().flat_map(|(_, rows)| rows.iter().copied()).chain(whole);
    let highest = all.filter_map(value).fold(0.0, f64::max) * 1.08;
    let across = |share: f64| left + share * area.width / 1.05;
    for quarter in 0..=4_u32 {
        let share = f64::from(quarter) / 4.0;
        svg.line((across(share), area.y), (across(share), bottom), "#ececec", 1.0, None);
        svg.text(across(share), bottom + 18.0, 12.0, "middle", "#444", "400", &share.to_string());
    }
    svg.line((left, bottom), (right, bottom), "#444", 1.2, None);
    svg.line((left, area.y), (left, bottom), "#444", 1.2, None);
    let middle = (left + right) / 2.0;
    let below = "share of the cache's bytes that is kept";
    svg.text(middle, bottom + 42.0, 13.0, "middle", "#222", "400", below);
    svg.vertical_text(left - 54.0, area.y + area.height / 2.0, 13.0, "#222", title);
    if highest <= 0.0 {
        svg.text(middle, area.y + area.height / 2.0, 14.0, "middle", "#555", "400", "not measured");
        return;
    }
    let up = |value: f64| bottom - value / highest * area.height;
    let step = step(highest);
    for tick in 0..=(highest / step) as u32 {
        let at = f64::from(tick) * step;
        svg.line((left, up(at)), (right, up(at)), "#ececec", 1.0, None);
        svg.text(
            left - 8.0,
            up(at) + 4.0,
            12.0,
            "end",
            "#444",
            "400",
            &format!("{}", (at * 100.0).round() / 100.0),
        );
    }
    let place = |row: &SpeedRow| Some((across(kept(row)), up(value(row)?)));
    for (at, (_, rows)) in series.iter().enumerate() {
        let mut places: Vec<Pixel> = rows.iter().copied().chain(whole).filter_map(place).collect();
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        for pair in places.windows(2) {
            svg.line(pair[0], pair[1], look(series, at).color(), 1.2, None);
        }
        for row in rows {
            if let Some(place) = place(row) {
                svg.marker(place, look(series, at));
            }
        }
    }
    if let Some(place) = whole.and_then(place) {
        svg.marker(place, BASELINE);
    }
}

/// Distance of about five marks: 1, 2 or 5 times a power of ten.
fn step(highest: f64) -> f64 {
    let power = 10_f64.powf((highest / 5.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|step| step * power)
        .into_iter()
        .find(|step| highest / step <= 6.0)
        .unwrap_or(highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_a_press_are_one_series() {
        assert_eq!(series_of("snapkv 0.5"), "snapkv");
        assert_eq!(series_of("int4 g32"), "int4 g32");
        assert_eq!(series_of("raw"), "raw");
    }

    #[test]
    fn marks_are_few_and_round() {
        assert_eq!([step(10.0), step(37.0), step(800.0), step(0.9)], [2.0, 10.0, 200.0, 0.2]);
    }
}
