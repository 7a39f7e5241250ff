//! How far decoded values are from the originals: sums per link, from which ratios are computed on
//! reading.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Independent partial sums, so that the compiler can keep several additions in flight.
const LANES: usize = 8;

/// Raw sums over pairs of original `x` and decoded `y`. A pair with an infinity or a NaN in it
/// stays out of the sums and is counted in `non_finite`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Distortion {
    /// Pairs in the sums.
    pub values: u64,
    /// Pairs left out because x or y is not finite.
    #[serde(default)]
    pub non_finite: u64,
    /// Σ(x − y)².
    pub squared_error: f64,
    /// Σx².
    pub squared_signal: f64,
    /// Σx·y.
    pub dot: f64,
    /// Σy².
    pub squared_output: f64,
    /// Largest |x − y|.
    pub max_abs: f64,
}

impl Distortion {
    /// Adds originals `x` and decoded values `y`. They have the same length; the excess of a longer
    /// slice is ignored.
    ///
    /// The order of additions is fixed, so equal input gives equal bits on every machine.
    pub fn push(&mut self, x: &[f32], y: &[f32]) {
        let length = x.len().min(y.len());
        let mut lanes = [Lane::default(); LANES];
        let (x_chunks, x_rest) = x[..length].as_chunks::<LANES>();
        let (y_chunks, y_rest) = y[..length].as_chunks::<LANES>();
        for (x, y) in x_chunks.iter().zip(y_chunks) {
            for i in 0..LANES {
                lanes[i].push(x[i], y[i]);
            }
        }
        for (lane, (&x, &y)) in lanes.iter_mut().zip(x_rest.iter().zip(y_rest)) {
            lane.push(x, y);
        }
        let non_finite: u64 = lanes.iter().map(|lane| lane.non_finite).sum();
        self.non_finite += non_finite;
        self.values += length as u64 - non_finite;
        for lane in &lanes {
            self.squared_error += lane.squared_error;
            self.squared_signal += lane.squared_signal;
            self.dot += lane.dot;
            self.squared_output += lane.squared_output;
            self.max_abs = self.max_abs.max(lane.max_abs);
        }
    }

    /// Adds the pairs of another set.
    pub fn merge(&mut self, other: &Self) {
        self.values += other.values;
        self.non_finite += other.non_finite;
        self.squared_error += other.squared_error;
        self.squared_signal += other.squared_signal;
        self.dot += other.dot;
        self.squared_output += other.squared_output;
        self.max_abs = self.max_abs.max(other.max_abs);
    }

    /// Mean squared error, Σ(x − y)² / values; NaN without values.
    #[must_use]
    pub fn mse(&self) -> f64 {
        self.squared_error / self.values as f64
    }

    /// Signal to quantisation noise in decibels, `10·log10(Σx² / Σ(x − y)²)`; infinite for an exact
    /// copy, NaN for an exact copy of nothing but zeros.
    #[must_use]
    pub fn sqnr_db(&self) -> f64 {
        10.0 * (self.squared_signal / self.squared_error).log10()
    }

    /// Cosine of the angle between x and y, `Σx·y / sqrt(Σx²·Σy²)`; NaN if one of them is all zeros.
    #[must_use]
    pub fn cosine(&self) -> f64 {
        self.dot / (self.squared_signal.sqrt() * self.squared_output.sqrt())
    }

    /// Relative error `‖x − y‖ / ‖x‖`; NaN for an exact copy of nothing but zeros.
    #[must_use]
    pub fn relative_error(&self) -> f64 {
        (self.squared_error / self.squared_signal).sqrt()
    }
}

#[derive(Clone, Copy, Default)]
struct Lane {
    non_finite: u64,
    squared_error: f64,
    squared_signal: f64,
    dot: f64,
    squared_output: f64,
    max_abs: f64,
}

impl Lane {
    #[inline(always)]
    fn push(&mut self, x: f32, y: f32) {
        let finite = x.is_finite() & y.is_finite();
        let (x, y) = if finite { (f64::from(x), f64::from(y)) } else { (0.0, 0.0) };
        let error = x - y;
        self.non_finite += u64::from(!finite);
        self.squared_error += error * error;
        self.squared_signal += x * x;
        self.dot += x * y;
        self.squared_output += y * y;
        self.max_abs = if error.abs() > self.max_abs { error.abs() } else { self.max_abs };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_form() {
        let mut got = Distortion::default();
        got.push(&[3.0, 4.0], &[3.0, 3.0]);
        assert_eq!((got.values, got.squared_error, got.squared_signal), (2, 1.0, 25.0));
        assert_eq!((got.dot, got.squared_output, got.max_abs), (21.0, 18.0, 1.0));
        assert_eq!((got.mse(), got.relative_error()), (0.5, 0.2));
        assert!((got.sqnr_db() - 10.0 * 25.0_f64.log10()).abs() < 1e-13);
        assert!((got.cosine() - 21.0 / (5.0 * 18.0_f64.sqrt())).abs() < 1e-15);
    }

    #[test]
    fn an_exact_copy() {
        let x: Vec<f32> = (0..1000_u16).map(|i| f32::from(i) - 300.5).collect();
        let mut got = Distortion::default();
        got.push(&x, &x);
        assert_eq!(
            (got.values, got.mse(), got.max_abs, got.relative_error()),
            (1000, 0.0, 0.0, 0.0)
        );
        assert!(got.sqnr_db().is_infinite() && (got.cosine() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn values_that_are_not_finite_are_counted_apart() {
        let mut got = Distortion::default();
        let x = [1.0, f32::NAN, f32::INFINITY, 2.0, 0.0, 0.0, 0.0, 0.0, 5.0];
        let y = [1.0, 0.0, f32::INFINITY, f32::NEG_INFINITY, 0.0, 0.0, 0.0, 0.0, 4.0];
        got.push(&x, &y);
        assert_eq!((got.values, got.non_finite), (6, 3));
        assert_eq!((got.squared_error, got.squared_signal, got.max_abs), (1.0, 26.0, 1.0));
    }

    #[test]
    fn the_largest_floats_do_not_overflow() {
        let mut got = Distortion::default();
        got.push(&[f32::MAX; 20], &[-f32::MAX; 20]);
        assert!(got.squared_error.is_finite() && (got.cosine() + 1.0).abs() < 1e-12);
    }
}
