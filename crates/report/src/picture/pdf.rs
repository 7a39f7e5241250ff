//! The picture as one page of PDF: its shapes as they are, its text as outlines, so that no font is needed where it
//! is read and none has to be licensed.
//!
//! The shapes are those that `usvg` makes of the SVG, which is what PNG is drawn from, too. The crates that write PDF
//! from SVG hold other releases of it: a second copy of the parser and of the text layout, for lines and filled paths.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use resvg::tiny_skia::{PathSegment, Point, Transform};
use resvg::usvg::{FillRule, Group, LineJoin, Node, Paint, PaintOrder, Path, Stroke};

use super::png;
use crate::ReportError;

/// Points of PDF for a pixel of SVG: 96 pixels are an inch, and so are 72 points.
const POINTS: f32 = 0.75;

/// Renders an SVG of this crate.
pub(crate) fn render(svg: &str) -> Result<Vec<u8>, ReportError> {
    let tree = png::tree(svg)?;
    let (width, height) = (tree.size().width() * POINTS, tree.size().height() * POINTS);
    let mut content = String::new();
    // PDF counts upwards.
    let page = Transform::from_row(POINTS, 0.0, 0.0, -POINTS, 0.0, height);
    content.push_str(&matrix(page));
    group(tree.root(), &mut content);
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    let fail = |error: std::io::Error| ReportError::Picture(error.to_string());
    packed.write_all(content.as_bytes()).map_err(fail)?;
    let packed = packed.finish().map_err(fail)?;
    Ok(document(width, height, &packed))
}

/// The file around the content of its one page.
fn document(width: f32, height: f32, packed: &[u8]) -> Vec<u8> {
    let stream = format!("<< /Length {} /Filter /FlateDecode >>\nstream\n", packed.len());
    let objects: [Vec<u8>; 4] = [
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] /Resources << >> \
             /Contents 4 0 R >>"
        )
        .into_bytes(),
        [stream.as_bytes(), packed, b"\nendstream"].concat(),
    ];
    // The second line tells programs that move files that this one is not text.
    let mut out = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut places = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        places.push(out.len());
        out.extend(format!("{} 0 obj\n", at + 1).into_bytes());
        out.extend(object);
        out.extend(b"\nendobj\n");
    }
    let start = out.len();
    out.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).into_bytes());
    for place in places {
        out.extend(format!("{place:010} 00000 n \n").into_bytes());
    }
    let trailer = format!(
        "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n",
        objects.len() + 1
    );
    out.extend(trailer.into_bytes());
    out
}

fn group(group: &Group, out: &mut String) {
    for node in group.children() {
        match node {
            Node::Group(inner) => self::group(inner, out),
            Node::Path(path) => draw(path, out),
            Node::Text(text) => self::group(text.flattened(), out),
            // No picture of this crate holds an image.
            Node::Image(_) => {}
        }
    }
}

/// Paints a path: with a halo below its fill if the stroke comes first.
fn draw(path: &Path, out: &mut String) {
    if !path.is_visible() {
        return;
    }
    out.push_str("q\n");
    out.push_str(&matrix(path.abs_transform()));
    let fill = path.fill().and_then(|fill| Some((color(fill.paint())?, fill.rule())));
    let stroke = path.stroke().and_then(|stroke| Some((color(stroke.paint())?, stroke)));
    let segments = outline(path);
    let filled = fill.map(|(color, rule)| {
        let paint = if rule == FillRule::EvenOdd { "f*" } else { "f" };
        format!("{color} rg\n{segments}{paint}\n")
    });
    let stroked =
        stroke.map(|(color, stroke)| format!("{color} RG\n{}{segments}S\n", line(stroke)));
    let both = match path.paint_order() {
        PaintOrder::FillAndStroke => [filled, stroked],
        PaintOrder::StrokeAndFill => [stroked, filled],
    };
    both.into_iter().flatten().for_each(|part| out.push_str(&part));
    out.push_str("Q\n");
}

fn line(stroke: &Stroke) -> String {
    let join = match stroke.linejoin() {
        LineJoin::Round => 1,
        LineJoin::Bevel => 2,
        _ => 0,
    };
    let dashes = stroke.dasharray().map_or_else(String::new, |dashes| {
        let dashes: Vec<String> = dashes.iter().map(f32::to_string).collect();
        format!("[{}] 0 d\n", dashes.join(" "))
    });
    format!("{} w {join} j\n{dashes}", stroke.width().get())
}

/// Red, green and blue from 0 to 1. Pictures of this crate have no other paint.
fn color(paint: &Paint) -> Option<String> {
    let Paint::Color(color) = paint else { return None };
    let share = |channel: u8| (f32::from(channel) / 255.0 * 1e3).round() / 1e3;
    Some(format!("{} {} {}", share(color.red), share(color.green), share(color.blue)))
}

fn matrix(transform: Transform) -> String {
    let Transform { sx, ky, kx, sy, tx, ty } = transform;
    format!("{sx} {ky} {kx} {sy} {tx} {ty} cm\n")
}

fn outline(path: &Path) -> String {
    let mut out = String::new();
    let mut last = Point::zero();
    for segment in path.data().segments() {
        match segment {
            PathSegment::MoveTo(to) => out.push_str(&format!("{} m\n", place(to))),
            PathSegment::LineTo(to) => out.push_str(&format!("{} l\n", place(to))),
            PathSegment::QuadTo(by, to) => {
                // The cubic curve that is the same parabola.
                let toward = |end: Point| {
                    let third = |end: f32, by: f32| end + 2.0 / 3.0 * (by - end);
                    Point::from_xy(third(end.x, by.x), third(end.y, by.y))
                };
                let (first, second) = (toward(last), toward(to));
                out.push_str(&format!("{} {} {} c\n", place(first), place(second), place(to)));
            }
            PathSegment::CubicTo(first, second, to) => {
                out.push_str(&format!("{} {} {} c\n", place(first), place(second), place(to)));
            }
            PathSegment::Close => out.push_str("h\n"),
        }
        if let PathSegment::MoveTo(to)
        | PathSegment::LineTo(to)
        | PathSegment::QuadTo(_, to)
        | PathSegment::CubicTo(_, _, to) = segment
        {
            last = to;
        }
    }
    out
}

/// Two coordinates to a thousandth: glyphs are drawn at the size of their font's grid or of the picture.
fn place(point: Point) -> String {
    let round = |value: f32| (value * 1e3).round() / 1e3;
    format!("{} {}", round(point.x), round(point.y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    use flate2::read::ZlibDecoder;

    const SVG: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"96\" height=\"48\">\
        <rect width=\"96\" height=\"48\" fill=\"#fff\"/><text x=\"4\" y=\"20\" font-size=\"12\">ΔPPL</text>\
        <line x1=\"0\" y1=\"0\" x2=\"9\" y2=\"9\" stroke=\"#ff0000\" stroke-dasharray=\"5 4\"/></svg>";

    fn find(bytes: &[u8], what: &[u8]) -> usize {
        bytes.windows(what.len()).position(|window| window == what).unwrap()
    }

    #[test]
    fn every_object_is_where_the_table_says() {
        let pdf = render(SVG).unwrap();
        let text = String::from_utf8_lossy(&pdf);
        assert!(pdf.starts_with(b"%PDF-1.4\n") && text.contains("/MediaBox [0 0 72 36]"));
        let start = find(&pdf, b"xref\n0 5\n");
        assert!(text.ends_with(&format!("startxref\n{start}\n%%EOF\n")));
        let entries = String::from_utf8(pdf[start + 9..start + 9 + 100].to_vec()).unwrap();
        for (number, entry) in entries.as_bytes().chunks(20).enumerate().skip(1) {
            let at: usize = std::str::from_utf8(&entry[..10]).unwrap().parse().unwrap();
            assert!(pdf[at..].starts_with(format!("{number} 0 obj").as_bytes()), "{number}");
        }
    }

    #[test]
    fn text_is_outlines_and_lines_have_their_colour_and_dashes() {
        let pdf = render(SVG).unwrap();
        let (from, to) = (find(&pdf, b"stream\n") + 7, find(&pdf, b"\nendstream"));
        let mut content = String::new();
        ZlibDecoder::new(&pdf[from..to]).read_to_string(&mut content).unwrap();
        assert!(content.contains("1 0 0 RG\n1 w 0 j\n[5 4] 0 d\n0 0 m\n9 9 l\nS"), "{content}");
        // Δ, P, P and L: some straight lines and the bows of P.
        assert!(content.matches(" c\n").count() >= 4 && content.matches(" l\n").count() > 12);
        assert_eq!(content.matches("q\n").count(), content.matches("Q\n").count());
    }
}
