//! Q4_K: 256 values in 8 sub-blocks of 32, each with a 6-bit scale and a 6-bit minimum.

use crate::fit::{round, round_within, scale_and_minimum};
use crate::format::{Block, LARGE, get_f16, inverse, put_f16};

/// f16 d, f16 dmin, 12 bytes of scales and minima, 128 bytes of codes.
pub(crate) struct Q4K;

/// Sub-blocks.
const SUBS: usize = 8;
/// Values of a sub-block.
const SUB: usize = 32;
/// The largest scale or minimum.
const STEPS: f32 = 63.0;

impl Block<LARGE, 144> for Q4K {
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    fn quantize(values: &[f32; LARGE], block: &mut [u8; 144]) {
        let subs = values.as_chunks::<SUB>().0;
        let mut scales = [0.0; SUBS];
        let mut minima = [0.0; SUBS];
        for (i, values) in subs.iter().enumerate() {
            let (scale, minimum) = scale_and_minimum(values, 15.0);
            (scales[i], minima[i]) = (scale, -minimum);
        }
        let scale_steps = to_steps(&mut scales, block, 0);
        let minimum_steps = to_steps(&mut minima, block, 2);
        put_pairs(&scale_steps, &minimum_steps, &mut block[4..16]);
        let mut codes = [0; LARGE];
        for (i, (values, codes)) in subs.iter().zip(codes.as_chunks_mut::<SUB>().0).enumerate() {
            let factor = inverse(scales[i]);
            for (code, value) in codes.iter_mut().zip(values) {
                *code = round(round_within((value + minima[i]) * factor, 0.0, 15.0)) as u8;
            }
        }
        let pairs = codes.as_chunks::<{ 2 * SUB }>().0;
        for (codes, bytes) in pairs.iter().zip(block[16..].as_chunks_mut::<SUB>().0) {
            for (j, byte) in bytes.iter_mut().enumerate() {
                *byte = codes[j] | (codes[j + SUB] << 4);
            }
        }
    }

    #[inline(always)]
    fn dequantize(block: &[u8; 144], values: &mut [f32; LARGE]) -> bool {
        let (scale, minimum) = (get_f16(block, 0), get_f16(block, 2));
        let (scale_steps, minimum_steps) = get_pairs(&block[4..16]);
        let pairs = values.as_chunks_mut::<{ 2 * SUB }>().0;
        for (i, (values, bytes)) in
            pairs.iter_mut().zip(block[16..].as_chunks::<SUB>().0).enumerate()
        {
            let scales = [0, 1].map(|half| scale * f32::from(scale_steps[2 * i + half]));
            let minima = [0, 1].map(|half| minimum * f32::from(minimum_steps[2 * i + half]));
            for (j, byte) in bytes.iter().enumerate() {
                values[j] = scales[0] * f32::from(byte & 15) - minima[0];
                values[j + SUB] = scales[1] * f32::from(byte >> 4) - minima[1];
            }
        }
        scale.is_finite() & minimum.is_finite()
    }
}

/// Writes the f16 unit of eight values that are not negative; returns them in steps of it, and
/// leaves in `values` what is read back.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
fn to_steps(values: &mut [f32; SUBS], block: &mut [u8], at: usize) -> [u8; SUBS] {
    let most = values.iter().copied().fold(0.0, f32::max);
    let unit = put_f16(block, at, most / STEPS);
    let factor = inverse(unit);
    let mut steps = [0; SUBS];
    for (step, value) in steps.iter_mut().zip(values) {
        let nearest = round_within(*value * factor, 0.0, STEPS);
        *step = round(nearest) as u8;
        *value = nearest * unit;
    }
    steps
}

/// Writes eight pairs of 6 bits: the first four in the lower bits of bytes 0 to 7, the others in
/// bytes 8 to 11 and the upper bits of bytes 0 to 7.
#[inline(always)]
fn put_pairs(scales: &[u8; SUBS], minima: &[u8; SUBS], bytes: &mut [u8]) {
    for j in 0..4 {
        bytes[j] = scales[j] | (scales[j + 4] >> 4) << 6;
        bytes[j + 4] = minima[j] | (minima[j + 4] >> 4) << 6;
        bytes[j + 8] = (scales[j + 4] & 15) | minima[j + 4] << 4;
    }
}

/// Reads what [`put_pairs`] wrote.
#[inline(always)]
fn get_pairs(bytes: &[u8]) -> ([u8; SUBS], [u8; SUBS]) {
    let (mut scales, mut minima) = ([0; SUBS], [0; SUBS]);
    for j in 0..4 {
        scales[j] = bytes[j] & 63;
        minima[j] = bytes[j + 4] & 63;
        scales[j + 4] = (bytes[j + 8] & 15) | (bytes[j] >> 6) << 4;
        minima[j + 4] = (bytes[j + 8] >> 4) | (bytes[j + 4] >> 6) << 4;
    }
    (scales, minima)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_back() {
        let scales = [0, 63, 21, 42, 17, 33, 63, 5];
        let minima = [63, 1, 2, 60, 48, 15, 16, 62];
        let mut bytes = [0xff; 12];
        put_pairs(&scales, &minima, &mut bytes);
        assert_eq!(get_pairs(&bytes), (scales, minima));
    }
}
