//! Figures as pictures: SVG written by hand, and PNG and PDF made of it.

mod frame;
mod heatmap;
mod labels;
mod legend;
pub(crate) mod palette;
mod pareto;
mod pdf;
mod png;
mod scale;
mod speed;
mod svg;

pub(crate) use self::svg::Look;

pub use self::heatmap::Heatmap;
use self::labels::Rect;
pub use self::pareto::{Picture, XAxis, YAxis};

/// The plotting area below a legend of one line.
const AREA: Rect = Rect { x: 100.0, y: 96.0, width: 836.0, height: 428.0 };
/// What every further line of a legend takes of the plotting area.
const LEGEND_LINE: f64 = 16.0;
const LABEL_SIZE: f64 = 12.0;
/// Width of a character in shares of the font size: the widest of the fonts that may be used.
const CHAR: f64 = 0.6;
const BOLD_CHAR: f64 = 0.68;

/// Width of a label, at most.
fn text_width(text: &str, bold: bool) -> f64 {
    text.chars().count() as f64 * if bold { BOLD_CHAR } else { CHAR } * LABEL_SIZE
}
