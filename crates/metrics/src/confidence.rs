//! Divergence separately for tokens where the baseline is undecided and for those where it is sure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Divergence;

/// Bounds of the buckets of the baseline's largest probability, as in exllamav3's qbench. The last
/// bound lies above 1 so that 1 falls into a bucket.
pub const CONFIDENCE_EDGES: [f64; 6] = [0.0, 0.25, 0.5, 0.75, 0.95, 1.01];

/// The scored tokens where the baseline gives its most likely token a probability in `low..high`.
///
/// The mean divergence over all tokens is ruled by those where the baseline is undecided and nearly
/// any change is harmless; damage shows where it was sure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfidenceBucket {
    /// Smallest probability in the bucket.
    pub low: f64,
    /// First probability above it.
    pub high: f64,
    /// Scored tokens.
    pub n: u64,
    /// Tokens where cell and baseline have the same most likely token.
    pub same: u64,
    /// Their KL(baseline ‖ cell) in nats.
    pub kld: Divergence,
}

/// One bucket for each pair of neighbouring [`CONFIDENCE_EDGES`], empty ones included. For each token,
/// `top` is the baseline's largest probability, `kld` the divergence in nats, and `same` whether the
/// most likely tokens agree. The excess of longer slices is ignored.
#[must_use]
pub fn confidence_buckets(top: &[f32], kld: &[f32], same: &[bool]) -> Vec<ConfidenceBucket> {
    let place = |&p: &f32| CONFIDENCE_EDGES[1..5].iter().filter(|&&e| f64::from(p) >= e).count();
    let places: Vec<usize> = top.iter().map(place).collect();
    let tokens = || places.iter().zip(kld).zip(same);
    CONFIDENCE_EDGES
        .windows(2)
        .enumerate()
        .map(|(bucket, edges)| {
            let inside = || tokens().filter(|((place, _), _)| **place == bucket);
            let values: Vec<f32> = inside().map(|((_, &kld), _)| kld).collect();
            ConfidenceBucket {
                low: edges[0],
                high: edges[1],
                n: values.len() as u64,
                same: inside().filter(|(_, same)| **same).count() as u64,
                kld: Divergence::from_values(&values),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_belong_to_the_bucket_above() {
        let top = [0.0, 0.249, 0.25, 0.5, 0.75, 0.949, 0.9501, 1.0, 1.000_000_1];
        let kld = [1.0, 3.0, 5.0, 0.0, 0.0, 0.0, 0.25, 0.5, 0.75];
        let same = [false, true, false, true, true, true, true, false, true];
        let got = confidence_buckets(&top, &kld, &same);
        let counts: Vec<_> = got.iter().map(|b| (b.n, b.same)).collect();
        assert_eq!(counts, [(2, 1), (1, 0), (1, 1), (2, 2), (3, 2)]);
        assert_eq!((got[0].kld.mean, got[1].kld.max, got[4].kld.median), (2.0, 5.0, 0.5));
        assert_eq!((got[4].low, got[4].high), (0.95, 1.01));
    }

    #[test]
    fn no_tokens_are_five_empty_buckets() {
        let got = confidence_buckets(&[], &[], &[]);
        assert_eq!(got.len(), 5);
        assert!(got.iter().all(|b| b.n == 0 && b.kld == Divergence::default()));
    }
}
