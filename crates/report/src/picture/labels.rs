//! Where the labels go: each as near to its point as it can be without covering a point, a line or
//! another label. Greedy and deterministic.

/// A rectangle in pixels, `y` downwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// A point in pixels, `y` downwards.
pub(crate) type Pixel = (f64, f64);

/// A straight line between two points.
pub(crate) type Line = (Pixel, Pixel);

/// A label and where its text begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Placed {
    /// The text's box.
    pub(crate) rect: Rect,
    /// Whether it is far enough from its point to need a line to it.
    pub(crate) leader: bool,
}

impl Rect {
    /// How much of this lies in the other, in square pixels.
    fn overlap(&self, other: &Self) -> f64 {
        let width = (self.x + self.width).min(other.x + other.width) - self.x.max(other.x);
        let height = (self.y + self.height).min(other.y + other.height) - self.y.max(other.y);
        width.max(0.0) * height.max(0.0)
    }

    /// The smallest rectangle that holds a line.
    fn around((from, to): &Line) -> Self {
        let (x, y) = (from.0.min(to.0), from.1.min(to.1));
        Self { x, y, width: (from.0 - to.0).abs(), height: (from.1 - to.1).abs() }
    }

    /// Whether the two have a point in common.
    fn touches(&self, other: &Self) -> bool {
        self.x <= other.x + other.width
            && other.x <= self.x + self.width
            && self.y <= other.y + other.height
            && other.y <= self.y + self.height
    }

    fn grown(&self, by: f64) -> Self {
        Self {
            x: self.x - by,
            y: self.y - by,
            width: self.width + 2.0 * by,
            height: self.height + 2.0 * by,
        }
    }

    /// The point of the rectangle that is nearest to another point.
    pub(crate) fn nearest(&self, (x, y): Pixel) -> Pixel {
        (x.clamp(self.x, self.x + self.width), y.clamp(self.y, self.y + self.height))
    }

    fn center(&self) -> Pixel {
        (self.x + self.width / 2.0, self.y + self.height / 2.0)
    }

    fn contains(&self, (x, y): Pixel) -> bool {
        x >= self.x && x <= self.x + self.width && y >= self.y && y <= self.y + self.height
    }
}

/// Places a label of each width beside its point, in order of the points.
///
/// `obstacles` may not be covered at all, `lines` better not; `bounds` holds every label. A label that
/// cannot but cover a point or an earlier label is `None`.
pub(crate) fn place(
    points: &[Pixel],
    widths: &[f64],
    height: f64,
    obstacles: &[Rect],
    lines: &[Line],
    bounds: Rect,
) -> Vec<Option<Placed>> {
    let mut all: Vec<Option<Placed>> = Vec::new();
    for (&point, &width) in points.iter().zip(widths) {
        let placed = points.iter().zip(&all).filter_map(|(&at, placed)| Some((at, (*placed)?)));
        let near = Near::new(point, 2.0 * FARTHEST + width + height, obstacles, lines, placed);
        all.push(near.best(&candidates(point, width, height), &bounds));
    }
    all
}

/// What lies around a point. What is farther away touches no place for its label, and thousands of points
/// would take minutes.
struct Near<'a> {
    point: Pixel,
    obstacles: Vec<&'a Rect>,
    lines: Vec<&'a Line>,
    /// Labels that have their places, with their points.
    placed: Vec<(Pixel, Placed)>,
}

impl<'a> Near<'a> {
    fn new(
        point: Pixel,
        reach: f64,
        obstacles: &'a [Rect],
        lines: &'a [Line],
        placed: impl Iterator<Item = (Pixel, Placed)>,
    ) -> Self {
        let around = Rect { x: point.0, y: point.1, width: 0.0, height: 0.0 }.grown(reach);
        Self {
            point,
            obstacles: obstacles.iter().filter(|other| around.touches(other)).collect(),
            lines: lines.iter().filter(|line| around.touches(&Rect::around(line))).collect(),
            placed: placed
                .filter(|(at, other)| {
                    let leader = (*at, other.rect.nearest(*at));
                    around.touches(&other.rect) || around.touches(&Rect::around(&leader))
                })
                .collect(),
        }
    }

    /// The first of the cheapest places, if it covers nothing.
    fn best(&self, candidates: &[(Rect, f64)], bounds: &Rect) -> Option<Placed> {
        // In a crowd that is most points: nothing else need be known of their places.
        if !candidates.iter().any(|(rect, _)| self.is_free(rect)) {
            return None;
        }
        let mut best: Option<(f64, Rect, f64)> = None;
        for &(rect, distance) in candidates {
            let inside = rect.overlap(bounds) / (rect.width * rect.height);
            let least = 1e5 * (1.0 - inside) + 20.0 * self.covered(&rect) + distance;
            if best.is_some_and(|(known, ..)| least >= known) {
                continue;
            }
            let cost = least + 4.0 * self.misread(&rect);
            if best.is_none_or(|(known, ..)| cost < known) {
                best = Some((cost, rect, distance));
            }
        }
        let (_, rect, distance) = best.filter(|(_, rect, _)| self.is_free(rect))?;
        Some(Placed { rect, leader: distance > 14.0 })
    }

    /// Points and labels that a label here may not cover.
    fn solid(&self) -> impl Iterator<Item = &Rect> {
        self.obstacles.iter().copied().chain(self.placed.iter().map(|(_, other)| &other.rect))
    }

    /// Square pixels of points and labels below a label here.
    fn covered(&self, rect: &Rect) -> f64 {
        let padded = rect.grown(1.5);
        self.solid().map(|other| padded.overlap(other)).sum()
    }

    fn is_free(&self, rect: &Rect) -> bool {
        let padded = rect.grown(1.5);
        !self.solid().any(|other| padded.overlap(other) > 0.0)
    }

    /// How much a label here would be read wrongly: pixels of lines below it, of leaders through others, and of
    /// nearness to other points.
    fn misread(&self, rect: &Rect) -> f64 {
        let (padded, nearest) = (rect.grown(1.5), rect.nearest(self.point));
        let leader = (self.point, nearest);
        let mut pixels: f64 = self.lines.iter().map(|line| length_inside(line, rect)).sum();
        // A label behind another point, or nearer to it, would be read as that point's.
        let own = distance_between(self.point, nearest);
        for other in self.obstacles.iter().filter(|other| !other.contains(self.point)) {
            let apart = distance_between(other.center(), rect.nearest(other.center()));
            pixels += length_inside(&leader, other) + (own + 4.0 - apart).max(0.0);
        }
        // A leader through another label, or a label over another's leader, joins the wrong two.
        for &(from, other) in &self.placed {
            pixels += length_inside(&leader, &other.rect.grown(1.0));
            if other.leader {
                pixels += length_inside(&(from, other.rect.nearest(from)), &padded);
            }
        }
        pixels
    }
}

/// The largest gap between a point and its label, in pixels.
const FARTHEST: f64 = 80.0;

/// Boxes around a point with their distance from it; the nearest and most usual come first.
fn candidates((x, y): Pixel, width: f64, height: f64) -> Vec<(Rect, f64)> {
    let mut all = Vec::new();
    for gap in [8.0, 13.0, 20.0, 28.0, 38.0, 50.0, 64.0, FARTHEST] {
        let middle = y - height / 2.0;
        let shift = gap * 0.7;
        let (above, below) = (y - gap - height, y + gap);
        for (preference, left, top) in [
            (0.0, x + gap, middle),
            (1.0, x + shift, y - shift - height),
            (1.5, x + shift, y + shift),
            (2.0, x - gap - width, middle),
            (2.5, x - width / 2.0, above),
            (3.0, x - width / 2.0, below),
            (3.5, x - shift - width, y - shift - height),
            (3.5, x - shift - width, y + shift),
        ] {
            all.push((Rect { x: left, y: top, width, height }, gap + preference));
        }
    }
    all
}

fn distance_between(a: Pixel, b: Pixel) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

/// How many pixels of a line lie in a rectangle, to the pixel.
fn length_inside((from, to): &Line, rect: &Rect) -> f64 {
    if !rect.touches(&Rect::around(&(*from, *to))) {
        return 0.0;
    }
    let length = distance_between(*from, *to);
    let steps = length.ceil().clamp(1.0, 4000.0);
    let inside = (0..=steps as usize)
        .map(|step| step as f64 / steps)
        .filter(|t| rect.contains((from.0 + t * (to.0 - from.0), from.1 + t * (to.1 - from.1))));
    inside.count() as f64 * length / (steps + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Rect = Rect { x: 0.0, y: 0.0, width: 800.0, height: 400.0 };

    fn obstacles(points: &[Pixel]) -> Vec<Rect> {
        let square =
            |&(x, y): &(f64, f64)| Rect { x: x - 5.0, y: y - 5.0, width: 10.0, height: 10.0 };
        points.iter().map(square).collect()
    }

    #[test]
    fn a_label_alone_stands_to_the_right() {
        let points = [(100.0, 100.0)];
        let placed = place(&points, &[60.0], 14.0, &obstacles(&points), &[], BOUNDS);
        assert_eq!(placed[0].unwrap().rect, Rect { x: 108.0, y: 93.0, width: 60.0, height: 14.0 });
        assert!(!placed[0].unwrap().leader);
    }

    #[test]
    fn a_crowd_does_not_overlap_and_stays_inside() {
        let points: Vec<(f64, f64)> = (0..12)
            .map(|i| (760.0 - f64::from(i % 4) * 9.0, 200.0 + f64::from(i / 4) * 8.0))
            .collect();
        let blocked = obstacles(&points);
        let placed = place(&points, &[70.0; 12], 14.0, &blocked, &[], BOUNDS);
        let placed: Vec<Placed> = placed.into_iter().map(Option::unwrap).collect();
        for (i, a) in placed.iter().enumerate() {
            assert!((a.rect.overlap(&BOUNDS) - 70.0 * 14.0).abs() < 1e-6, "{i} leaves the picture");
            assert!(
                placed[..i].iter().all(|b| a.rect.overlap(&b.rect) == 0.0),
                "{i} covers another"
            );
            assert!(blocked.iter().all(|b| a.rect.overlap(b) == 0.0), "{i} covers a point");
        }
    }

    #[test]
    fn what_has_no_room_has_no_label() {
        let points: Vec<(f64, f64)> =
            (0..200).map(|i| (300.0 + f64::from(i % 20), 200.0 + f64::from(i / 20))).collect();
        let placed = place(&points, &[70.0; 200], 14.0, &obstacles(&points), &[], BOUNDS);
        let labels: Vec<Placed> = placed.iter().copied().flatten().collect();
        assert!(placed[0].is_some() && labels.len() > 10 && labels.len() < 200, "{}", labels.len());
        for (i, a) in labels.iter().enumerate() {
            assert!(labels[..i].iter().all(|b| a.rect.overlap(&b.rect) == 0.0), "{i}");
        }
    }

    #[test]
    fn a_line_is_avoided() {
        let points = [(100.0, 100.0)];
        let line = ((100.0, 100.0), (400.0, 100.0));
        let placed = place(&points, &[60.0], 14.0, &obstacles(&points), &[line], BOUNDS);
        assert_eq!(length_inside(&line, &placed[0].unwrap().rect), 0.0);
    }
}
