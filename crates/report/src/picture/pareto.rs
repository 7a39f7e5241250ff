//! The picture for papers: what a bit costs, on the links, in the KV cache or of a weight. Bits or bytes
//! to the right, lost perplexity or divergence upwards, a point with an error bar for every cell, and the
//! front of those that no other cell beats. The SVG is written by hand: a plotting crate has neither the
//! axis through zero nor labels that keep out of each other's way. PNG comes from it with a font of its
//! own, the same everywhere.

use super::labels::{self, Line, Pixel, Placed, Rect};
use super::palette::{self, look_of};
use super::scale::Scale;
use super::svg::{BASELINE, HEIGHT, Look, Svg};
use super::{LABEL_SIZE, LEGEND_LINE, png, text_width};
use crate::figures::Unit;
use crate::figures::front::{RULE, RULE_OF_PERPLEXITY};
use crate::figures::pairs::Loss;
use crate::figures::report::front_of;
use crate::{Report, ReportError, Row};

/// The plotting area below a legend of one line.
const AREA: Rect = Rect { x: 100.0, y: 96.0, width: 836.0, height: 428.0 };

/// What a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Picture {
    /// To the right.
    pub x: XAxis,
    /// Upwards.
    pub y: YAxis,
    /// Leaves title and subtitle away, where a caption says it.
    pub bare: bool,
    /// Cells that lose more are named below the picture instead.
    pub most: Option<f64>,
}

/// What bytes cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum XAxis {
    /// Payload bits per value over all links, or per cached value; bits per weight where models are
    /// compared.
    #[default]
    Bits,
    /// Payload bytes of one token on one link, or of its keys and values.
    Bytes,
    /// GiB of all weights, where models are compared.
    Gib,
}

/// What quality is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum YAxis {
    /// Perplexity above the baseline.
    #[default]
    Perplexity,
    /// Mean divergence from the baseline. Cells without any, exact copies, have no place on its axis.
    Divergence,
}

/// A row that has a place in the picture.
struct Point<'a> {
    row: &'a Row,
    bits: f64,
    loss: f64,
    error: f64,
    front: bool,
}

impl Report {
    /// Bits against lost perplexity as a standalone SVG with its own white background.
    #[must_use]
    pub fn pareto_svg(&self) -> String {
        self.picture_svg(&Picture::default())
    }

    /// Which rows are on the front by these axes, in their order.
    pub(crate) fn front(&self, x: XAxis, y: YAxis) -> Vec<bool> {
        front_of(&self.rows, |row| Some((x.of(row)?, y.of(row)?)), y.loss())
    }

    /// A picture as PNG, `scale` pixels for each of the SVG's 960 × 600.
    ///
    /// # Errors
    /// If the picture is too large for memory.
    pub fn picture_png(&self, picture: &Picture, scale: f32) -> Result<Vec<u8>, ReportError> {
        png::render(&self.picture_svg(picture), scale)
    }

    /// Whether a picture would show nothing: no row has both figures, in range.
    #[must_use]
    pub fn is_empty_picture(&self, picture: &Picture) -> bool {
        let most = picture.most.unwrap_or(f64::INFINITY);
        !self.rows.iter().filter_map(|row| Point::of(row, picture)).any(|point| point.loss <= most)
    }

    /// A picture as a standalone SVG with its own white background.
    #[must_use]
    pub fn picture_svg(&self, picture: &Picture) -> String {
        let on_front = self.front(picture.x, picture.y);
        let placed = self.rows.iter().zip(on_front).filter_map(|(row, front)| {
            Point::of(row, picture).map(|point| Point { front, ..point })
        });
        let mut points: Vec<Point<'_>> = placed.collect();
        let most = picture.most.unwrap_or(f64::INFINITY);
        let beyond = points.iter().filter(|point| point.loss > most).count();
        points.retain(|point| point.loss <= most);
        // Labels of the front find their places first.
        points.sort_by_key(|point| !point.front);
        let families = families(&points);
        let mut svg = Svg::new();
        if !picture.bare {
            svg.text(AREA.x, 34.0, 18.0, "start", "#111", "600", &self.title);
            svg.text(AREA.x, 54.0, 12.5, "start", "#555", "400", &self.subtitle);
        }
        let area = legend(&mut svg, &families);
        if points.is_empty() {
            let (x, y) = (area.x + area.width / 2.0, area.y + area.height / 2.0);
            svg.text(
                x,
                y,
                14.0,
                "middle",
                "#555",
                "400",
                match (picture.x, self.unit()) {
                    (XAxis::Bits, Unit::Weights) => "no model finished",
                    (_, Unit::Cache) => "no cell with bytes in its cache finished",
                    _ => "no cell with bytes on its links finished",
                },
            );
            return svg.finish();
        }
        let (x, y) = scales(&points, picture, area);
        axes(&mut svg, (&x, &y), picture, self.unit(), area);

        let places: Vec<Pixel> = points.iter().map(|p| (x.at(p.bits), y.at(p.loss))).collect();
        let mut lines = front(&points, &places);
        for (from, to) in &lines {
            svg.line(*from, *to, "#9a9a9a", 1.6, None);
        }
        for (point, &(at, _)) in points.iter().zip(&places) {
            let bar = error_bar(&mut svg, point, at, &y, look_of(point.row).color());
            lines.extend(bar);
        }
        if y.linear.is_some() {
            lines.push(((area.x, y.at(0.0)), (area.x + area.width, y.at(0.0))));
        }
        let obstacles: Vec<Rect> = places.iter().map(|&place| square(place, 6.5)).collect();
        let widths: Vec<f64> = points.iter().map(|p| text_width(&p.row.label, p.front)).collect();
        let height = LABEL_SIZE * 1.2;
        let placed = labels::place(&places, &widths, height, &obstacles, &lines, area);
        for (&place, label) in places.iter().zip(&placed) {
            if let Some(label) = label {
                leader(&mut svg, place, label);
            }
        }
        for (point, &place) in points.iter().zip(&places).rev() {
            let look = look_of(point.row);
            match point.row.imported {
                Some(_) => svg.hollow_marker(place, look),
                None => svg.marker(place, look),
            }
        }
        for (point, label) in points.iter().zip(&placed) {
            let Some(label) = label else { continue };
            let weight = if point.front { "600" } else { "400" };
            let (at, base) = (label.rect.x, label.rect.y + 0.82 * height);
            svg.text(at, base, LABEL_SIZE, "start", "#222", weight, &point.row.label);
        }
        let failed: Vec<&str> = self
            .rows
            .iter()
            .filter(|row| row.ppl.is_none())
            .map(|row| row.label.as_str())
            .collect();
        let mut missing = Vec::new();
        if !failed.is_empty() {
            missing.push(format!("failed, not shown: {}", failed.join(", ")));
        }
        if beyond > 0 {
            missing.push(format!("{beyond} cells above {most} not shown"));
        }
        if !missing.is_empty() {
            let text = missing.join("; ");
            svg.text(area.x, HEIGHT - 10.0, 11.0, "start", "#a33", "400", &text);
        }
        let mut meanings = Vec::new();
        if points.iter().any(|point| point.front) {
            meanings.push(format!("bold: {}", picture.y.rule()));
        }
        if points.iter().any(|point| point.row.imported.is_some()) {
            meanings.push("hollow: imported, bytes declared".to_owned());
        }
        let text = meanings.join("; ");
        svg.text(area.x + area.width, HEIGHT - 10.0, 11.0, "end", "#555", "400", &text);
        svg.finish()
    }
}

impl XAxis {
    fn of(self, row: &Row) -> Option<f64> {
        match self {
            Self::Bits => row.bits,
            Self::Bytes => row.bytes_per_token,
            Self::Gib => row.gib,
        }
    }
}

impl YAxis {
    fn of(self, row: &Row) -> Option<f64> {
        match self {
            Self::Perplexity => row.ppl_delta,
            Self::Divergence => row.kld_mean,
        }
    }

    fn loss(self) -> Loss {
        match self {
            Self::Perplexity => Loss::Likelihood,
            Self::Divergence => Loss::Divergence,
        }
    }

    /// What bold means.
    fn rule(self) -> &'static str {
        match self {
            Self::Perplexity => RULE_OF_PERPLEXITY,
            Self::Divergence => RULE,
        }
    }
}

impl<'a> Point<'a> {
    fn of(row: &'a Row, picture: &Picture) -> Option<Self> {
        let (bits, loss) = (picture.x.of(row)?, picture.y.of(row)?);
        let error = match picture.y {
            YAxis::Perplexity => row.ppl_delta_error,
            YAxis::Divergence => row.kld_error,
        };
        let error = error.unwrap_or(0.0);
        let drawable = bits > 0.0 && [bits, loss, error].into_iter().all(f64::is_finite);
        let placed = picture.y == YAxis::Perplexity || loss > 0.0;
        (drawable && placed).then_some(Self { row, bits, loss, error, front: false })
    }
}

fn scales(points: &[Point<'_>], picture: &Picture, area: Rect) -> (Scale, Scale) {
    let across = (area.x, area.x + area.width);
    let x = match picture.x {
        XAxis::Bits => Scale::bits(points.iter().map(|p| p.bits), across),
        XAxis::Bytes | XAxis::Gib => Scale::log(points.iter().map(|p| p.bits), across),
    };
    let up = (area.y + area.height, area.y);
    let y = match picture.y {
        YAxis::Divergence => {
            // An error bar that reaches zero would reach the end of the axis.
            let low = |p: &Point<'_>| (p.loss - p.error).max(p.loss / 3.0);
            Scale::log(points.iter().flat_map(|p| [low(p), p.loss + p.error]), up)
        }
        YAxis::Perplexity => Scale::loss(
            points.iter().map(|p| p.loss.abs().max(p.error)),
            points.iter().flat_map(|p| [p.loss - p.error, p.loss + p.error]),
            up,
        ),
    };
    (x, y)
}

/// The families of the points with their looks, the baseline first.
fn families<'a>(points: &[Point<'a>]) -> Vec<(&'a str, Look)> {
    let rows = points.iter().map(|point| point.row);
    let names = palette::families(rows).into_iter().map(|name| (name, palette::look(name)));
    let baseline = points.iter().find(|point| point.row.is_baseline());
    baseline.map(|point| (point.row.codec.as_str(), BASELINE)).into_iter().chain(names).collect()
}

/// The families and the front, in as many lines as they take. Returns the area below.
fn legend(svg: &mut Svg, families: &[(&str, Look)]) -> Rect {
    let front = "front";
    let (left, right) = (AREA.x + 6.0, AREA.x + AREA.width);
    let (mut x, mut down) = (left, 0.0);
    let mut turn = |x: &mut f64, width: f64| {
        if *x > left && *x + width > right {
            (*x, down) = (left, down + LEGEND_LINE);
        }
        76.0 + down
    };
    for (name, look) in families {
        let width = 11.0 + text_width(name, false) + 22.0;
        let y = turn(&mut x, width);
        svg.marker((x, y), *look);
        svg.text(x + 11.0, y + 4.0, LABEL_SIZE, "start", "#222", "400", name);
        x += width;
    }
    if !families.is_empty() {
        let y = turn(&mut x, 28.0 + text_width(front, false));
        svg.line((x - 6.0, y), (x + 16.0, y), "#9a9a9a", 1.6, None);
        svg.text(x + 22.0, y + 4.0, LABEL_SIZE, "start", "#222", "400", front);
    }
    Rect { y: AREA.y + down, height: AREA.height - down, ..AREA }
}

fn axes(svg: &mut Svg, (x, y): (&Scale, &Scale), picture: &Picture, unit: Unit, area: Rect) {
    let (left, right) = (area.x, area.x + area.width);
    let (top, bottom) = (area.y, area.y + area.height);
    for (value, name) in &x.ticks {
        let at = x.at(*value);
        svg.line((at, top), (at, bottom), "#ececec", 1.0, None);
        svg.text(at, bottom + 18.0, 12.0, "middle", "#444", "400", name);
    }
    for (value, name) in &y.ticks {
        let at = y.at(*value);
        let (color, dash) = if *value == 0.0 { ("#777", Some("5 4")) } else { ("#ececec", None) };
        svg.line((left, at), (right, at), color, 1.0, dash);
        svg.text(left - 8.0, at + 4.0, 12.0, "end", "#444", "400", name);
    }
    svg.line((left, bottom), (right, bottom), "#444", 1.2, None);
    svg.line((left, top), (left, bottom), "#444", 1.2, None);
    let title = match picture.x {
        XAxis::Bits => unit.bits(),
        XAxis::Bytes => unit.bytes(),
        XAxis::Gib => "GiB of all weights",
    };
    let title = format!("{title} (logarithmic)");
    svg.text((left + right) / 2.0, bottom + 42.0, 13.0, "middle", "#222", "400", &title);
    let title = match y.linear {
        Some(linear) => format!("ΔPPL, perplexity above the baseline (linear within ±{linear})"),
        None => "mean divergence from the baseline, nats per token (logarithmic)".to_owned(),
    };
    svg.vertical_text(26.0, (top + bottom) / 2.0, 13.0, "#222", &title);
}

/// The segments through the lowest points of the front, from the fewest bits to the most: what chance may have put in
/// order stands above them.
fn front(points: &[Point<'_>], places: &[Pixel]) -> Vec<Line> {
    let mut on: Vec<Pixel> =
        points.iter().zip(places).filter(|(p, _)| p.front).map(|(_, at)| *at).collect();
    on.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut lowest = f64::NEG_INFINITY;
    on.retain(|&(_, y)| {
        let lower = y > lowest;
        lowest = lowest.max(y);
        lower
    });
    on.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

/// One standard error to each side; nothing where it would hide behind the marker.
fn error_bar(svg: &mut Svg, point: &Point<'_>, x: f64, y: &Scale, color: &str) -> Option<Line> {
    let least = if y.linear.is_some() { f64::NEG_INFINITY } else { point.loss / 3.0 };
    let (low, high) = (y.at((point.loss - point.error).max(least)), y.at(point.loss + point.error));
    if low - high < 9.0 {
        return None;
    }
    svg.line((x, low), (x, high), color, 1.4, None);
    for end in [low, high] {
        svg.line((x - 4.0, end), (x + 4.0, end), color, 1.4, None);
    }
    Some(((x, low), (x, high)))
}

/// A thin line from a label that had to move away to its point.
fn leader(svg: &mut Svg, point: Pixel, label: &Placed) {
    if label.leader {
        svg.line(point, label.rect.nearest(point), "#999", 0.9, None);
    }
}

fn square((x, y): Pixel, half: f64) -> Rect {
    Rect { x: x - half, y: y - half, width: 2.0 * half, height: 2.0 * half }
}
