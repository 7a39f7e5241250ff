//! The two axes of a picture with their marks and titles, and the strip for what loses nothing.

use super::labels::Rect;
use super::pareto::{Picture, Point, XAxis, YAxis};
use super::scale::Scale;
use super::svg::Svg;
use crate::figures::Unit;

/// Height of the strip below a logarithmic axis on which zero has its place.
const STRIP: f64 = 30.0;

/// From values to pixels, both ways.
pub(crate) struct Frame {
    area: Rect,
    x: Scale,
    y: Scale,
    /// The pixel of a divergence of zero, where some cell has none.
    zero: Option<f64>,
}

impl Frame {
    /// Axes with room for all points.
    pub(crate) fn of(points: &[Point<'_>], picture: &Picture, area: Rect) -> Self {
        let across = (area.x, area.x + area.width);
        let bits = points.iter().map(|p| p.bits);
        let x = match picture.x {
            XAxis::Bits => Scale::bits(bits, across),
            XAxis::Bytes | XAxis::Gib => Scale::log(bits, across),
        };
        let bottom = area.y + area.height;
        let exact = points.iter().any(|p| p.loss <= 0.0) && picture.y == YAxis::Divergence;
        let up = (if exact { bottom - STRIP } else { bottom }, area.y);
        let y = match picture.y {
            YAxis::Divergence => {
                // An error bar that reaches zero would reach the end of the axis.
                let low = |p: &Point<'_>| (p.loss - p.error).max(p.loss / 3.0);
                let positive: Vec<f64> = points
                    .iter()
                    .filter(|p| p.loss > 0.0)
                    .flat_map(|p| [low(p), p.loss + p.error])
                    .collect();
                // Nothing but exact copies: any axis will do.
                let positive = if positive.is_empty() { vec![1e-3, 1.0] } else { positive };
                Scale::log(positive.iter().copied(), up)
            }
            YAxis::Perplexity => Scale::loss(
                points.iter().map(|p| p.loss.abs().max(p.error)),
                points.iter().flat_map(|p| [p.loss - p.error, p.loss + p.error]),
                up,
            ),
        };
        Self { area, x, y, zero: exact.then_some(bottom - STRIP / 2.0) }
    }

    /// The pixel of a cost.
    pub(crate) fn across(&self, bits: f64) -> f64 {
        self.x.at(bits)
    }

    /// The pixel of a loss.
    pub(crate) fn up(&self, loss: f64) -> f64 {
        match self.zero {
            Some(zero) if loss <= 0.0 => zero,
            _ => self.y.at(loss),
        }
    }

    /// The ends of a point's error bar; none where it would hide behind the marker.
    pub(crate) fn error_bar(&self, point: &Point<'_>) -> Option<(f64, f64)> {
        if self.is_logarithmic() && point.loss <= 0.0 {
            return None;
        }
        let least = if self.is_logarithmic() { point.loss / 3.0 } else { f64::NEG_INFINITY };
        let low = self.y.at((point.loss - point.error).max(least));
        let high = self.y.at(point.loss + point.error);
        (low - high >= 9.0).then_some((low, high))
    }

    /// The pixel of the line through zero, if the axis has one.
    pub(crate) fn zero_line(&self) -> Option<f64> {
        if self.is_logarithmic() { self.zero } else { Some(self.y.at(0.0)) }
    }

    fn is_logarithmic(&self) -> bool {
        self.y.linear.is_none()
    }

    /// Grid, marks and titles.
    pub(crate) fn draw(&self, svg: &mut Svg, picture: &Picture, unit: Unit) {
        let (left, right) = (self.area.x, self.area.x + self.area.width);
        let (top, bottom) = (self.area.y, self.area.y + self.area.height);
        for (value, name) in &self.x.ticks {
            let at = self.x.at(*value);
            svg.line((at, top), (at, bottom), "#ececec", 1.0, None);
            svg.text(at, bottom + 18.0, 12.0, "middle", "#444", "400", name);
        }
        for (value, name) in &self.y.ticks {
            let at = self.y.at(*value);
            if *value != 0.0 {
                svg.line((left, at), (right, at), "#ececec", 1.0, None);
            }
            svg.text(left - 8.0, at + 4.0, 12.0, "end", "#444", "400", name);
        }
        if let Some(at) = self.zero_line() {
            svg.line((left, at), (right, at), "#777", 1.0, Some("5 4"));
        }
        if let Some(zero) = self.zero {
            svg.text(left - 8.0, zero + 4.0, 12.0, "end", "#444", "400", "0");
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
        let title = match self.y.linear {
            Some(linear) => {
                format!("ΔPPL, perplexity above the baseline (linear within ±{linear})")
            }
            None => "mean divergence from the baseline, nats per token (logarithmic)".to_owned(),
        };
        svg.vertical_text(26.0, (top + bottom) / 2.0, 13.0, "#222", &title);
    }
}
