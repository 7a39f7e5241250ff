//! Q8_0, Q4_0 and Q5_0: one scale for 32 values, bytes as in ggml's reference.

use strait_codec_kit::slices::{extent, largest_magnitude};

use crate::fit::round;
use crate::format::{
    Block, SMALL, get_f16, get_fifth_bits, get_nibbles, inverse, put_f16, put_fifth_bits,
    put_nibbles,
};

/// 8 bits: f16 d, i8 q.
pub(crate) struct Q8_0;

impl Block<SMALL, 34> for Q8_0 {
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    fn quantize(values: &[f32; SMALL], block: &mut [u8; 34]) {
        let scale = largest_magnitude(values, f32::MAX) / 127.0;
        let factor = inverse(scale);
        put_f16(block, 0, scale);
        for (code, value) in block[2..].iter_mut().zip(values) {
            *code = round((value * factor).round()) as u8;
        }
    }

    #[inline(always)]
    fn dequantize(block: &[u8; 34], values: &mut [f32; SMALL]) -> bool {
        let scale = get_f16(block, 0);
        for (value, code) in values.iter_mut().zip(&block[2..]) {
            *value = f32::from(code.cast_signed()) * scale;
        }
        scale.is_finite()
    }
}

/// 4 bits: f16 d, 32 codes; 8 stands for 0.
pub(crate) struct Q4_0;

impl Block<SMALL, 18> for Q4_0 {
    #[inline(always)]
    fn quantize(values: &[f32; SMALL], block: &mut [u8; 18]) {
        let (scale, codes) = around_middle::<8>(values);
        put_f16(block, 0, scale);
        put_nibbles(&codes, &mut block[2..]);
    }

    #[inline(always)]
    fn dequantize(block: &[u8; 18], values: &mut [f32; SMALL]) -> bool {
        from_middle::<8>(get_f16(block, 0), &get_nibbles(&block[2..]), values)
    }
}

/// 5 bits: f16 d, u32 of the highest bits, 32 times the lower four; 16 stands for 0.
pub(crate) struct Q5_0;

impl Block<SMALL, 22> for Q5_0 {
    #[inline(always)]
    fn quantize(values: &[f32; SMALL], block: &mut [u8; 22]) {
        let (scale, codes) = around_middle::<16>(values);
        put_f16(block, 0, scale);
        put_fifth_bits(&codes, &mut block[2..]);
        put_nibbles(&codes, &mut block[6..]);
    }

    #[inline(always)]
    fn dequantize(block: &[u8; 22], values: &mut [f32; SMALL]) -> bool {
        let mut codes = get_nibbles(&block[6..]);
        get_fifth_bits(&block[2..], &mut codes);
        from_middle::<16>(get_f16(block, 0), &codes, values)
    }
}

/// The scale that maps the largest magnitude to code 0, and the codes: `MIDDLE` stands for 0.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn around_middle<const MIDDLE: u8>(values: &[f32; SMALL]) -> (f32, [u8; SMALL]) {
    let middle = f32::from(MIDDLE);
    let scale = signed_largest(values) / -middle;
    let factor = inverse(scale);
    let mut codes = [0; SMALL];
    for (code, value) in codes.iter_mut().zip(values) {
        *code = ((value * factor + (middle + 0.5)) as i32 as u8).min(2 * MIDDLE - 1);
    }
    (scale, codes)
}

#[inline(always)]
fn from_middle<const MIDDLE: i8>(
    scale: f32,
    codes: &[u8; SMALL],
    values: &mut [f32; SMALL],
) -> bool {
    for (value, code) in values.iter_mut().zip(codes) {
        *value = f32::from(code.cast_signed() - MIDDLE) * scale;
    }
    scale.is_finite()
}

/// The value of largest magnitude, the first of several.
#[inline(always)]
pub(crate) fn signed_largest(values: &[f32]) -> f32 {
    let (low, high) = extent(values, f32::MAX);
    if high > -low {
        high
    } else if high < -low {
        low
    } else {
        values.iter().copied().find(|value| value.abs() == high).unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_largest_counts() {
        assert_eq!(signed_largest(&[1.0, -3.0, 3.0]), -3.0);
        assert_eq!(signed_largest(&[1.0, 3.0, -3.0]), 3.0);
        assert_eq!((signed_largest(&[-1.0, 0.5]), signed_largest(&[0.0, -0.0])), (-1.0, 0.0));
    }
}
