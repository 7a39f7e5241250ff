//! The orthonormal cosine transform (DCT-II) and its inverse, by one real Fourier transform of the same length.

use std::fmt;
use std::sync::Arc;

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::num_complex::Complex32;
use strait_sdk::prelude::*;

/// Plans and work space for one length.
pub(crate) struct Dct {
    length: usize,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    /// e^(-iπk/2N) for k up to N/2.
    twiddles: Vec<Complex32>,
    shuffled: Vec<f32>,
    spectrum: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl Dct {
    /// A transform of `length` values, at least 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub(crate) fn new(length: usize, planner: &mut RealFftPlanner<f32>) -> Dct {
        let forward = planner.plan_fft_forward(length);
        let inverse = planner.plan_fft_inverse(length);
        let scratch = forward.get_scratch_len().max(inverse.get_scratch_len());
        let turn = -std::f64::consts::PI / (2.0 * length as f64);
        let twiddle = |k: usize| {
            let (sin, cos) = (turn * k as f64).sin_cos();
            Complex32::new(cos as f32, sin as f32)
        };
        Dct {
            length,
            twiddles: (0..=length / 2).map(twiddle).collect(),
            shuffled: forward.make_input_vec(),
            spectrum: forward.make_output_vec(),
            scratch: vec![Complex32::default(); scratch],
            forward,
            inverse,
        }
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// X_k = c_k Σ x_n cos(π (2n + 1) k / 2N) with c_0 = √(1/N) and c_k = √(2/N), in place.
    pub(crate) fn forward(&mut self, values: &mut [f32]) -> Result<()> {
        let n = self.length;
        // The even places forwards, then the odd ones backwards.
        for i in 0..n.div_ceil(2) {
            self.shuffled[i] = values[2 * i];
        }
        for i in 0..n / 2 {
            self.shuffled[n - 1 - i] = values[2 * i + 1];
        }
        self.forward
            .process_with_scratch(&mut self.shuffled, &mut self.spectrum, &mut self.scratch)
            .map_err(|error| Error::new(format!("cosine transform: {error}")))?;
        let (first, other) = self.norms();
        for (k, (value, twiddle)) in self.spectrum.iter().zip(&self.twiddles).enumerate() {
            let turned = value * twiddle;
            if k > 0 {
                values[n - k] = -turned.im * other;
            }
            values[k] = turned.re * if k == 0 { first } else { other };
        }
        Ok(())
    }

    /// Undoes [`forward`](Dct::forward), in place.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn inverse(&mut self, values: &mut [f32]) -> Result<()> {
        let n = self.length;
        let (first, other) = self.norms();
        for (k, (value, twiddle)) in self.spectrum.iter_mut().zip(&self.twiddles).enumerate() {
            let mirrored = if k == 0 { 0.0 } else { -values[n - k] / other };
            let turned = Complex32::new(values[k] / if k == 0 { first } else { other }, mirrored);
            *value = turned * twiddle.conj();
        }
        real_ends(&mut self.spectrum, n);
        self.inverse
            .process_with_scratch(&mut self.spectrum, &mut self.shuffled, &mut self.scratch)
            .map_err(|error| Error::new(format!("inverse cosine transform: {error}")))?;
        for i in 0..n.div_ceil(2) {
            values[2 * i] = self.shuffled[i] / n as f32;
        }
        for i in 0..n / 2 {
            values[2 * i + 1] = self.shuffled[n - 1 - i] / n as f32;
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)]
    fn norms(&self) -> (f32, f32) {
        let n = self.length as f32;
        ((1.0 / n).sqrt(), (2.0 / n).sqrt())
    }
}

/// Sets what must be real in the spectrum of `length` real values.
pub(crate) fn real_ends(spectrum: &mut [Complex32], length: usize) {
    if let Some(first) = spectrum.first_mut() {
        first.im = 0.0;
    }
    if length.is_multiple_of(2)
        && let Some(last) = spectrum.last_mut()
    {
        last.im = 0.0;
    }
}

impl fmt::Debug for Dct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dct({})", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_is_its_definition_and_its_inverse_undoes_it() {
        for n in [1_usize, 2, 3, 8, 15, 64, 129] {
            let values: Vec<f32> = (0..n).map(|i| ((i * 7919) % 23) as f32 - 11.0).collect();
            let mut found = values.clone();
            let mut dct = Dct::new(n, &mut RealFftPlanner::new());
            dct.forward(&mut found).unwrap();
            for (k, found) in found.iter().enumerate() {
                let angle = std::f64::consts::PI * k as f64 / (2 * n) as f64;
                let sum: f64 =
                    (0..n).map(|i| f64::from(values[i]) * (angle * (2 * i + 1) as f64).cos()).sum();
                let norm = if k == 0 { 1.0 } else { 2.0 } / n as f64;
                assert!((f64::from(*found) - sum * norm.sqrt()).abs() < 1e-3, "{n} {k}");
            }
            dct.inverse(&mut found).unwrap();
            for (value, back) in values.iter().zip(found) {
                assert!((value - back).abs() < 1e-4);
            }
        }
    }
}
