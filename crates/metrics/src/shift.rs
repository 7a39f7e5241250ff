//! How much probability the correct token loses or gains: Δp of every scored token, from the
//! likelihoods under cell and baseline.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantile;

/// Sums and quantiles of Δp = p_cell(target) − p_baseline(target) over scored tokens, as llama.cpp's
/// perplexity tool reports them. All fields are 0 without tokens.
///
/// Unlike a difference of perplexities it is bounded, and a token that both find hopeless counts for
/// nothing: it says how often a generation would go another way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbabilityShift {
    /// Scored tokens.
    pub n: u64,
    /// ΣΔp.
    pub sum: f64,
    /// ΣΔp².
    pub squares: f64,
    /// ΣΔp⁴.
    pub fourths: f64,
    /// Smallest value: the largest loss.
    pub min: f64,
    /// 0.1 % quantile.
    pub p001: f64,
    /// 1 % quantile.
    pub p01: f64,
    /// 5 % quantile.
    pub p05: f64,
    /// 10 % quantile.
    pub p10: f64,
    /// 25 % quantile.
    pub p25: f64,
    /// 50 % quantile.
    pub median: f64,
    /// 75 % quantile.
    pub p75: f64,
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

impl ProbabilityShift {
    /// Summarises the tokens whose negative log-likelihoods (nats) are `cell` and `baseline`. Both
    /// have the same length; the excess of a longer slice is ignored.
    #[must_use]
    pub fn from_nll(cell: &[f64], baseline: &[f64]) -> Self {
        let mut shifts: Vec<f64> =
            cell.iter().zip(baseline).map(|(a, b)| (-a).exp() - (-b).exp()).collect();
        if shifts.is_empty() {
            return Self::default();
        }
        let moment = |power: i32| shifts.iter().map(|x| x.powi(power)).sum::<f64>();
        let (sum, squares, fourths) = (moment(1), moment(2), moment(4));
        shifts.sort_unstable_by(|a, b| a.is_nan().cmp(&b.is_nan()).then(a.total_cmp(b)));
        let at = |q| quantile(&shifts, q);
        Self {
            n: shifts.len() as u64,
            sum,
            squares,
            fourths,
            min: at(0.0),
            p001: at(0.001),
            p01: at(0.01),
            p05: at(0.05),
            p10: at(0.10),
            p25: at(0.25),
            median: at(0.50),
            p75: at(0.75),
            p90: at(0.90),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
    }

    /// Arithmetic mean; NaN without tokens.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sum / self.n as f64
    }

    /// Standard error of the mean, with n − 1; 0 below two tokens.
    #[must_use]
    pub fn mean_error(&self) -> f64 {
        self.error_of(self.sum, self.squares)
    }

    /// Root of the mean square; NaN without tokens.
    #[must_use]
    pub fn rms(&self) -> f64 {
        (self.squares / self.n as f64).sqrt()
    }

    /// Standard error of the root mean square, `se(Δp²) / (2·rms)`; 0 where nothing changed.
    #[must_use]
    pub fn rms_error(&self) -> f64 {
        if self.squares == 0.0 {
            return 0.0;
        }
        self.error_of(self.squares, self.fourths) / (2.0 * self.rms())
    }

    /// Whether every sum and quantile is finite; JSON can represent nothing else.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        let sums = [self.sum, self.squares, self.fourths];
        let low = [self.min, self.p001, self.p01, self.p05, self.p10, self.p25, self.median];
        let high = [self.p75, self.p90, self.p95, self.p99, self.p999, self.max];
        sums.into_iter().chain(low).chain(high).all(f64::is_finite)
    }

    /// Standard error of the mean of x from Σx and Σx².
    fn error_of(&self, sum: f64, squares: f64) -> f64 {
        if self.n < 2 {
            return 0.0;
        }
        let n = self.n as f64;
        let mean = sum / n;
        ((squares / n - mean * mean).max(0.0) / (n - 1.0)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_form_of_two_tokens() {
        // p goes from 1/2 to 3/4 and from 1/2 to 1/4.
        let (cell, base) = ([-0.75_f64.ln(), -0.25_f64.ln()], [2.0_f64.ln(); 2]);
        let got = ProbabilityShift::from_nll(&cell, &base);
        assert!(got.mean().abs() < 1e-16 && (got.rms() - 0.25).abs() < 1e-15);
        assert!((got.mean_error() - 0.25).abs() < 1e-15);
        assert!(got.rms_error() < 1e-8);
        assert!((got.min + 0.25).abs() < 1e-15 && (got.max - 0.25).abs() < 1e-15);
    }

    #[test]
    fn equal_likelihoods_and_none() {
        let same = ProbabilityShift::from_nll(&[0.3, 7.0], &[0.3, 7.0]);
        assert_eq!((same.rms(), same.rms_error(), same.p999), (0.0, 0.0, 0.0));
        assert_eq!(ProbabilityShift::from_nll(&[], &[]), ProbabilityShift::default());
        assert!(ProbabilityShift::default().rms().is_nan());
        let one = ProbabilityShift::from_nll(&[f64::INFINITY], &[0.0]);
        assert_eq!((one.mean(), one.mean_error(), one.min), (-1.0, 0.0, -1.0));
        assert!(one.is_finite() && !ProbabilityShift::from_nll(&[f64::NAN], &[0.0]).is_finite());
    }
}
