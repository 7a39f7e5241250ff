//! The block of low frequencies of the two-dimensional Fourier transform of a message.

use std::fmt;
use std::sync::Arc;

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};
use strait_sdk::prelude::*;

use crate::dct::real_ends;

/// Plans and work space for one shape.
pub(crate) struct Block {
    rows: usize,
    channels: usize,
    along_channels: (Arc<dyn RealToComplex<f32>>, Arc<dyn ComplexToReal<f32>>),
    along_tokens: (Arc<dyn Fft<f32>>, Arc<dyn Fft<f32>>),
    row: Vec<f32>,
    spectrum: Vec<Complex32>,
    scratch: Vec<Complex32>,
    /// Spectra over channels, `[kept, rows]`.
    columns: Vec<Complex32>,
}

impl Block {
    /// A transform of `rows` × `channels` values, both at least 1.
    pub(crate) fn new(
        rows: usize,
        channels: usize,
        real: &mut RealFftPlanner<f32>,
        complex: &mut FftPlanner<f32>,
    ) -> Block {
        let along_channels = (real.plan_fft_forward(channels), real.plan_fft_inverse(channels));
        let along_tokens = (complex.plan_fft_forward(rows), complex.plan_fft_inverse(rows));
        let lengths = [
            along_channels.0.get_scratch_len(),
            along_channels.1.get_scratch_len(),
            along_tokens.0.get_inplace_scratch_len(),
            along_tokens.1.get_inplace_scratch_len(),
        ];
        Block {
            rows,
            channels,
            row: along_channels.0.make_input_vec(),
            spectrum: along_channels.0.make_output_vec(),
            scratch: vec![Complex32::default(); lengths.into_iter().max().unwrap_or(0)],
            columns: Vec::new(),
            along_channels,
            along_tokens,
        }
    }

    pub(crate) fn is_for(&self, rows: usize, channels: usize) -> bool {
        (self.rows, self.channels) == (rows, channels)
    }

    /// Spectra `[kept, rows]` of the rows that `row` gives: over channels the first `kept` frequencies,
    /// over tokens all of them, divided by √(rows · channels).
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn forward(
        &mut self,
        kept: usize,
        mut row: impl FnMut(usize, &mut [f32]),
    ) -> Result<&[Complex32]> {
        self.columns.resize(kept * self.rows, Complex32::default());
        let norm = 1.0 / (self.rows as f32 * self.channels as f32).sqrt();
        for i in 0..self.rows {
            row(i, &mut self.row);
            self.along_channels
                .0
                .process_with_scratch(&mut self.row, &mut self.spectrum, &mut self.scratch)
                .map_err(|error| Error::new(format!("Fourier transform: {error}")))?;
            for (frequency, value) in self.spectrum.iter().take(kept).enumerate() {
                self.columns[frequency * self.rows + i] = value * norm;
            }
        }
        self.along_tokens.0.process_with_scratch(&mut self.columns, &mut self.scratch);
        Ok(&self.columns)
    }

    /// The spectra `[kept, rows]` to fill for [`inverse`](Block::inverse), all zero.
    pub(crate) fn cleared(&mut self, kept: usize) -> &mut [Complex32] {
        self.columns.clear();
        self.columns.resize(kept * self.rows, Complex32::default());
        &mut self.columns
    }

    /// Takes the spectra over tokens back; then each row is ready for [`row`](Block::row).
    pub(crate) fn inverse(&mut self) {
        self.along_tokens.1.process_with_scratch(&mut self.columns, &mut self.scratch);
    }

    /// One row of values.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn row(&mut self, kept: usize, i: usize, values: &mut [f32]) -> Result<()> {
        let norm = 1.0 / (self.rows as f32 * self.channels as f32).sqrt();
        self.spectrum.fill(Complex32::default());
        for (frequency, value) in self.spectrum.iter_mut().take(kept).enumerate() {
            *value = self.columns[frequency * self.rows + i] * norm;
        }
        real_ends(&mut self.spectrum, self.channels);
        self.along_channels
            .1
            .process_with_scratch(&mut self.spectrum, values, &mut self.scratch)
            .map_err(|error| Error::new(format!("inverse Fourier transform: {error}")))
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({}, {})", self.rows, self.channels)
    }
}

/// Frequencies over tokens that are kept, in the order they are stored: 0, 1, -1, 2, -2 and so on.
pub(crate) fn token_frequency(place: usize, rows: usize) -> usize {
    let magnitude = place.div_ceil(2);
    if place % 2 == 1 || magnitude == 0 { magnitude } else { rows - magnitude }
}
