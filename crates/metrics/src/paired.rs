//! Perplexity of a cell and of its baseline over the same tokens, with errors that use the pairing.
//!
//! The formulas are those of llama.cpp's perplexity tool. They are rearranged around the per-token
//! difference `d = a − b`: written with `a` and `b` alone, `se(a)² + se(b)² − 2·cov(a, b)` subtracts
//! numbers that agree in nearly all digits, and over 300,000 tokens nothing is left of it when the
//! codec is good.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Raw sums over scored tokens of the negative log-likelihood (nats) under a cell, `a`, and under
/// the baseline, `b`. Everything that [`PairedSums::summary`] reports follows from these.
///
/// Sums are plain additions, so merging the same windows in the same order always gives the same
/// bits, whether or not the run was interrupted in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairedSums {
    /// Scored tokens.
    pub n: u64,
    /// Σa: NLL of the cell in nats.
    pub a: f64,
    /// Σb: NLL of the baseline in nats.
    pub b: f64,
    /// Σb².
    pub bb: f64,
    /// Σd with d = a − b per token.
    pub d: f64,
    /// Σd².
    pub dd: f64,
    /// Σb·d.
    pub bd: f64,
}

/// The figures that follow from [`PairedSums`]. An error is one standard error with the n − 1
/// correction, and 0 where fewer than two tokens leave it undefined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paired {
    /// Scored tokens.
    pub n: u64,
    /// Perplexity of the cell, `e^mean(a)`; NaN without tokens.
    pub ppl: f64,
    /// Error of `ppl`: `ppl · se(a)`.
    pub ppl_error: f64,
    /// Perplexity of the baseline, `e^mean(b)`.
    pub base_ppl: f64,
    /// Error of `base_ppl`: `base_ppl · se(b)`.
    pub base_ppl_error: f64,
    /// `ppl − base_ppl`, computed without cancellation; exactly 0 for equal scores.
    pub delta: f64,
    /// Error of `delta`: `sqrt(u² + v² − 2·ppl·base_ppl·cov(a, b))`, where u and v are the errors of
    /// `ppl` and `base_ppl`.
    pub delta_error: f64,
    /// `mean(a) − mean(b)`, the logarithm of `ratio`.
    pub ln_ratio: f64,
    /// Error of `ln_ratio`: `sqrt(se(a)² + se(b)² − 2·cov(a, b))`.
    pub ln_ratio_error: f64,
    /// `ppl / base_ppl`.
    pub ratio: f64,
    /// Error of `ratio`: `ratio · ln_ratio_error`.
    pub ratio_error: f64,
    /// Pearson correlation of a and b; NaN where one of them does not vary.
    pub correlation: f64,
}

impl PairedSums {
    /// Adds one token: its NLL in nats under the cell and under the baseline.
    pub fn push(&mut self, a: f64, b: f64) {
        let d = a - b;
        self.n += 1;
        self.a += a;
        self.b += b;
        self.bb += b * b;
        self.d += d;
        self.dd += d * d;
        self.bd += b * d;
    }

    /// Adds the tokens of another set.
    pub fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.a += other.a;
        self.b += other.b;
        self.bb += other.bb;
        self.d += other.d;
        self.dd += other.dd;
        self.bd += other.bd;
    }

    /// Whether every sum is finite. JSON can represent nothing else, and a perplexity from other sums
    /// means nothing.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        [self.a, self.b, self.bb, self.d, self.dd, self.bd].iter().all(|sum| sum.is_finite())
    }

    /// Computes perplexities, their difference and ratio, and the paired errors.
    #[must_use]
    pub fn summary(&self) -> Paired {
        let n = self.n as f64;
        let (mean_a, mean_b, mean_d) = (self.a / n, self.b / n, self.d / n);
        // Variances and covariance of the means, not of the tokens.
        let var_b = self.of_means(self.bb, mean_b * mean_b).max(0.0);
        let var_d = self.of_means(self.dd, mean_d * mean_d).max(0.0);
        let cov_bd = self.of_means(self.bd, mean_b * mean_d);
        let var_a = (var_b + var_d + 2.0 * cov_bd).max(0.0);
        let cov_ab = var_b + cov_bd;

        let (ppl, base_ppl) = (mean_a.exp(), mean_b.exp());
        let delta = base_ppl * mean_d.exp_m1();
        let delta_var = ppl * ppl * var_d + delta * delta * var_b + 2.0 * ppl * delta * cov_bd;
        let (ratio, ln_ratio_error) = (mean_d.exp(), var_d.sqrt());
        Paired {
            n: self.n,
            ppl,
            ppl_error: ppl * var_a.sqrt(),
            base_ppl,
            base_ppl_error: base_ppl * var_b.sqrt(),
            delta,
            delta_error: delta_var.max(0.0).sqrt(),
            ln_ratio: mean_d,
            ln_ratio_error,
            ratio,
            ratio_error: ratio * ln_ratio_error,
            correlation: cov_ab / (var_a.sqrt() * var_b.sqrt()),
        }
    }

    /// (Σxy / n − mean(x)·mean(y)) / (n − 1).
    fn of_means(&self, sum_of_products: f64, product_of_means: f64) -> f64 {
        if self.n < 2 {
            return 0.0;
        }
        let n = self.n as f64;
        (sum_of_products / n - product_of_means) / (n - 1.0)
    }
}

/// Bits per byte of text: `nll` is in nats over all scored tokens, `bytes` counts the UTF-8 bytes that
/// they spell. Unlike perplexity, it is comparable between models with different tokenizers.
#[must_use]
pub fn bits_per_byte(nll: f64, bytes: u64) -> f64 {
    nll / (std::f64::consts::LN_2 * bytes as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(pairs: &[(f64, f64)]) -> PairedSums {
        let mut sums = PairedSums::default();
        for &(a, b) in pairs {
            sums.push(a, b);
        }
        sums
    }

    #[test]
    fn closed_form_of_two_tokens() {
        // a = 1, 3: mean 2, se = sqrt(((1 + 9) / 2 − 4) / 1) = 1. b = 1, 2: mean 1.5, se 0.5, cov 0.5.
        let s = sums(&[(1.0, 1.0), (3.0, 2.0)]).summary();
        let (q, b) = (2.0_f64.exp(), 1.5_f64.exp());
        assert!((s.ppl - q).abs() < 1e-14 && (s.base_ppl - b).abs() < 1e-14);
        assert!((s.ppl_error - q).abs() < 1e-13);
        assert!((s.base_ppl_error - 0.5 * b).abs() < 1e-13);
        assert!((s.ln_ratio - 0.5).abs() < 1e-15 && (s.ln_ratio_error - 0.5).abs() < 1e-14);
        assert!((s.ratio_error - 0.5 * 0.5_f64.exp()).abs() < 1e-14);
        assert!((s.correlation - 1.0).abs() < 1e-14);
        let expected = (q * q + 0.25 * b * b - 2.0 * q * b * 0.5).sqrt();
        assert!((s.delta_error - expected).abs() < 1e-13);
        assert!((s.delta - (q - b)).abs() < 1e-13);
    }

    #[test]
    fn equal_scores_differ_by_exactly_nothing() {
        let s = sums(&[(2.3, 2.3), (7.1, 7.1), (0.01, 0.01)]).summary();
        assert_eq!((s.delta, s.delta_error, s.ln_ratio, s.ln_ratio_error), (0.0, 0.0, 0.0, 0.0));
        assert_eq!((s.ratio, s.ratio_error), (1.0, 0.0));
        assert!((s.correlation - 1.0).abs() < 1e-15);
    }

    #[test]
    fn one_token_has_no_error_and_none_has_no_value() {
        let one = sums(&[(2.0, 1.0)]).summary();
        assert_eq!((one.ppl_error, one.delta_error, one.ln_ratio), (0.0, 0.0, 1.0));
        assert!(PairedSums::default().summary().ppl.is_nan());
    }

    #[test]
    fn the_paired_error_survives_tiny_differences_over_many_tokens() {
        // d alternates between 2e-9 and 0: its mean is 1e-9, and the error of that is 1e-9 / sqrt(n −
        // 1).
        let n = 300_000_u32;
        let pairs: Vec<(f64, f64)> = (0..n)
            .map(|t| {
                let b = f64::from(t.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 21);
                (b + if t % 2 == 0 { 2e-9 } else { 0.0 }, b)
            })
            .collect();
        let got = sums(&pairs).summary();
        let expected = 1e-9 / f64::from(n - 1).sqrt();
        assert!((got.ln_ratio - 1e-9).abs() < 1e-15, "{}", got.ln_ratio);
        assert!((got.ln_ratio_error / expected - 1.0).abs() < 1e-6, "{}", got.ln_ratio_error);

        // ΔPPL to first order is the mean of ppl·d + ΔPPL·b, whose error two passes give directly.
        let x: Vec<f64> = pairs.iter().map(|(a, b)| got.ppl * (a - b) + got.delta * b).collect();
        let mean = x.iter().sum::<f64>() / f64::from(n);
        let squares: f64 = x.iter().map(|x| (x - mean) * (x - mean)).sum();
        let expected = (squares / (f64::from(n) * f64::from(n - 1))).sqrt();
        assert!((got.delta_error / expected - 1.0).abs() < 1e-6, "{}", got.delta_error);
    }

    #[test]
    fn non_finite_scores_are_noticed() {
        assert!(sums(&[(1.0, 2.0)]).is_finite());
        assert!(!sums(&[(f64::INFINITY, 2.0)]).is_finite());
        assert!(!sums(&[(f64::NAN, 2.0)]).is_finite());
    }

    #[test]
    fn one_bit_per_byte() {
        assert!((bits_per_byte(8.0 * std::f64::consts::LN_2, 8) - 1.0).abs() < 1e-15);
    }
}
