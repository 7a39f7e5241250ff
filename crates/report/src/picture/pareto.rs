//! The picture for papers: what a bit costs, on the links, in the KV cache or of a weight. Bits or bytes
//! to the right, lost perplexity or divergence upwards, a point with an error bar for every cell, and the
//! front of those that no other cell beats. The SVG is written by hand: a plotting crate has neither the
//! axis through zero nor labels that keep out of each other's way. PNG comes from it with a font of its
//! own, the same everywhere.

use super::frame::Frame;
use super::labels::{self, Line, Pixel, Placed, Rect};
use super::palette::{self, look_of};
use super::svg::{BASELINE, HEIGHT, Look, Svg};
use super::{AREA, LABEL_SIZE, legend, pdf, png, text_width};
use crate::figures::Unit;
use crate::figures::front::{RULE, RULE_OF_PERPLEXITY};
use crate::figures::pairs::Loss;
use crate::figures::report::front_of;
use crate::{Report, ReportError, Row};

/// As many names beside those of the front can be read; more of them are a list of numbers below the picture.
const MOST_NAMES: usize = 24;
/// Pixels from a point to its number, at most: one farther away would be taken for another's.
const NUMBER_REACH: f64 = 26.0;
const LABEL_HEIGHT: f64 = 1.2 * LABEL_SIZE;
/// What stands below the plotting area: marks and title of the axis.
const BELOW_AXIS: f64 = 48.0;

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
    /// Mean divergence from the baseline, which tells cells apart where perplexity is all noise. Exact copies are at
    /// the foot of its logarithmic axis.
    #[default]
    Divergence,
    /// Perplexity above the baseline.
    Perplexity,
}

/// A row that has a place in the picture.
pub(crate) struct Point<'a> {
    row: &'a Row,
    pub(crate) bits: f64,
    pub(crate) loss: f64,
    pub(crate) error: f64,
    front: bool,
}

impl Report {
    /// Bits against divergence as a standalone SVG with its own white background.
    #[must_use]
    pub fn pareto_svg(&self) -> String {
        self.picture_svg(&Picture::default())
    }

    /// Which rows are on the front by these axes, in their order.
    pub(crate) fn front(&self, x: XAxis, y: YAxis) -> Vec<bool> {
        front_of(&self.rows, |row| Some((x.of(row)?, y.of(row)?)), y.loss())
    }

    /// A picture as PNG, `scale` pixels for each of the SVG's: 960 across, 600 down and what its list takes.
    ///
    /// # Errors
    /// If the picture is too large for memory.
    pub fn picture_png(&self, picture: &Picture, scale: f32) -> Result<Vec<u8>, ReportError> {
        png::render(&self.picture_svg(picture), scale)
    }

    /// A picture as PDF, its text as outlines.
    ///
    /// # Errors
    /// If the picture cannot be read back, which is a mistake of this crate.
    pub fn picture_pdf(&self, picture: &Picture) -> Result<Vec<u8>, ReportError> {
        pdf::render(&self.picture_svg(picture))
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
        let most = picture.most.unwrap_or(f64::INFINITY);
        let (points, beyond): (Vec<_>, Vec<_>) =
            self.points(picture).into_iter().partition(|point| point.loss <= most);
        let mut svg = Svg::new();
        if !picture.bare {
            svg.text(AREA.x, 34.0, 18.0, "start", "#111", "600", &self.title);
            svg.text(AREA.x, 54.0, 12.5, "start", "#555", "400", &self.subtitle);
        }
        let area = legend::families(&mut svg, &families(&points), points.iter().any(|p| p.front));
        if points.is_empty() {
            let (x, y) = (area.x + area.width / 2.0, area.y + area.height / 2.0);
            svg.text(x, y, 14.0, "middle", "#555", "400", nothing(picture, self.unit()));
            return svg.finish(HEIGHT);
        }
        let frame = Frame::of(&points, picture, area);
        frame.draw(&mut svg, picture, self.unit());
        let places: Vec<Pixel> =
            points.iter().map(|p| (frame.across(p.bits), frame.up(p.loss))).collect();
        let lines = draw_lines(&mut svg, &points, &places, &frame, area);
        let labels = Labels::place(&points, &places, &lines, area);
        labels.draw_leaders(&mut svg, &places);
        for (point, &place) in points.iter().zip(&places).rev() {
            let look = look_of(point.row);
            match point.row.imported {
                Some(_) => svg.hollow_marker(place, look),
                None => svg.marker(place, look),
            }
        }
        labels.draw(&mut svg, &points);
        let end = legend::numbers(&mut svg, &labels.listed, area.y + area.height + BELOW_AXIS);
        let mut notes = self.explanations(picture, &points, labels.unnamed);
        if !beyond.is_empty() {
            notes.push((format!("{} cells above {most} not shown", beyond.len()), "#a33"));
        }
        let end = legend::notes(&mut svg, &notes, end);
        svg.finish((end + 12.0).max(HEIGHT))
    }

    /// The rows that have a place, those of the front first: their labels find places first.
    fn points(&self, picture: &Picture) -> Vec<Point<'_>> {
        let on_front = self.front(picture.x, picture.y);
        let placed = self.rows.iter().zip(on_front).filter_map(|(row, front)| {
            Point::of(row, picture).map(|point| Point { front, ..point })
        });
        let mut points: Vec<Point<'_>> = placed.collect();
        points.sort_by_key(|point| !point.front);
        points
    }

    /// What marks mean and what is not shown, with colours.
    fn explanations(
        &self,
        picture: &Picture,
        points: &[Point<'_>],
        unnamed: usize,
    ) -> Vec<(String, &'static str)> {
        let mut notes = Vec::new();
        if points.iter().any(|point| point.front) {
            notes.push((format!("bold: {}", picture.y.rule()), "#555"));
        }
        if points.iter().any(|point| point.row.imported.is_some()) {
            notes.push(("hollow: imported, bytes declared".to_owned(), "#555"));
        }
        if unnamed > 0 {
            let note = format!("{unnamed} points have no room for a name: the table has all");
            notes.push((note, "#555"));
        }
        let failed = self.rows.iter().filter(|row| row.ppl.is_none());
        let failed: Vec<&str> = failed.map(|row| row.label.as_str()).collect();
        if !failed.is_empty() {
            notes.push((format!("failed, not shown: {}", failed.join(", ")), "#a33"));
        }
        notes
    }
}

/// Why nothing can be drawn.
fn nothing(picture: &Picture, unit: Unit) -> &'static str {
    match (picture.x, unit) {
        (XAxis::Bits, Unit::Weights) => "no model finished",
        (_, Unit::Cache) => "no cell with bytes in its cache finished",
        _ => "no cell with bytes on its links finished",
    }
}

/// Draws the front and the error bars. Returns what labels keep out of, the line through zero among it.
fn draw_lines(
    svg: &mut Svg,
    points: &[Point<'_>],
    places: &[Pixel],
    frame: &Frame,
    area: Rect,
) -> Vec<Line> {
    let mut lines = front(points, places);
    for (from, to) in &lines {
        svg.line(*from, *to, "#9a9a9a", 1.6, None);
    }
    for (point, &(x, _)) in points.iter().zip(places) {
        let Some((low, high)) = frame.error_bar(point) else { continue };
        let color = look_of(point.row).color();
        svg.line((x, low), (x, high), color, 1.4, None);
        for end in [low, high] {
            svg.line((x - 4.0, end), (x + 4.0, end), color, 1.4, None);
        }
        lines.push(((x, low), (x, high)));
    }
    lines.extend(frame.zero_line().map(|y| ((area.x, y), (area.x + area.width, y))));
    lines
}

/// What stands beside the points: names, or where those would be too many, numbers of a list.
struct Labels<'a> {
    /// Of each point its text and place, if there is room.
    of_points: Vec<Option<(String, Placed)>>,
    /// The names behind the numbers.
    listed: Vec<&'a str>,
    /// Points without either.
    unnamed: usize,
}

impl<'a> Labels<'a> {
    fn place(points: &[Point<'a>], places: &[Pixel], lines: &[Line], area: Rect) -> Self {
        let is_named = |point: &Point<'_>| point.front || point.row.is_baseline();
        let others = points.iter().filter(|point| !is_named(point)).count();
        let numbered = others > MOST_NAMES;
        let widest = text_width(&others.to_string(), false);
        let widths: Vec<f64> = points
            .iter()
            .map(|point| {
                if numbered && !is_named(point) {
                    widest
                } else {
                    text_width(&point.row.label, point.front)
                }
            })
            .collect();
        let obstacles: Vec<Rect> = places.iter().map(|&place| square(place, 6.5)).collect();
        let mut placed = labels::place(places, &widths, LABEL_HEIGHT, &obstacles, lines, area);
        let mut texts: Vec<String> = points.iter().map(|point| point.row.label.clone()).collect();
        let mut listed = Vec::new();
        if numbered {
            let near = |at: &usize| {
                let reach = |label: Placed| distance(places[*at], label.rect.nearest(places[*at]));
                placed[*at].is_some_and(|label| reach(label) <= NUMBER_REACH)
            };
            let tail = (0..points.len()).filter(|&at| !is_named(&points[at]));
            let (mut shown, hidden): (Vec<usize>, Vec<usize>) = tail.partition(near);
            // Numbers rise from left to right, and from the best to the worst.
            shown.sort_by(|&a, &b| {
                let (a, b) = (&points[a], &points[b]);
                a.bits.total_cmp(&b.bits).then(a.loss.total_cmp(&b.loss))
            });
            for (number, &at) in shown.iter().enumerate() {
                texts[at] = (number + 1).to_string();
                listed.push(points[at].row.label.as_str());
            }
            hidden.into_iter().for_each(|at| placed[at] = None);
        }
        let unnamed = placed.iter().filter(|label| label.is_none()).count();
        let of_points = texts.into_iter().zip(placed);
        let of_points = of_points.map(|(text, label)| Some((text, label?))).collect();
        Self { of_points, listed, unnamed }
    }

    /// A thin line from a label that had to move away to its point.
    fn draw_leaders(&self, svg: &mut Svg, places: &[Pixel]) {
        for (label, &place) in self.of_points.iter().zip(places) {
            let Some((_, label)) = label else { continue };
            if label.leader {
                svg.line(place, label.rect.nearest(place), "#999", 0.9, None);
            }
        }
    }

    fn draw(&self, svg: &mut Svg, points: &[Point<'_>]) {
        for (point, label) in points.iter().zip(&self.of_points) {
            let Some((text, label)) = label else { continue };
            let weight = if point.front { "600" } else { "400" };
            let base = label.rect.y + 0.82 * LABEL_HEIGHT;
            svg.text(label.rect.x, base, LABEL_SIZE, "start", "#222", weight, text);
        }
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
        drawable.then_some(Self { row, bits, loss, error, front: false })
    }
}

/// The families of the points with their looks, the baseline first.
fn families<'a>(points: &[Point<'a>]) -> Vec<(&'a str, Look)> {
    let rows = points.iter().map(|point| point.row);
    let names = palette::families(rows).into_iter().map(|name| (name, palette::look(name)));
    let baseline = points.iter().find(|point| point.row.is_baseline());
    baseline.map(|point| (point.row.codec.as_str(), BASELINE)).into_iter().chain(names).collect()
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

fn square((x, y): Pixel, half: f64) -> Rect {
    Rect { x: x - half, y: y - half, width: 2.0 * half, height: 2.0 * half }
}

fn distance(a: Pixel, b: Pixel) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}
