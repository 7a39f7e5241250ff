//! Q4_1 and Q5_1: scale and minimum for 32 values, bytes as in ggml's reference.

use strait_codec_kit::slices::extent;

use crate::format::{
    Block, SMALL, get_f16, get_fifth_bits, get_nibbles, inverse, put_f16, put_fifth_bits,
    put_nibbles,
};

/// 4 bits: f16 d, f16 m, 32 codes.
pub(crate) struct Q4_1;

impl Block<SMALL, 20> for Q4_1 {
    #[inline(always)]
    fn quantize(values: &[f32; SMALL], block: &mut [u8; 20]) {
        let codes = from_minimum::<15>(values, block);
        put_nibbles(&codes, &mut block[4..]);
    }

    #[inline(always)]
    fn dequantize(block: &[u8; 20], values: &mut [f32; SMALL]) -> bool {
        above_minimum(block, &get_nibbles(&block[4..]), values)
    }
}

/// 5 bits: f16 d, f16 m, u32 of the highest bits, 32 times the lower four.
pub(crate) struct Q5_1;

impl Block<SMALL, 24> for Q5_1 {
    #[inline(always)]
    fn quantize(values: &[f32; SMALL], block: &mut [u8; 24]) {
        let codes = from_minimum::<31>(values, block);
        put_fifth_bits(&codes, &mut block[4..]);
        put_nibbles(&codes, &mut block[8..]);
    }

    #[inline(always)]
    fn dequantize(block: &[u8; 24], values: &mut [f32; SMALL]) -> bool {
        let mut codes = get_nibbles(&block[8..]);
        get_fifth_bits(&block[4..], &mut codes);
        above_minimum(block, &codes, values)
    }
}

/// Writes scale and minimum at the head of the block; returns the codes.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn from_minimum<const LEVELS: u8>(values: &[f32; SMALL], block: &mut [u8]) -> [u8; SMALL] {
    let (low, high) = extent(values, f32::MAX);
    let scale = (high - low) / f32::from(LEVELS);
    let factor = inverse(scale);
    put_f16(block, 0, scale);
    put_f16(block, 2, low);
    let mut codes = [0; SMALL];
    for (code, value) in codes.iter_mut().zip(values) {
        *code = (((value - low) * factor + 0.5) as i32 as u8).min(LEVELS);
    }
    codes
}

#[inline(always)]
fn above_minimum(block: &[u8], codes: &[u8; SMALL], values: &mut [f32; SMALL]) -> bool {
    let (scale, low) = (get_f16(block, 0), get_f16(block, 2));
    for (value, code) in values.iter_mut().zip(codes) {
        *value = scale * f32::from(*code) + low;
    }
    scale.is_finite() & low.is_finite()
}
