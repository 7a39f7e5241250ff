//! affine: integers of 1 to 8 bits on an evenly spaced grid, one scale per message, token, channel
//! or group.
//!
//! Formulas: the quantisers of [QuaRot](https://arxiv.org/abs/2404.00456), with L = 2^bits - 1, the
//! scale s rounded to `scale_dtype` before it divides, and rounding to nearest, ties to even:
//!
//! - `symmetric`: s = max|x| / (2^(bits-1) - 1), q = clamp(round(x/s), -2^(bits-1), 2^(bits-1) - 1),
//!   x' = s q. With 1 bit: s = mean|x|, x' = s where x >= 0 and -s elsewhere.
//! - `asymmetric`: the range [low, high] is widened to include 0; s = (high - low) / L,
//!   z = clamp(round(-low/s), 0, L), q = clamp(round(x/s) + z, 0, L), x' = s (q - z).
//! - `minimum`: s = (high - low) / L, m = low in `scale_dtype`, q = clamp(round((x - m)/s), 0, L),
//!   x' = m + s q.
//!
//! The range [low, high] may be narrowed before. `percentile` p: from the value of rank
//! round((100 - p)/100 (n - 1)) of the n values that share it to that of rank round(p/100 (n - 1)), with
//! `symmetric` of magnitudes. `mse`: the share 1, 1 - 1/steps, … above 0.2 of the full range with the
//! smallest squared error, the search of [GPTQ](https://arxiv.org/abs/2210.17323)'s published code. `clip` then takes its
//! share of it. A share is taken of both ends, with `minimum` of the distance to the middle. `stochastic`
//! rounding adds u - 1/2 before it rounds, u from a hash of `seed`, the value and its place in the message:
//! the same message gives the same payload.
//!
//! Stored per value: `bits` bits, packed without gaps, least significant first; each row ends at a
//! byte. Stored per scale: the scale (16 or 32 bits) and a zero point of `bits` bits (`asymmetric`),
//! a minimum of the scale's size (`minimum`), or nothing (`symmetric`). Planes: scales, zeros, codes.
//! At 8 bits per token and 5120 channels `minimum` takes 8.00625 bits a value, `asymmetric` 8.0047.
//!
//! ```
//! # strait_conformance::check_example::<strait_affine::Affine>(r#"
//! [[compressor]]
//! codec = "affine"
//! params = { bits = 4, granularity = "group", group = 64 }
//! # "#);
//! ```
//!
//! Error: at most s/2 within the range (s with `stochastic`), plus L times the rounding of s, plus the rounding of m, in the dtype of the
//! message. Limits: NaN is left out of the range and encoded as 0 (the nearest value of the grid); an
//! infinity counts as the largest finite value of the message's dtype, and the result is always
//! finite. A scale beyond `scale_dtype` saturates (f16: 65504) and below 6e-8 (f16) becomes 0. The
//! granularities `tensor`, `channel` and `channel_group` make a token's value depend on later tokens of its message.

mod fit;
mod grid;
mod kernels;
mod params;
mod ranges;

use strait_codec_kit::bits;
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

pub use params::{AffineParams, Granularity, Range, Rounding, ScaleDtype, Scheme};

use fit::{is_sign, levels};
use grid::Grid;
use kernels::Noise;
use params::largest;

/// The codec `affine`.
#[derive(Debug)]
pub struct Affine {
    params: AffineParams,
    codes: Vec<u8>,
}

impl Codec for Affine {
    const INFO: CodecInfo = CodecInfo {
        id: "affine",
        summary: "integers of 1 to 8 bits with a scale per tensor, token, channel or group of either",
        paper: "https://arxiv.org/abs/2404.00456",
        ..CodecInfo::DEFAULT
    };
    type Params = AffineParams;

    fn open(params: AffineParams) -> Result<Self> {
        if is_sign(&params) && params != plain(&params) {
            return Err(
                "bits: expected 2 or more with `range`, `clip` or `rounding`, found 1 with the \
                        scheme `symmetric`, whose scale is a mean and whose code is a sign"
                    .into(),
            );
        }
        Ok(Affine { params, codes: Vec::new() })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let Affine { params, codes } = self;
        let grid = Grid::new(params, message.shape());
        payload.reserve(grid.bytes);
        let cells = fit::fit(params, &grid, message, payload)?;
        let levels = levels(params);
        codes.resize(message.channels(), 0);
        message.for_each_row(|row, values| {
            let cells = &cells[grid.first_cell(row, values.len())..];
            vectorize(
                #[inline(always)]
                || {
                    let stochastic = params.rounding == Rounding::Stochastic;
                    let noise = Noise::new(params.seed).at(row * values.len());
                    if is_sign(params) {
                        kernels::encode_signs(values, codes);
                    } else if grid.is_per_channel() && stochastic {
                        let values = values.iter().zip(cells).enumerate();
                        for (code, (i, (value, cell))) in codes.iter_mut().zip(values) {
                            *code = cell.dithered(*value, levels, noise.at(i).dither(*value));
                        }
                    } else if grid.is_per_channel() {
                        for ((code, value), cell) in codes.iter_mut().zip(values).zip(cells) {
                            *code = cell.code(*value, levels);
                        }
                    } else if stochastic {
                        let runs = values.chunks(grid.run).zip(codes.chunks_mut(grid.run));
                        for ((i, (values, codes)), cell) in runs.enumerate().zip(cells) {
                            let noise = noise.at(i * grid.run);
                            kernels::encode_dithered(*cell, levels, noise, values, codes);
                        }
                    } else {
                        let runs = values.chunks(grid.run).zip(codes.chunks_mut(grid.run));
                        for ((values, codes), cell) in runs.zip(cells) {
                            kernels::encode(*cell, levels, values, codes);
                        }
                    }
                    bits::pack_into(params.bits, codes, payload);
                },
            );
            Ok(())
        })
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let Affine { params, codes } = self;
        let grid = Grid::new(params, message.shape());
        Error::check_payload_length(grid.bytes, payload.len())?;
        let cells = fit::read(params, &grid, payload)?;
        let rows = &payload[grid.scale_bytes + grid.zero_bytes..];
        let largest = largest(message.dtype());
        codes.resize(message.channels(), 0);
        message.for_each_row(|row, values| {
            let cells = &cells[grid.first_cell(row, values.len())..];
            let packed = &rows[row * grid.row_bytes..][..grid.row_bytes];
            vectorize(
                #[inline(always)]
                || {
                    bits::unpack_into(params.bits, packed, codes)?;
                    if grid.is_per_channel() {
                        for ((value, code), cell) in values.iter_mut().zip(&*codes).zip(cells) {
                            *value = cell.value(*code, largest);
                        }
                    } else {
                        let runs = values.chunks_mut(grid.run).zip(codes.chunks(grid.run));
                        for ((values, codes), cell) in runs.zip(cells) {
                            kernels::decode(*cell, largest, codes, values);
                        }
                    }
                    Ok(())
                },
            )
        })
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::Exact(Grid::new(&self.params, shape).bytes)
    }
}

/// The parameters with the full range and nearest rounding.
fn plain(params: &AffineParams) -> AffineParams {
    AffineParams { range: Range::Full, clip: 1.0, rounding: Rounding::Nearest, ..params.clone() }
}

strait_sdk::export!(Affine);
