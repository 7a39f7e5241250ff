//! exl3: the quantizer of exllamav3's key-value cache: groups of 32, each rotated, scaled to its
//! largest magnitude and put on a grid of midpoints, evenly spaced or companded.
//!
//! Source: [exllamav3](https://github.com/turboderp-org/exllamav3), q_cache_kernels.cuh and lmq.cuh.
//! With m = 2^(bits-1) and y = H_32 x / √32: s = max|y| + 1e-10, q = clamp(floor(y/s·m + m), 0,
//! 2^bits - 1), y' = s' (q - m + 1/2)/m with s' = s in f16, x' = H_32 y' / √32. With `compander` a and
//! f(t) = a t + (1 - a) t³: q = clamp(floor(f⁻¹(y/s)·m + m), …), y' = s' f((2q + 1)/2^bits - 1). The even
//! spacing and its order of rounding are the source's; f⁻¹ is found by Newton's method.
//!
//! Stored per group of 32: one f16 and 32 codes of `bits` bits, packed; first all scales, then all codes.
//! The last group of a row is filled up with zeros. Per value: `bits` + 0.5 bits.
//! Example: `codec = "exl3"`, `params = { bits = 4, compander = 0.65 }`. Limits: NaN counts as 0; a scale
//! beyond 65504 saturates.

use strait_codec_kit::bits::{pack_into, packed_bytes, unpack_into};
use strait_codec_kit::slices::{copy_finite, larger};
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;
use strait_sdk::{narrow, widen};

use crate::rotation::walsh;

/// Values of a group.
const GROUP: usize = 32;

/// 1/√32.
const ROOT: f32 = 0.176_776_69;

/// Adding this to an integer below 2^23 leaves the integer in the lowest bits.
const INTEGER: f32 = 8_388_608.0;

/// Newton's method reaches the precision of f32 in so many steps for every `compander` allowed.
const STEPS: usize = 8;

/// Parameters of [`Exl3`].
#[derive(Params, Clone, Debug)]
pub struct Exl3Params {
    /// Bits per value.
    #[param(default = 4, min = 2, max = 8)]
    pub bits: u32,
    /// Slope of the companding curve at 0, 0.65 in the source; an even grid when left out.
    #[param(min = 0.2, max = 0.99)]
    pub compander: Option<f32>,
}

/// The codec `exl3`.
#[derive(Debug)]
pub struct Exl3 {
    params: Exl3Params,
    values: Vec<f32>,
    scales: Vec<f32>,
    codes: Vec<u8>,
}

impl Codec for Exl3 {
    const INFO: CodecInfo = CodecInfo {
        id: "exl3",
        summary: "groups of 32, rotated, on a grid of midpoints: exllamav3's cache quantizer",
        paper: "https://github.com/turboderp-org/exllamav3",
        ..CodecInfo::DEFAULT
    };
    type Params = Exl3Params;

    fn open(params: Exl3Params) -> Result<Self> {
        Ok(Exl3 { params, values: Vec::new(), scales: Vec::new(), codes: Vec::new() })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let groups = message.channels().div_ceil(GROUP);
        let scale_bytes = 2 * groups * message.rows();
        payload.resize(scale_bytes, 0);
        let Exl3 { params, values, scales, codes } = self;
        values.clear();
        values.resize(groups * GROUP, 0.0);
        scales.resize(groups, 0.0);
        codes.resize(groups * GROUP, 0);
        let most = message.dtype().largest().min(f32::MAX / 128.0);
        message.for_each_row(|i, row| {
            vectorize(
                #[inline(always)]
                || {
                    copy_finite(row, most, values);
                    let parts = values.as_chunks_mut::<GROUP>().0.iter_mut().zip(&mut *scales);
                    for ((values, scale), codes) in parts.zip(codes.as_chunks_mut::<GROUP>().0) {
                        *scale = encode_group(params, values, codes);
                    }
                    narrow(Dtype::F16, scales, &mut payload[i * 2 * groups..][..2 * groups]);
                    pack_into(params.bits, codes, payload);
                },
            );
            // What lies beyond the row is 0 again.
            values[row.len()..].fill(0.0);
            Ok(())
        })
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        Error::check_payload_length(bytes(self.params.bits, message.shape()), payload.len())?;
        let groups = message.channels().div_ceil(GROUP);
        let (stored, packed) = payload.split_at(2 * groups * message.rows());
        let Exl3 { params, values, scales, codes } = self;
        values.resize(groups * GROUP, 0.0);
        scales.resize(groups, 0.0);
        codes.resize(groups * GROUP, 0);
        let row_bytes = packed_bytes(params.bits, groups * GROUP);
        let most = message.dtype().largest();
        message.for_each_row(|i, row| {
            widen(Dtype::F16, &stored[i * 2 * groups..][..2 * groups], scales);
            vectorize(
                #[inline(always)]
                || {
                    unpack_into(params.bits, &packed[i * row_bytes..][..row_bytes], codes)?;
                    let parts = values.as_chunks_mut::<GROUP>().0.iter_mut().zip(&*scales);
                    for ((values, scale), codes) in parts.zip(codes.as_chunks::<GROUP>().0) {
                        decode_group(params, *scale, codes, values);
                    }
                    copy_finite(values, most, row);
                    Ok(())
                },
            )
        })
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::Exact(bytes(self.params.bits, shape))
    }
}

fn bytes(bits: u32, shape: Shape) -> usize {
    let groups = shape.channels.div_ceil(GROUP);
    shape.rows * (2 * groups + packed_bytes(bits, groups * GROUP))
}

/// Codes of one group; returns its scale, within f16.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn encode_group(params: &Exl3Params, values: &mut [f32; GROUP], codes: &mut [u8; GROUP]) -> f32 {
    walsh(values);
    values.iter_mut().for_each(|value| *value *= ROOT);
    let scale = largest(values) + 1e-10;
    let inverse = 1.0 / scale;
    let middle = middle(params.bits);
    values.iter_mut().for_each(|value| *value *= inverse);
    if let Some(slope) = params.compander {
        values.iter_mut().for_each(|value| *value = expand(*value, slope));
    }
    for (code, value) in codes.iter_mut().zip(values) {
        // A fused product and a floor, as in the source.
        let cell = value.mul_add(middle, middle).clamp(0.0, 2.0 * middle - 1.0);
        *code = (cell.floor() + INTEGER).to_bits() as u8;
    }
    scale.min(65504.0)
}

/// The largest magnitude of a group, found in halves.
#[inline(always)]
fn largest(values: &[f32; GROUP]) -> f32 {
    let mut magnitudes = values.map(f32::abs);
    let mut half = GROUP / 2;
    while half > 0 {
        for lane in 0..half {
            magnitudes[lane] = larger(magnitudes[lane], magnitudes[lane + half]);
        }
        half /= 2;
    }
    magnitudes[0]
}

#[inline(always)]
fn decode_group(params: &Exl3Params, scale: f32, codes: &[u8; GROUP], values: &mut [f32; GROUP]) {
    let middle = middle(params.bits);
    // A damaged payload may hold an infinity.
    let scale = if scale.is_finite() { scale * ROOT } else { 0.0 };
    match params.compander {
        Some(slope) => {
            let rest = 1.0 - slope;
            for (value, code) in values.iter_mut().zip(codes) {
                let t = (2.0 * f32::from(*code) + 1.0).mul_add(0.5 / middle, -1.0);
                *value = t * (t * t).mul_add(rest, slope) * scale;
            }
        }
        None => {
            let step = scale * (1.0 / middle);
            for (value, code) in values.iter_mut().zip(codes) {
                *value = (f32::from(*code) - (middle - 0.5)) * step;
            }
        }
    }
    walsh(values);
}

/// 2^(bits-1).
#[inline(always)]
fn middle(bits: u32) -> f32 {
    f32::from(1_u8 << (bits - 1))
}

/// The t with slope t + (1 - slope) t³ = x, for |x| up to 1.
#[inline(always)]
fn expand(x: f32, slope: f32) -> f32 {
    let rest = 1.0 - slope;
    let magnitude = x.abs();
    // Above the root, from where Newton's method falls to it.
    let start = magnitude / slope;
    let mut t = if start < 1.0 { start } else { 1.0 };
    for _ in 0..STEPS {
        let square = t * t;
        t = (2.0 * rest * square * t + magnitude) / (3.0 * rest * square + slope);
    }
    t.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_companding_curve_is_inverted() {
        for slope in [0.2_f32, 0.65, 0.99] {
            for i in -100..=100_i8 {
                let x = f32::from(i) / 100.0;
                let t = expand(x, slope);
                assert!((slope * t + (1.0 - slope) * t * t * t - x).abs() < 6e-7, "{slope} {x}");
            }
        }
    }
}
