//! The distribution of per-token Kullback–Leibler divergence: mean with error, and quantiles.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mean and quantiles of per-token KL(baseline ‖ cell) in nats. All fields are 0 without tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Divergence {
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard error of the mean, with n − 1; 0 below two tokens.
    pub error: f64,
    /// Smallest value. Rounding may make it slightly negative.
    pub min: f64,
    /// 1 % quantile.
    pub p01: f64,
    /// 5 % quantile.
    pub p05: f64,
    /// 10 % quantile.
    pub p10: f64,
    /// 50 % quantile.
    pub median: f64,
    /// 90 % quantile.
    pub p90: f64,
    /// 95 % quantile.
    pub p95: f64,
    /// 99 % quantile.
    pub p99: f64,
    /// 99.9 % quantile.
    pub p999: f64,
    /// Largest value.
    pub max: f64,
}

impl Divergence {
    /// Summarises the per-token values, in any order. The order affects only the rounding of the
    /// mean and its error. A NaN counts as the largest value.
    #[must_use]
    pub fn from_values(values: &[f32]) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let squares: f64 = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(order);
        let at = |q| quantile(&sorted, q);
        Self {
            mean,
            error: if values.len() < 2 { 0.0 } else { (squares / (n * (n - 1.0))).sqrt() },
            min: at(0.0),
            p01: at(0.01),
            p05: at(0.05),
            p10: at(0.10),
            median: at(0.50),
            p90: at(0.90),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
    }

    /// Whether every field is finite; JSON can represent nothing else.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        let low = [self.mean, self.error, self.min, self.p01, self.p05, self.p10];
        let high = [self.median, self.p90, self.p95, self.p99, self.p999, self.max];
        low.into_iter().chain(high).all(f64::is_finite)
    }
}

/// The quantile `q` in 0..=1 of ascending values, by linear interpolation at `q·(n − 1)`, as
/// numpy's default and llama.cpp do it. NaN for no values.
#[must_use]
pub fn quantile<T: Copy + Into<f64>>(sorted: &[T], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = q.clamp(0.0, 1.0) * last as f64;
    let low = (place.floor() as usize).min(last);
    let (below, above): (f64, f64) = (sorted[low].into(), sorted[(low + 1).min(last)].into());
    let fraction = place - low as f64;
    // Without this test, an infinite neighbour of weight zero would give NaN.
    if fraction == 0.0 { below } else { below + fraction * (above - below) }
}

/// Ascending order, with every NaN last whatever its sign.
fn order(a: &f32, b: &f32) -> std::cmp::Ordering {
    a.is_nan().cmp(&b.is_nan()).then(a.total_cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let sorted = [0.0_f32, 1.0, 2.0, 3.0, 4.0];
        assert_eq!(quantile(&sorted, 0.5), 2.0);
        assert_eq!(quantile(&sorted, 0.625), 2.5);
        assert_eq!(quantile(&sorted, 0.0), 0.0);
        assert_eq!(quantile(&sorted, 1.0), 4.0);
        assert_eq!(quantile(&[7.0_f64], 0.3), 7.0);
        assert!(quantile::<f32>(&[], 0.3).is_nan());
    }

    #[test]
    fn closed_form_of_a_ramp() {
        // 0, 1, …, 100: mean 50, variance 101·102/12 = 858.5, error sqrt(858.5 / 101).
        let values: Vec<f32> = (0..=100_u8).rev().map(f32::from).collect();
        let got = Divergence::from_values(&values);
        assert_eq!((got.mean, got.min, got.max), (50.0, 0.0, 100.0));
        assert!((got.error - (858.5_f64 / 101.0).sqrt()).abs() < 1e-14);
        assert!((got.p01 - 1.0).abs() < 1e-12 && (got.p99 - 99.0).abs() < 1e-12);
        assert!((got.p999 - 99.9).abs() < 1e-12 && (got.median - 50.0).abs() < 1e-12);
    }

    #[test]
    fn few_values_and_broken_values() {
        assert_eq!(Divergence::from_values(&[]), Divergence::default());
        let one = Divergence::from_values(&[0.25]);
        assert_eq!((one.mean, one.error, one.median), (0.25, 0.0, 0.25));
        let broken = Divergence::from_values(&[-f32::NAN, 1.0, 0.0]);
        assert!(broken.max.is_nan() && broken.mean.is_nan());
        assert!(one.is_finite() && !broken.is_finite());
        assert_eq!((broken.min, broken.median), (0.0, 1.0));
    }
}
