//! What surrounds a picture: families above it, and below it what its numbers and marks mean.

use super::labels::Rect;
use super::svg::{Look, Svg};
use super::{AREA, LABEL_SIZE, LEGEND_LINE, text_width};
use crate::text::lines;

/// Size of the text below a picture.
const SMALL: f64 = 11.0;
const SMALL_LINE: f64 = 15.0;
/// Characters of that size which fit below the plotting area.
const COLUMNS: usize = 126;
/// Width of a character in the list of numbers, in pixels.
const LISTED_CHAR: f64 = 6.1;

/// The families and the front, in as many lines as they take. Returns the area below.
pub(crate) fn families(svg: &mut Svg, families: &[(&str, Look)], front: bool) -> Rect {
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
    if front {
        let y = turn(&mut x, 28.0 + text_width("front", false));
        svg.line((x - 6.0, y), (x + 16.0, y), "#9a9a9a", 1.6, None);
        svg.text(x + 22.0, y + 4.0, LABEL_SIZE, "start", "#222", "400", "front");
    }
    Rect { y: AREA.y + down, height: AREA.height - down, ..AREA }
}

/// The names behind the numbers, in columns from `top` on. Returns where they end.
pub(crate) fn numbers(svg: &mut Svg, names: &[&str], top: f64) -> f64 {
    if names.is_empty() {
        return top;
    }
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let digits = names.len().to_string().len() as f64 * LISTED_CHAR;
    let width = (digits + 6.0 + longest as f64 * LISTED_CHAR + 14.0).min(AREA.width);
    let columns = (AREA.width / width).floor().max(1.0) as usize;
    let rows = names.len().div_ceil(columns);
    // As many columns as have something in them share the width.
    let width = AREA.width / names.len().div_ceil(rows) as f64;
    for (at, name) in names.iter().enumerate() {
        let (column, row) = (at / rows, at % rows);
        let x = AREA.x + column as f64 * width + digits;
        let y = top + (row + 1) as f64 * SMALL_LINE;
        svg.text(x, y, SMALL, "end", "#777", "400", &(at + 1).to_string());
        svg.text(x + 6.0, y, SMALL, "start", "#222", "400", name);
    }
    top + rows as f64 * SMALL_LINE + 8.0
}

/// Sentences below a picture, each with its colour. Returns where they end.
pub(crate) fn notes(svg: &mut Svg, notes: &[(String, &str)], top: f64) -> f64 {
    let mut y = top;
    for (note, color) in notes {
        for line in lines(note, COLUMNS, "").lines() {
            y += SMALL_LINE;
            svg.text(AREA.x, y, SMALL, "start", color, "400", line.trim_start());
        }
    }
    y
}
