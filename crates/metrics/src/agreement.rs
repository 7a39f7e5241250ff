//! How often cell and baseline have the same most likely token.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Share of scored tokens where cell and baseline have the same most likely token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Share in 0..=1; 0 without tokens.
    pub share: f64,
    /// Standard error of the share, `sqrt(p·(1 − p) / (n − 1))`; 0 below two tokens.
    pub error: f64,
}

impl Agreement {
    /// Computes the share from `same`, the number of agreeing tokens, among `n` scored ones.
    #[must_use]
    pub fn from_counts(same: u64, n: u64) -> Self {
        if n == 0 {
            return Self::default();
        }
        let share = same as f64 / n as f64;
        let error =
            if n < 2 { 0.0 } else { (share * (1.0 - share) / (n - 1) as f64).max(0.0).sqrt() };
        Self { share, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binomial_error() {
        let got = Agreement::from_counts(90, 101);
        let p = 90.0_f64 / 101.0;
        assert_eq!(got.share, p);
        assert!((got.error - (p * (1.0 - p) / 100.0).sqrt()).abs() < 1e-16);
        assert_eq!(Agreement::from_counts(5, 5), Agreement { share: 1.0, error: 0.0 });
        assert_eq!(Agreement::from_counts(1, 1).error, 0.0);
        assert_eq!(Agreement::from_counts(0, 0), Agreement::default());
    }
}
