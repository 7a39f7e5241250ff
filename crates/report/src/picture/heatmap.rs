//! A matrix as a picture: a coloured cell for every value, with its scale beside it.

use super::png;
use super::svg::{HEIGHT, Svg};
use crate::ReportError;
use crate::text::format::three_digits;

/// Left, top, width and height of the cells.
const AREA: (f64, f64, f64, f64) = (100.0, 96.0, 700.0, 428.0);
/// As many columns as can be told apart; more are put together, of each group the largest value.
const MOST_COLUMNS: usize = 350;
/// Up to so many columns, each value stands in its cell.
const MOST_TEXTS: usize = 12;
/// Dark to light, the same order in grey: five colours of the map "viridis" of Matplotlib (CC0).
const COLORS: [[f64; 3]; 5] = [
    [68.0, 1.0, 84.0],
    [59.0, 82.0, 139.0],
    [33.0, 145.0, 140.0],
    [94.0, 201.0, 98.0],
    [253.0, 231.0, 37.0],
];

/// A matrix with what its axes are.
#[derive(Debug, Clone, PartialEq)]
pub struct Heatmap {
    /// Above the picture.
    pub title: String,
    /// Below the title.
    pub subtitle: String,
    /// What columns are.
    pub x: String,
    /// What rows are; the first row is at the bottom.
    pub y: String,
    /// `[rows, columns]`.
    pub values: Vec<Vec<f64>>,
    /// Whether colours go by the logarithm; values that are not positive are then left white.
    pub logarithmic: bool,
}

impl Heatmap {
    /// A standalone SVG with its own white background.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut svg = Svg::new();
        let (left, top, width, height) = AREA;
        svg.text(left, 34.0, 18.0, "start", "#111", "600", &self.title);
        svg.text(left, 54.0, 12.5, "start", "#555", "400", &self.subtitle);
        let columns = self.values.iter().map(Vec::len).max().unwrap_or(0);
        let group = columns.div_ceil(MOST_COLUMNS).max(1);
        let shown = columns.div_ceil(group);
        let finite = self.values.iter().flatten().filter_map(|value| self.position(*value));
        let (low, high) = finite
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let share = |x: f64| if high > low { (x - low) / (high - low) } else { 0.5 };
        let rows = self.values.len();
        let cell = (width / shown.max(1) as f64, height / rows.max(1) as f64);
        for (row, values) in self.values.iter().enumerate() {
            let y = top + height - (row + 1) as f64 * cell.1;
            for (column, values) in values.chunks(group).enumerate() {
                let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let Some(position) = self.position(largest) else { continue };
                let x = left + column as f64 * cell.0;
                // A little over the edge, so that no light shines through.
                svg.rect((x, y), (cell.0 + 0.3, cell.1 + 0.3), &color(share(position)));
                if shown <= MOST_TEXTS && rows <= MOST_TEXTS {
                    let place = (x + cell.0 / 2.0, y + cell.1 / 2.0 + 4.0);
                    let text = three_digits(largest);
                    svg.text(place.0, place.1, 11.0, "middle", "#111", "400", &text);
                }
            }
        }
        ticks(rows).for_each(|row| {
            let y = top + height - (row as f64 + 0.5) * cell.1 + 4.0;
            svg.text(left - 8.0, y, 12.0, "end", "#444", "400", &row.to_string());
        });
        ticks(columns).for_each(|column| {
            let x = left + (column as f64 / group as f64 + 0.5) * cell.0;
            let name = column.to_string();
            svg.text(x, top + height + 18.0, 12.0, "middle", "#444", "400", &name);
        });
        let middle = (left + width / 2.0, top + height / 2.0);
        svg.text(middle.0, top + height + 42.0, 13.0, "middle", "#222", "400", &self.x);
        svg.vertical_text(40.0, middle.1, 13.0, "#222", &self.y);
        self.scale(&mut svg, low, high);
        svg.finish(HEIGHT)
    }

    /// The same as PNG, `scale` pixels for each of the SVG's 960 × 600.
    ///
    /// # Errors
    /// If the picture is too large for memory.
    pub fn png(&self, scale: f32) -> Result<Vec<u8>, ReportError> {
        png::render(&self.svg(), scale)
    }

    /// Where a value stands on the scale of colours.
    fn position(&self, value: f64) -> Option<f64> {
        let position = if self.logarithmic { value.log10() } else { value };
        position.is_finite().then_some(position)
    }

    fn scale(&self, svg: &mut Svg, low: f64, high: f64) {
        const STEPS: usize = 64;
        if low > high {
            return;
        }
        let (left, top, width, height) = AREA;
        let x = left + width + 24.0;
        for step in 0..STEPS {
            let y = top + height - (step + 1) as f64 / STEPS as f64 * height;
            let fill = color((step as f64 + 0.5) / STEPS as f64);
            svg.rect((x, y), (18.0, height / STEPS as f64 + 0.3), &fill);
        }
        for step in 0..=4 {
            let share = f64::from(step) / 4.0;
            let position = low + share * (high - low);
            let value = if self.logarithmic { 10f64.powf(position) } else { position };
            let y = top + height - share * height + 4.0;
            svg.text(x + 24.0, y, 12.0, "start", "#444", "400", &three_digits(value));
        }
    }
}

/// Up to about ten numbers of rows or columns, evenly.
fn ticks(count: usize) -> impl Iterator<Item = usize> {
    let steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
    let step = steps.into_iter().find(|step| count.div_ceil(*step) <= 16).unwrap_or(10_000);
    (0..count).step_by(step)
}

fn color(share: f64) -> String {
    let place = share.clamp(0.0, 1.0) * (COLORS.len() - 1) as f64;
    let at = (place as usize).min(COLORS.len() - 2);
    let part = place - at as f64;
    let mix = |channel: usize| {
        let (a, b) = (COLORS[at][channel], COLORS[at + 1][channel]);
        (a + (b - a) * part).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_the_ends_have_the_colours_of_the_ends() {
        let heatmap = Heatmap {
            title: "Spearman".to_owned(),
            subtitle: "a & b".to_owned(),
            x: "layer".to_owned(),
            y: "layer".to_owned(),
            values: vec![vec![1.0, 0.1], vec![0.01, f64::NAN]],
            logarithmic: true,
        };
        let svg = heatmap.svg();
        assert!(svg.contains("#440154") && svg.contains("#fde725") && svg.contains("a &amp; b"));
        assert!(svg.contains(">0.0100<") && !svg.contains("NaN"), "{svg}");
        assert!(heatmap.png(0.5).unwrap().starts_with(b"\x89PNG"));
    }

    #[test]
    fn many_columns_are_put_together() {
        let values = vec![(0..1000).map(f64::from).collect()];
        let text = String::new();
        let heatmap = Heatmap {
            title: text.clone(),
            subtitle: text.clone(),
            x: text.clone(),
            y: text,
            values,
            logarithmic: false,
        };
        assert!(heatmap.svg().matches("<rect").count() < 450);
        assert_eq!(ticks(30).collect::<Vec<_>>().len(), 15);
    }
}
