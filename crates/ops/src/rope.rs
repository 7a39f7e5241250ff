//! Rotary positions: frequencies and tables of cosines and sines.

use std::f64::consts::PI;

/// Rotary position embedding of a block. The first `rotated` channels of every head are rotated in
/// pairs `(c, c + rotated / 2)`; the others are left unchanged.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// Base of the frequencies.
    pub theta: f64,
    /// Channels of a head that are rotated; even.
    pub rotated: usize,
    /// How the frequencies are adapted to longer contexts.
    pub scaling: RopeScaling,
    /// Factor applied to cosines and sines.
    pub attention_factor: f64,
    /// Whether, in a half type, only the result is rounded, and not cosines, sines and products as
    /// well.
    pub rounded_once: bool,
}

/// How frequencies are adapted to contexts longer than the original training context.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// No scaling.
    None,
    /// All frequencies divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1: low frequencies are divided by `factor`, high ones kept, and those in between
    /// interpolated.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original_positions / low_frequency_factor` are low frequencies.
        low_frequency_factor: f64,
        /// Wavelengths below `original_positions / high_frequency_factor` are high frequencies.
        high_frequency_factor: f64,
        /// The original training context, in tokens.
        original_positions: f64,
    },
    /// YaRN: low frequencies are divided by `factor`, high ones kept, with a ramp over the pairs in
    /// between.
    Yarn {
        /// The divisor of low frequencies.
        factor: f64,
        /// Turns in `original_positions` above which a frequency is high.
        beta_fast: f64,
        /// Turns in `original_positions` below which a frequency is low.
        beta_slow: f64,
        /// Whether the ramp begins and ends at whole pairs.
        truncate: bool,
        /// The original training context, in tokens.
        original_positions: f64,
    },
    /// LongRoPE: every frequency has its own divisor, and a different one in long sequences.
    Long {
        /// Divisors in sequences of up to `original_positions` tokens, one for each pair.
        short: Vec<f64>,
        /// Divisors in longer sequences, one for each pair.
        long: Vec<f64>,
        /// Tokens of the longest sequence that does not count as long.
        original_positions: f64,
    },
}

impl RopeConfig {
    /// Whether a sequence of `tokens` tokens uses the frequencies of long sequences.
    #[must_use]
    pub fn is_long(&self, tokens: usize) -> bool {
        match self.scaling {
            RopeScaling::Long { original_positions, .. } => tokens as f64 > original_positions,
            _ => false,
        }
    }

    /// One frequency for each pair of channels, in long sequences or short ones.
    ///
    /// Rounded to f32 where Transformers rounds: a position times a frequency reaches thousands of
    /// radians, where the rounding of the frequency dominates the result.
    #[must_use]
    pub fn frequencies(&self, long: bool) -> Vec<f32> {
        let powers = (0..self.rotated / 2).map(|pair| {
            let exponent = (2 * pair) as f32 / self.rotated as f32;
            f64::from(self.theta as f32).powf(f64::from(exponent)) as f32
        });
        powers.enumerate().map(|(pair, power)| self.scaled(pair, power, long)).collect()
    }

    fn scaled(&self, pair: usize, power: f32, long: bool) -> f32 {
        let plain = 1.0 / power;
        match &self.scaling {
            RopeScaling::None => plain,
            RopeScaling::Linear { factor } => plain / *factor as f32,
            RopeScaling::Llama3 {
                factor,
                low_frequency_factor: low,
                high_frequency_factor: high,
                original_positions: original,
            } => {
                let wavelength = (2.0 * PI) as f32 / plain;
                if f64::from(wavelength) > original / low {
                    plain / *factor as f32
                } else if f64::from(wavelength) < original / high {
                    plain
                } else {
                    let smooth =
                        (*original as f32 / wavelength - *low as f32) / (high - low) as f32;
                    (1.0 - smooth) * plain / *factor as f32 + smooth * plain
                }
            }
            RopeScaling::Yarn { factor, beta_fast, beta_slow, truncate, original_positions } => {
                let pair_of = |turns: f64| {
                    let ratio = original_positions / (turns * 2.0 * PI);
                    self.rotated as f64 * ratio.ln() / (2.0 * self.theta.ln())
                };
                let (mut low, mut high) = (pair_of(*beta_fast), pair_of(*beta_slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                (low, high) = (low.max(0.0), high.min(self.rotated as f64 - 1.0));
                if low == high {
                    high += 0.001;
                }
                let ramp = (pair as f32 - low as f32) / (high - low) as f32;
                let keep = 1.0 - ramp.clamp(0.0, 1.0);
                1.0 / (*factor as f32 * power) * (1.0 - keep) + plain * keep
            }
            RopeScaling::Long { short, long: divisors, .. } => {
                let divisors = if long { divisors } else { short };
                1.0 / (divisors.get(pair).map_or(1.0, |divisor| *divisor as f32) * power)
            }
        }
    }
}

/// Cosines and sines of positions `0..positions`, each `[positions, rotated / 2]`, times the
/// attention factor.
#[derive(Debug, Clone)]
pub struct RopeTable {
    /// Cosines, `[positions, rotated / 2]`.
    pub cos: Vec<f32>,
    /// Sines, `[positions, rotated / 2]`.
    pub sin: Vec<f32>,
    /// Number of positions in the table.
    pub positions: usize,
    frequencies: Vec<f32>,
    factor: f32,
}

impl RopeTable {
    /// An empty table, for long sequences or short ones.
    #[must_use]
    pub fn new(config: &RopeConfig, long: bool) -> RopeTable {
        let frequencies = config.frequencies(long);
        let factor = config.attention_factor as f32;
        RopeTable { cos: Vec::new(), sin: Vec::new(), positions: 0, frequencies, factor }
    }

    /// Extends the table to at least `positions` positions.
    pub fn extend(&mut self, positions: usize) {
        for position in self.positions..positions {
            for frequency in &self.frequencies {
                let angle = f64::from(position as f32 * frequency);
                self.cos.push(angle.cos() as f32 * self.factor);
                self.sin.push(angle.sin() as f32 * self.factor);
            }
        }
        self.positions = self.positions.max(positions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(theta: f64, rotated: usize, scaling: RopeScaling) -> RopeConfig {
        RopeConfig { theta, rotated, scaling, attention_factor: 1.0, rounded_once: false }
    }

    #[test]
    fn plain_frequencies_fall_from_one() {
        let frequencies = rope(10_000.0, 4, RopeScaling::None).frequencies(false);
        assert_eq!(frequencies[0], 1.0);
        assert!((frequencies[1] - 0.01).abs() < 1e-9);
    }

    #[test]
    fn llama3_and_yarn_divide_low_frequencies_only() {
        let plain = rope(500_000.0, 128, RopeScaling::None).frequencies(false);
        for scaling in [
            RopeScaling::Llama3 {
                factor: 8.0,
                low_frequency_factor: 1.0,
                high_frequency_factor: 4.0,
                original_positions: 8192.0,
            },
            RopeScaling::Yarn {
                factor: 8.0,
                beta_fast: 32.0,
                beta_slow: 1.0,
                truncate: true,
                original_positions: 8192.0,
            },
        ] {
            let scaled = rope(500_000.0, 128, scaling).frequencies(false);
            assert_eq!(scaled[0], plain[0]);
            assert_eq!(scaled[63], plain[63] / 8.0);
            let between = scaled.iter().zip(&plain).filter(|(s, p)| **s < **p && **s > **p / 8.0);
            assert!(between.count() > 3);
        }
    }

    #[test]
    fn long_sequences_have_divisors_of_their_own() {
        let scaling = RopeScaling::Long {
            short: vec![1.0, 2.0],
            long: vec![4.0, 8.0],
            original_positions: 16.0,
        };
        let rope = rope(10_000.0, 4, scaling);
        assert!(!rope.is_long(16) && rope.is_long(17));
        let (short, long) = (rope.frequencies(false), rope.frequencies(true));
        assert_eq!((short[0], long[0]), (1.0, 0.25));
        assert!((short[1] - 0.005).abs() < 1e-9 && (long[1] - 0.00125).abs() < 1e-9);
    }

    #[test]
    fn tables_grow() {
        let mut rope = rope(10_000.0, 4, RopeScaling::None);
        rope.attention_factor = 2.0;
        let mut table = RopeTable::new(&rope, false);
        table.extend(2);
        table.extend(3);
        assert_eq!(table.cos.len(), 6);
        assert_eq!(table.cos[0], 2.0);
        assert!((table.sin[4] - 2.0 * 2.0f32.sin()).abs() < 1e-7);
    }
}
