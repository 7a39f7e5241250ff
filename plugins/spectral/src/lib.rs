//! spectral: the low frequencies of a message, over tokens and channels, and none of the others.
//!
//! Paper: [FourierCompress](https://arxiv.org/abs/2510.16418) (`fft`); the cosine transforms are the usual
//! DCT-II. All transforms are orthonormal, x [N tokens, C channels]:
//!
//! - `fft`: F = FFT2(x) / √(N C). Kept: over channels the first K_C = max(1, round(channels (⌊C/2⌋ + 1)))
//!   frequencies, the others being conjugates; over tokens K_N frequencies 0, 1, -1, 2, -2, …, with
//!   K_N = round(tokens N) made odd by one more unless it is N. x' = the inverse with zeros elsewhere.
//! - `dct_channels`: of every token the first max(1, round(channels C)) coefficients.
//! - `dct_tokens`: over the tokens of every channel, the first max(1, round(tokens N)) coefficients.
//!
//! Stored: rows of numbers, for `fft` one per kept frequency over tokens (real and imaginary parts in
//! turn), for `dct_channels` one per token, for `dct_tokens` one per kept frequency. `bf16`: 16 bits each.
//! `f16`: the largest magnitude m of the row in f32, then v/m. `int`: s = m / (2^(bits-1) - 1) in f32, then
//! round(v/s) + 2^(bits-1) - 1 in `bits` bits. Quarter of the channels' and half of the tokens' frequencies
//! are 2 bits a value in 16 bits.
//!
//! ```
//! # strait_conformance::check_example::<strait_spectral::Spectral>(r#"
//! [[compressor]]
//! codec = "spectral"
//! params = { transform = "dct_channels", channels = 0.5, values = "int", bits = 6 }
//! # "#);
//! ```
//!
//! Error: what the other frequencies hold; channels of a model have no order that makes their spectrum
//! low, which the paper finds for the first layer alone. Limits: NaN counts as 0, magnitudes beyond 1e30
//! as 1e30; the result is finite. `fft` and `dct_tokens` make a token depend on its whole message, and
//! with one token `fft` keeps K_C frequencies of it. The frequencies -1, -2, … over tokens at frequency 0 over
//! channels are conjugates of others and stored all the same. Transforms run in f32: their last bits may
//! differ between CPUs.

mod dct;
mod fft;
mod params;
mod store;

use realfft::RealFftPlanner;
use rustfft::FftPlanner;
use rustfft::num_complex::Complex32;
use strait_sdk::prelude::*;

pub use params::{SpectralParams, Transform, Values};

use dct::Dct;
use fft::{Block, token_frequency};
use store::Store;

/// Channels that are transposed at a time.
const TILE: usize = 16;

/// Sums of this times the size of a message stay finite.
const LARGEST: f32 = 1e30;

/// The codec `spectral`.
pub struct Spectral {
    params: SpectralParams,
    store: Store,
    real: RealFftPlanner<f32>,
    complex: FftPlanner<f32>,
    dct: Option<Dct>,
    block: Option<Block>,
    work: Vec<f32>,
}

impl Codec for Spectral {
    const INFO: CodecInfo = CodecInfo {
        id: "spectral",
        summary: "low frequencies over tokens and channels: a Fourier block or a cosine transform",
        paper: "https://arxiv.org/abs/2510.16418",
        ..CodecInfo::DEFAULT
    };
    type Params = SpectralParams;

    fn open(params: SpectralParams) -> Result<Self> {
        Ok(Spectral {
            store: Store::new(&params),
            params,
            real: RealFftPlanner::new(),
            complex: FftPlanner::new(),
            dct: None,
            block: None,
            work: Vec::new(),
        })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let shape = message.shape();
        let Shape { rows, channels, .. } = shape;
        if shape.values() == 0 {
            return Ok(());
        }
        let (kept_rows, kept) = self.kept(shape);
        payload.reserve(self.payload_bytes(shape).limit());
        match self.params.transform {
            Transform::DctChannels => {
                self.work.resize(channels, 0.0);
                let dct = dct(&mut self.dct, channels, &mut self.real);
                message.for_each_row(|_, x| {
                    bounded(x, &mut self.work);
                    dct.forward(&mut self.work)?;
                    self.store.write(&mut self.work[..kept], payload);
                    Ok(())
                })
            }
            Transform::DctTokens => {
                let dct = dct(&mut self.dct, rows, &mut self.real);
                self.work.clear();
                message.for_each_row(|_, x| {
                    self.work.extend(x.iter().map(|x| bound(*x)));
                    Ok(())
                })?;
                over_columns(&mut self.work, rows, channels, |column| dct.forward(column))?;
                for row in self.work.chunks_mut(channels).take(kept_rows) {
                    self.store.write(row, payload);
                }
                Ok(())
            }
            Transform::Fft => {
                let block = block(&mut self.block, shape, &mut self.real, &mut self.complex);
                let mut x = vec![0.0; channels];
                let spectra = block.forward(kept, |i, values| {
                    message.row_f32(i, &mut x);
                    bounded(&x, values);
                })?;
                self.work.resize(2 * kept, 0.0);
                for place in 0..kept_rows {
                    let frequency = token_frequency(place, rows);
                    for (pair, spectrum) in self.work.chunks_mut(2).zip(spectra.chunks(rows)) {
                        pair.copy_from_slice(&[spectrum[frequency].re, spectrum[frequency].im]);
                    }
                    self.store.write(&mut self.work, payload);
                }
                Ok(())
            }
        }
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let shape = message.shape();
        let Shape { rows, channels, dtype } = shape;
        Error::check_payload_length(self.payload_bytes(shape).limit(), payload.len())?;
        if shape.values() == 0 {
            return Ok(());
        }
        let (kept_rows, kept) = self.kept(shape);
        let largest = largest(dtype);
        let Spectral { params, store, real, work, .. } = self;
        match params.transform {
            Transform::DctChannels => {
                let dct = dct(&mut self.dct, channels, real);
                let row_bytes = store.bytes(kept);
                message.for_each_row(|i, row| {
                    row.fill(0.0);
                    store.read(&payload[i * row_bytes..][..row_bytes], &mut row[..kept])?;
                    dct.inverse(row)?;
                    finish(row, largest);
                    Ok(())
                })
            }
            Transform::DctTokens => {
                let dct = dct(&mut self.dct, rows, real);
                let row_bytes = store.bytes(channels);
                work.clear();
                work.resize(rows * channels, 0.0);
                let rows_of = work.chunks_mut(channels).zip(payload.chunks(row_bytes));
                for (row, bytes) in rows_of.take(kept_rows) {
                    store.read(bytes, row)?;
                }
                over_columns(work, rows, channels, |column| dct.inverse(column))?;
                finish(work, largest);
                message.write_f32(work)
            }
            Transform::Fft => {
                let block = block(&mut self.block, shape, real, &mut self.complex);
                let row_bytes = store.bytes(2 * kept);
                work.resize(2 * kept, 0.0);
                let spectra = block.cleared(kept);
                for (place, bytes) in payload.chunks(row_bytes).enumerate() {
                    store.read(bytes, work)?;
                    let frequency = token_frequency(place, rows);
                    for (pair, spectrum) in work.chunks(2).zip(spectra.chunks_mut(rows)) {
                        spectrum[frequency] = Complex32::new(pair[0], pair[1]);
                    }
                }
                block.inverse();
                message.for_each_row(|i, row| {
                    block.row(kept, i, row)?;
                    finish(row, largest);
                    Ok(())
                })
            }
        }
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        let (rows, kept) = self.kept(shape);
        let numbers = if self.params.transform == Transform::Fft { 2 * kept } else { kept };
        PayloadBytes::Exact(match shape.values() {
            0 => 0,
            _ => rows * self.store.bytes(numbers),
        })
    }
}

impl Spectral {
    /// Stored rows, and coefficients of one.
    fn kept(&self, shape: Shape) -> (usize, usize) {
        let Shape { rows, channels, .. } = shape;
        match self.params.transform {
            Transform::DctChannels => (rows, share(self.params.channels, channels)),
            Transform::DctTokens => (share(self.params.tokens, rows), channels),
            Transform::Fft => {
                let tokens = share(self.params.tokens, rows);
                (tokens | usize::from(tokens < rows), share(self.params.channels, channels / 2 + 1))
            }
        }
    }
}

impl std::fmt::Debug for Spectral {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Spectral({:?})", self.params)
    }
}

/// A share of so many, at least 1 and at most all.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn share(share: f64, count: usize) -> usize {
    ((share * count as f64).round() as usize).max(1).min(count)
}

/// The transform of this length, made anew when it is another.
fn dct<'a>(
    slot: &'a mut Option<Dct>,
    length: usize,
    real: &mut RealFftPlanner<f32>,
) -> &'a mut Dct {
    if slot.as_ref().is_some_and(|dct| dct.length() != length) {
        *slot = None;
    }
    slot.get_or_insert_with(|| Dct::new(length, real))
}

/// The transform of this shape, made anew when it is another.
fn block<'a>(
    slot: &'a mut Option<Block>,
    shape: Shape,
    real: &mut RealFftPlanner<f32>,
    complex: &mut FftPlanner<f32>,
) -> &'a mut Block {
    let Shape { rows, channels, .. } = shape;
    if slot.as_ref().is_some_and(|block| !block.is_for(rows, channels)) {
        *slot = None;
    }
    slot.get_or_insert_with(|| Block::new(rows, channels, real, complex))
}

/// Calls `f` with every column of a matrix `[rows, channels]`.
fn over_columns(
    values: &mut [f32],
    rows: usize,
    channels: usize,
    mut f: impl FnMut(&mut [f32]) -> Result<()>,
) -> Result<()> {
    let mut tile = vec![0.0; TILE * rows];
    for first in (0..channels).step_by(TILE) {
        let width = TILE.min(channels - first);
        for (i, row) in values.chunks(channels).enumerate() {
            for (j, value) in row[first..][..width].iter().enumerate() {
                tile[j * rows + i] = *value;
            }
        }
        tile.chunks_mut(rows).take(width).try_for_each(&mut f)?;
        for (i, row) in values.chunks_mut(channels).enumerate() {
            for (j, value) in row[first..][..width].iter_mut().enumerate() {
                *value = tile[j * rows + i];
            }
        }
    }
    Ok(())
}

fn bounded(x: &[f32], values: &mut [f32]) {
    values.iter_mut().zip(x).for_each(|(value, x)| *value = bound(*x));
}

fn bound(x: f32) -> f32 {
    if x.is_nan() { 0.0 } else { x.clamp(-LARGEST, LARGEST) }
}

/// Keeps the values within the dtype; a damaged payload may hold NaN and infinities.
fn finish(values: &mut [f32], largest: f32) {
    for value in values {
        *value = if value.is_nan() { 0.0 } else { value.clamp(-largest, largest) };
    }
}

/// The largest finite value of a dtype.
fn largest(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F32 => f32::MAX,
        Dtype::F16 => 65504.0,
        Dtype::BF16 => f32::from_bits(0x7f7f_0000),
    }
}

strait_sdk::export!(Spectral);
