//! Losses in units of what rounding alone does to the baseline.

use crate::PairedSums;

/// What the baseline loses against itself when its hidden states are disturbed as much as a
/// different rounding would disturb them. A cell whose loss is near 1 in these units loses nothing
/// that a different kernel would not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseFloor {
    /// Change of the perplexity that the noise causes; never negative.
    pub ppl_delta: f64,
    /// Mean KL(baseline ‖ disturbed baseline) in nats.
    pub kld: f64,
}

impl NoiseFloor {
    /// The floor from the disturbed baseline's sums and mean divergence.
    ///
    /// Its ΔPPL has either sign and may be close to zero by chance, so the unit is the standard
    /// error where that is larger than the difference.
    #[must_use]
    pub fn new(sums: &PairedSums, kld_mean: f64) -> Self {
        let paired = sums.summary();
        Self { ppl_delta: paired.delta.abs().max(paired.delta_error), kld: kld_mean.max(0.0) }
    }

    /// A difference of perplexities in units of the floor, with its sign.
    #[must_use]
    pub fn ppl_units(&self, delta: f64) -> f64 {
        units(delta, self.ppl_delta)
    }

    /// A mean divergence in units of the floor.
    #[must_use]
    pub fn kld_units(&self, kld_mean: f64) -> f64 {
        units(kld_mean, self.kld)
    }
}

/// `value / floor`, with 0 for a value of 0 and infinity for any other value over a floor of 0.
fn units(value: f64, floor: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value / floor }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_of_difference_and_error() {
        let mut certain = PairedSums::default();
        for (a, b) in [(1.5, 1.0), (2.5, 2.0), (1.75, 1.25)] {
            certain.push(a, b);
        }
        let floor = NoiseFloor::new(&certain, 0.25);
        let delta = certain.summary().delta;
        assert_eq!((floor.ppl_delta, floor.kld), (delta, 0.25));
        assert_eq!((floor.ppl_units(-3.0 * delta), floor.kld_units(0.5)), (-3.0, 2.0));

        let mut balanced = PairedSums::default();
        for (a, b) in [(1.5, 1.0), (1.0, 1.5)] {
            balanced.push(a, b);
        }
        let floor = NoiseFloor::new(&balanced, 0.25);
        assert_eq!(floor.ppl_delta, balanced.summary().delta_error);
        assert!(floor.ppl_delta > 0.5);
    }

    #[test]
    fn a_floor_of_nothing() {
        let floor = NoiseFloor { ppl_delta: 0.0, kld: 0.0 };
        assert_eq!((floor.ppl_units(0.0), floor.kld_units(0.0)), (0.0, 0.0));
        assert_eq!(floor.ppl_units(-1.0), f64::NEG_INFINITY);
    }
}
