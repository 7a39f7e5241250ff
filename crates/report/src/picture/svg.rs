//! The elements of the picture as SVG text.

use super::labels::Pixel;
use super::palette::{COLORS, SHAPES};
use crate::text::plain;

pub(crate) const WIDTH: f64 = 960.0;
pub(crate) const HEIGHT: f64 = 600.0;

/// SVG text under construction.
pub(crate) struct Svg(String);

/// A family's colour and shape, by their places in the palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) color: usize,
    pub(crate) shape: usize,
}

/// A look that no family has.
pub(crate) const BASELINE: Look = Look { color: COLORS.len(), shape: SHAPES };

impl Look {
    /// The colour on white; black beyond the palette.
    pub(crate) fn color(self) -> &'static str {
        COLORS.get(self.color).copied().unwrap_or("#000000")
    }
}

impl Svg {
    pub(crate) fn new() -> Self {
        Self(String::new())
    }

    fn push(&mut self, element: &str) {
        self.0.push_str(element);
        self.0.push('\n');
    }

    /// A rectangle without a border.
    pub(crate) fn rect(&mut self, (x, y): Pixel, (width, height): Pixel, color: &str) {
        self.push(&format!(
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{color}\"/>"
        ));
    }

    pub(crate) fn line(
        &mut self,
        from: Pixel,
        to: Pixel,
        color: &str,
        width: f64,
        dash: Option<&str>,
    ) {
        let dash = dash.map_or_else(String::new, |dash| format!(" stroke-dasharray=\"{dash}\""));
        self.push(&format!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{color}\" \
             stroke-width=\"{width}\"{dash}/>",
            from.0, from.1, to.0, to.1
        ));
    }

    #[expect(clippy::too_many_arguments, reason = "the attributes of one SVG element")]
    pub(crate) fn text(
        &mut self,
        x: f64,
        y: f64,
        size: f64,
        anchor: &str,
        color: &str,
        weight: &str,
        text: &str,
    ) {
        self.push(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" \
             fill=\"{color}\" font-weight=\"{weight}\" stroke=\"#fff\" stroke-width=\"3\" \
             stroke-linejoin=\"round\" paint-order=\"stroke\">{}</text>",
            escape(text)
        ));
    }

    pub(crate) fn vertical_text(&mut self, x: f64, y: f64, size: f64, color: &str, text: &str) {
        self.push(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"middle\" \
             fill=\"{color}\" transform=\"rotate(-90 {x:.1} {y:.1})\">{}</text>",
            escape(text)
        ));
    }

    /// A point in the look of its codec.
    pub(crate) fn marker(&mut self, place: Pixel, look: Look) {
        let style = format!("fill=\"{}\" stroke=\"#fff\" stroke-width=\"1.2\"", look.color());
        self.shape(place, look, &style);
    }

    /// The same for a result that was not measured here.
    pub(crate) fn hollow_marker(&mut self, place: Pixel, look: Look) {
        let style = format!("fill=\"#fff\" stroke=\"{}\" stroke-width=\"1.6\"", look.color());
        self.shape(place, look, &style);
    }

    fn shape(&mut self, (x, y): Pixel, look: Look, style: &str) {
        let polygon = |corners: &[(f64, f64)]| {
            let corners: Vec<String> =
                corners.iter().map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy)).collect();
            format!("<polygon points=\"{}\" {style}/>", corners.join(" "))
        };
        let shape = match look.shape {
            0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5.5\" {style}/>"),
            1 => polygon(&[(-5.0, -5.0), (5.0, -5.0), (5.0, 5.0), (-5.0, 5.0)]),
            2 => polygon(&[(0.0, -6.5), (6.2, 5.0), (-6.2, 5.0)]),
            3 => polygon(&[(0.0, 6.5), (6.2, -5.0), (-6.2, -5.0)]),
            4 => polygon(&[
                (5.9, 0.0),
                (2.9, 5.1),
                (-2.9, 5.1),
                (-5.9, 0.0),
                (-2.9, -5.1),
                (2.9, -5.1),
            ]),
            _ => polygon(&[(0.0, -7.2), (7.2, 0.0), (0.0, 7.2), (-7.2, 0.0)]),
        };
        self.push(&shape);
    }

    /// The whole picture, so many pixels high.
    pub(crate) fn finish(self, height: f64) -> String {
        let height = height.ceil();
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" font-family=\"Helvetica, Arial, 'DejaVu Sans', \
             sans-serif\">\n<rect width=\"{WIDTH}\" height=\"{height}\" rx=\"8\" fill=\"#fff\"/>\n{}</svg>\n",
            self.0
        )
    }
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in plain(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}
