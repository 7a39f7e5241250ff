//! GGML's blocks of 32 values: Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0.
//!
//! Low nibbles hold the first 16 values of a block, high nibbles the other 16.

use super::half_at;

/// f16 d, 16 bytes of nibbles: x = d (q − 8).
pub(super) fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    let (low, high) = out.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(&block[2..]) {
        *low = d * (i32::from(byte & 15) - 8) as f32;
        *high = d * (i32::from(byte >> 4) - 8) as f32;
    }
}

/// f16 d, f16 m, 16 bytes of nibbles: x = d q + m.
pub(super) fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let (low, high) = out.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(&block[4..]) {
        *low = d * f32::from(byte & 15) + m;
        *high = d * f32::from(byte >> 4) + m;
    }
}

/// f16 d, 32 fifth bits, 16 bytes of nibbles: x = d (q − 16).
pub(super) fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    let fifth = [block[2], block[3], block[4], block[5]];
    five_bits(fifth, &block[6..], out, |q| d * (q as i32 - 16) as f32);
}

/// f16 d, f16 m, 32 fifth bits, 16 bytes of nibbles: x = d q + m.
pub(super) fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let fifth = [block[4], block[5], block[6], block[7]];
    five_bits(fifth, &block[8..], out, |q| d * q as f32 + m);
}

/// f16 d, 32 signed bytes: x = d q.
pub(super) fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    for (value, byte) in out.iter_mut().zip(&block[2..]) {
        *value = d * f32::from(byte.cast_signed());
    }
}

/// Joins nibbles with the bits of `fifth`: bit j belongs to the low nibble of byte j, bit j + 16 to the high one.
#[inline(always)]
fn five_bits(fifth: [u8; 4], nibbles: &[u8], out: &mut [f32; 32], value: impl Fn(u32) -> f32) {
    let fifth = u32::from_le_bytes(fifth);
    let (low, high) = out.split_at_mut(16);
    for (j, ((low, high), byte)) in low.iter_mut().zip(high).zip(nibbles).enumerate() {
        *low = value(u32::from(byte & 15) | (fifth >> j & 1) << 4);
        *high = value(u32::from(byte >> 4) | (fifth >> (j + 16) & 1) << 4);
    }
}
