//! The picture as pixels, with a font that comes along: a machine without fonts draws the same.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Source};
use resvg::usvg::{Options, Tree};

use crate::ReportError;

/// Renders an SVG of this crate, `scale` pixels for each of its own.
pub(crate) fn render(svg: &str, scale: f32) -> Result<Vec<u8>, ReportError> {
    let fail = |what: String| ReportError::Picture(what);
    let tree = tree(svg)?;
    let size = tree.size();
    let pixels = |length: f32| (length * scale).round().max(1.0) as u32;
    let mut pixmap = Pixmap::new(pixels(size.width()), pixels(size.height()))
        .ok_or_else(|| fail(format!("{scale} is not a scale that fits memory")))?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    pixmap.encode_png().map_err(|error| fail(error.to_string()))
}

/// An SVG of this crate as shapes, its text set.
pub(crate) fn tree(svg: &str) -> Result<Tree, ReportError> {
    let mut fonts = Database::new();
    for font in [dejavu::sans::regular(), dejavu::sans::bold()] {
        fonts.load_font_source(Source::Binary(Arc::new(font)));
    }
    let family = "DejaVu Sans";
    let options =
        Options { fontdb: Arc::new(fonts), font_family: family.to_owned(), ..Options::default() };
    Tree::from_str(svg, &options).map_err(|error| ReportError::Picture(error.to_string()))
}
