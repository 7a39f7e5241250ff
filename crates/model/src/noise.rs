//! Noise the size of rounding errors, to learn which differences mean nothing.

use std::error::Error;

use rayon::prelude::*;
use strait_ops::{Hidden, OpsError, Part, Place, Site, Tap};

/// A tap that multiplies the output of every layer by `1 + 2⁻⁹·N(0, 1)`, value by value: about the effect of
/// rounding to bf16, and so of summing in another order.
///
/// A value's noise depends only on the seed, its sequence's number, the layer, the position and the channel;
/// not on what is stacked with the sequence, nor on cuts or threads.
///
/// Source: exllamav3's `qbench`, noise floor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noise {
    /// Seed of the noise.
    pub seed: u64,
    /// A number for each sequence of the batch, such as that of its window.
    pub sequences: Vec<u64>,
}

impl Noise {
    /// Standard deviation of the noise, relative to a value.
    pub const SIZE: f64 = 1.0 / 512.0;

    /// Disturbs the output of layer `layer`, whose first token is at `first_position`.
    fn disturb(
        &self,
        layer: usize,
        first_position: usize,
        hidden: &mut Hidden,
    ) -> Result<(), OpsError> {
        if hidden.batch != self.sequences.len() {
            let found = self.sequences.len();
            return Err(OpsError::size("noise, sequences", hidden.batch, found));
        }
        let (tokens, channels, dtype) = (hidden.tokens, hidden.channels, hidden.dtype);
        let row = channels * dtype.size();
        if row == 0 {
            return Ok(());
        }
        hidden.data.par_chunks_mut(row).enumerate().for_each(|(index, bytes)| {
            let sequence = self.sequences[index / tokens];
            let position = first_position + index % tokens;
            let key = [sequence, layer as u64, position as u64];
            let mut random =
                Random::new(key.into_iter().fold(mix(self.seed), |state, part| mix(state ^ part)));
            let mut values = vec![0.0f32; channels];
            dtype.decode(bytes, &mut values);
            for pair in values.chunks_mut(2) {
                for (value, normal) in pair.iter_mut().zip(random.normals()) {
                    *value = (f64::from(*value) * (1.0 + Self::SIZE * normal)) as f32;
                }
            }
            dtype.encode(&values, bytes);
        });
        Ok(())
    }
}

impl Tap for Noise {
    fn wants(&self, site: Site, _: usize) -> bool {
        site == Site::LayerOutput
    }

    fn every_position(&self) -> bool {
        // Each value is disturbed independently of its neighbours.
        false
    }

    fn visit(
        &mut self,
        place: Place,
        parts: &mut Vec<Part>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        for part in parts {
            self.disturb(place.layer, place.first_position, &mut part.states)?;
        }
        Ok(())
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform in (0, 1].
    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Two independent values of the standard normal distribution (Box and Muller, 1958).
    fn normals(&mut self) -> [f64; 2] {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        [radius * cos, radius * sin]
    }
}

/// SplitMix64's output function.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use strait_ops::Dtype;

    use super::*;

    /// The noise on values of 1, in units of `SIZE`.
    fn noise(seed: u64, sequences: &[u64], layer: usize, shape: [usize; 2]) -> Vec<f64> {
        let [tokens, channels] = shape;
        let shape = [sequences.len(), tokens, channels];
        let ones = vec![1.0; shape.iter().product()];
        let mut hidden = Hidden::from_f32(&ones, shape, Dtype::F32).unwrap();
        Noise { seed, sequences: sequences.to_vec() }.disturb(layer, 0, &mut hidden).unwrap();
        hidden.to_f32().iter().map(|value| (f64::from(*value) - 1.0) * 512.0).collect()
    }

    #[test]
    fn the_noise_is_normal() {
        let values = noise(7, &[0, 1], 3, [200, 251]);
        let n = values.len() as f64;
        let moment = |power: i32| values.iter().map(|value| value.powi(power)).sum::<f64>() / n;
        assert!(moment(1).abs() < 0.01, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.02, "{}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.15, "{}", moment(4));
        let beyond = values.iter().filter(|value| value.abs() > 1.96).count() as f64 / n;
        assert!((beyond - 0.05).abs() < 0.004, "{beyond}");
        // Neighbouring values are uncorrelated.
        let lag =
            |step: usize| values.iter().zip(&values[step..]).map(|(a, b)| a * b).sum::<f64>() / n;
        for step in [1, 2, 251, 200 * 251] {
            assert!(lag(step).abs() < 0.02, "{step}: {}", lag(step));
        }
    }

    #[test]
    fn a_sequence_has_its_own_noise_whatever_is_stacked_with_it() {
        let alone = noise(7, &[5], 3, [4, 6]);
        assert_eq!(noise(7, &[2, 5], 3, [4, 6])[24..], alone);
        assert_eq!(noise(7, &[5], 3, [2, 6]), alone[..12]);
        for other in
            [noise(8, &[5], 3, [4, 6]), noise(7, &[5], 2, [4, 6]), noise(7, &[6], 3, [4, 6])]
        {
            assert_ne!(other, alone);
        }
    }

    #[test]
    fn a_position_has_its_own_noise_in_whichever_run_it_comes() {
        let whole = noise(7, &[5], 3, [4, 6]);
        let mut rest = Hidden::from_f32(&[1.0; 12], [1, 2, 6], Dtype::F32).unwrap();
        Noise { seed: 7, sequences: vec![5] }.disturb(3, 2, &mut rest).unwrap();
        let rest = rest.to_f32().into_iter().map(|value| (f64::from(value) - 1.0) * 512.0);
        assert_eq!(rest.collect::<Vec<_>>(), whole[12..]);
    }

    #[test]
    fn a_batch_of_another_size_is_refused() {
        let mut hidden = Hidden::zeros(2, 1, 1, Dtype::F32);
        let error = Noise { seed: 0, sequences: vec![0] }.disturb(0, 0, &mut hidden).unwrap_err();
        assert!(error.to_string().contains("noise, sequences"), "{error}");
    }
}
