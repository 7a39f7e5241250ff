//! Rotary positions: frequencies and tables of cosines and sines.

/// Rotary position embedding of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeConfig {
    /// Base of the frequencies.
    pub theta: f64,
    /// How the frequencies are changed for longer contexts.
    pub scaling: RopeScaling,
}

/// How frequencies are changed for contexts longer than those first trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All frequencies divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1: low frequencies divided by `factor`, high ones kept, those between mixed.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original_positions / low_frequency_factor` are low frequencies.
        low_frequency_factor: f64,
        /// Wavelengths below `original_positions / high_frequency_factor` are high frequencies.
        high_frequency_factor: f64,
        /// The context first trained on.
        original_positions: f64,
    },
}

impl RopeConfig {
    /// One frequency for each pair of channels `(i, i + head_dim / 2)`.
    ///
    /// Rounded to f32 where Transformers rounds, because a position times a frequency reaches
    /// thousands of radians, and there the rounding of the frequency is what one sees.
    #[must_use]
    pub fn frequencies(&self, head_dim: usize) -> Vec<f32> {
        (0..head_dim / 2)
            .map(|pair| {
                let exponent = (2 * pair) as f32 / head_dim as f32;
                let power = (self.theta as f32 as f64).powf(f64::from(exponent)) as f32;
                self.scale(1.0 / power)
            })
            .collect()
    }

    fn scale(&self, frequency: f32) -> f32 {
        match self.scaling {
            RopeScaling::None => frequency,
            RopeScaling::Linear { factor } => frequency / factor as f32,
            RopeScaling::Llama3 {
                factor,
                low_frequency_factor: low,
                high_frequency_factor: high,
                original_positions: original,
            } => {
                let wavelength = (2.0 * std::f64::consts::PI) as f32 / frequency;
                if f64::from(wavelength) > original / low {
                    frequency / factor as f32
                } else if f64::from(wavelength) < original / high {
                    frequency
                } else {
                    let smooth =
                        (original as f32 / wavelength - low as f32) / (high as f32 - low as f32);
                    (1.0 - smooth) * frequency / factor as f32 + smooth * frequency
                }
            }
        }
    }
}

/// Cosines and sines of positions `0..positions`, `[positions, head_dim / 2]` each.
#[derive(Debug, Clone, Default)]
pub struct RopeTable {
    /// Cosines.
    pub cos: Vec<f32>,
    /// Sines.
    pub sin: Vec<f32>,
    /// Positions that are there.
    pub positions: usize,
    frequencies: Vec<f32>,
}

impl RopeTable {
    /// A table without positions.
    #[must_use]
    pub fn new(config: &RopeConfig, head_dim: usize) -> RopeTable {
        RopeTable { frequencies: config.frequencies(head_dim), ..RopeTable::default() }
    }

    /// Makes sure that the first `positions` are there.
    pub fn extend(&mut self, positions: usize) {
        for position in self.positions..positions {
            for frequency in &self.frequencies {
                let angle = f64::from(position as f32 * frequency);
                self.cos.push(angle.cos() as f32);
                self.sin.push(angle.sin() as f32);
            }
        }
        self.positions = self.positions.max(positions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_frequencies_fall_from_one() {
        let rope = RopeConfig { theta: 10_000.0, scaling: RopeScaling::None };
        let frequencies = rope.frequencies(4);
        assert_eq!(frequencies[0], 1.0);
        assert!((frequencies[1] - 0.01).abs() < 1e-9);
    }

    #[test]
    fn llama3_divides_low_frequencies_only() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_positions: 8192.0,
        };
        let scaled = RopeConfig { theta: 500_000.0, scaling }.frequencies(128);
        let plain = RopeConfig { theta: 500_000.0, scaling: RopeScaling::None }.frequencies(128);
        assert_eq!(scaled[0], plain[0]);
        assert_eq!(scaled[63], plain[63] / 8.0);
        let between = scaled.iter().zip(&plain).filter(|(s, p)| **s < **p && **s > **p / 8.0);
        assert!(between.count() > 3);
    }

    #[test]
    fn tables_grow() {
        let rope = RopeConfig { theta: 10_000.0, scaling: RopeScaling::None };
        let mut table = RopeTable::new(&rope, 4);
        table.extend(2);
        table.extend(3);
        assert_eq!(table.cos.len(), 6);
        assert_eq!(table.cos[0], 1.0);
        assert!((table.sin[4] - 2.0f32.sin()).abs() < 1e-7);
    }
}
