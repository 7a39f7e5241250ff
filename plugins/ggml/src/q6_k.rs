//! Q6_K: 256 values in 16 sub-blocks of 16, each with an 8-bit scale.

use crate::fit::{round, round_within, scale_of_steps};
use crate::format::{Block, LARGE, get_f16, inverse, put_f16};
use crate::symmetric::signed_largest;

/// 128 bytes of the lower 4 bits, 64 bytes of the upper 2, 16 i8 scales, f16 d; 32 stands for 0.
pub(crate) struct Q6K;

/// Sub-blocks.
const SUBS: usize = 16;
/// Values of a sub-block.
const SUB: usize = 16;
/// Where the upper bits, the scales and d are.
const UPPER: usize = 128;
const SCALES: usize = 192;
const UNIT: usize = 208;

impl Block<LARGE, 210> for Q6K {
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    fn quantize(values: &[f32; LARGE], block: &mut [u8; 210]) {
        let subs = values.as_chunks::<SUB>().0;
        let mut scales = [0.0; SUBS];
        for (scale, values) in scales.iter_mut().zip(subs) {
            *scale = scale_of_steps(values, -32.0, 1.0, nearest);
        }
        let unit = put_f16(block, UNIT, signed_largest(&scales) / -128.0);
        let factor = inverse(unit);
        for (scale, byte) in scales.iter_mut().zip(&mut block[SCALES..UNIT]) {
            let steps = round_within(*scale * factor, -128.0, 127.0);
            *byte = round(steps) as u8;
            *scale = steps * unit;
        }
        let mut codes = [0; LARGE];
        for ((codes, values), scale) in
            codes.as_chunks_mut::<SUB>().0.iter_mut().zip(subs).zip(scales)
        {
            let factor = inverse(scale);
            for (code, value) in codes.iter_mut().zip(values) {
                *code = round(nearest(value * factor) + 32.0) as u8;
            }
        }
        for (half, codes) in codes.as_chunks::<128>().0.iter().enumerate() {
            for l in 0..32 {
                let of = |quarter: usize| codes[l + 32 * quarter];
                block[64 * half + l] = (of(0) & 15) | (of(2) & 15) << 4;
                block[64 * half + l + 32] = (of(1) & 15) | (of(3) & 15) << 4;
                block[UPPER + 32 * half + l] =
                    of(0) >> 4 | of(1) >> 4 << 2 | of(2) >> 4 << 4 | of(3) >> 4 << 6;
            }
        }
    }

    #[inline(always)]
    fn dequantize(block: &[u8; 210], values: &mut [f32; LARGE]) -> bool {
        let unit = get_f16(block, UNIT);
        let mut codes = [0; LARGE];
        for (half, codes) in codes.as_chunks_mut::<128>().0.iter_mut().enumerate() {
            for l in 0..32 {
                let (first, second) = (block[64 * half + l], block[64 * half + l + 32]);
                let upper = block[UPPER + 32 * half + l];
                codes[l] = (first & 15) | (upper & 3) << 4;
                codes[l + 32] = (second & 15) | (upper >> 2 & 3) << 4;
                codes[l + 64] = (first >> 4) | (upper >> 4 & 3) << 4;
                codes[l + 96] = (second >> 4) | (upper >> 6) << 4;
            }
        }
        let subs = values.as_chunks_mut::<SUB>().0.iter_mut().zip(codes.as_chunks::<SUB>().0);
        for ((values, codes), byte) in subs.zip(&block[SCALES..UNIT]) {
            let scale = unit * f32::from(byte.cast_signed());
            for (value, code) in values.iter_mut().zip(codes) {
                *value = scale * f32::from(code.cast_signed() - 32);
            }
        }
        unit.is_finite()
    }
}

/// The nearest of the 64 steps.
#[inline(always)]
fn nearest(steps: f32) -> f32 {
    round_within(steps, -32.0, 31.0)
}
