//! GGML's formats of 256 values that look up 4 or 8 values at a time in a codebook: IQ1, IQ2 and IQ3.

use super::grids::{self, SIGNS, even_signs};
use super::half_at;

/// f16 d; per 32 values four codebook bytes, then four times 7 bits of signs and 4 bits of scale.
pub(super) fn iq2_xxs(block: &[u8; 66], out: &mut [f32; 256]) {
    let d = half_at(block, 0);
    let packed = block[2..].as_chunks::<8>().0;
    for (out, packed) in out.as_chunks_mut::<32>().0.iter_mut().zip(packed) {
        let rest = u32_at(packed, 4);
        let scale = d * (0.5 + (rest >> 28) as f32) * 0.25;
        for (k, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let signs = even_signs((rest >> (7 * k)) as u8);
            signed(scale, &grids::IQ2_XXS[usize::from(packed[k])], signs, out);
        }
    }
}

/// f16 d; per 8 values 9 bits of codebook and 7 of signs; a nibble of scale per 16.
pub(super) fn iq2_xs(block: &[u8; 74], out: &mut [f32; 256]) {
    let d = half_at(block, 0);
    let (packed, scales) = (&block[2..66], &block[66..]);
    for (k, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let scale = d * (0.5 + nibble(scales, k / 2)) * 0.25;
        let code = u16_at(packed, 2 * k);
        let grid = &grids::IQ2_XS[usize::from(code & 511)];
        signed(scale, grid, even_signs((code >> 9) as u8), out);
    }
}

/// f16 d, 32 low codebook bytes, 32 bytes of signs, 8 bytes of high codebook bits, a nibble of scale per 16 values.
pub(super) fn iq2_s(block: &[u8; 82], out: &mut [f32; 256]) {
    let d = half_at(block, 0);
    let (low, signs) = (&block[2..34], &block[34..66]);
    let (high, scales) = (&block[66..74], &block[74..]);
    for (k, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let scale = d * (0.5 + nibble(scales, k / 2)) * 0.25;
        let code = usize::from(low[k]) | usize::from(high[k / 4] >> (2 * (k % 4)) & 3) << 8;
        signed(scale, &grids::IQ2_S[code], usize::from(signs[k]), out);
    }
}

/// f16 d, 64 codebook bytes of 4 values each; per 32 values four times 7 bits of signs and 4 bits of scale.
pub(super) fn iq3_xxs(block: &[u8; 98], out: &mut [f32; 256]) {
    let d = half_at(block, 0);
    let (codes, rest) = (&block[2..66], &block[66..]);
    for (sub, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let rest = u32_at(rest, 4 * sub);
        let scale = d * (0.5 + (rest >> 28) as f32) * 0.5;
        let codes = &codes[8 * sub..][..8];
        for (k, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let pair =
                [codes[2 * k], codes[2 * k + 1]].map(|code| grids::IQ3_XXS[usize::from(code)]);
            signed(scale, &joined(pair), even_signs((rest >> (7 * k)) as u8), out);
        }
    }
}

/// f16 d, 64 low codebook bytes, 8 bytes of ninth bits, 32 bytes of signs, a nibble of scale per 32 values.
pub(super) fn iq3_s(block: &[u8; 110], out: &mut [f32; 256]) {
    let d = half_at(block, 0);
    let (low, ninth) = (&block[2..66], &block[66..74]);
    let (signs, scales) = (&block[74..106], &block[106..]);
    for (k, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let scale = d * (1.0 + 2.0 * nibble(scales, k / 4));
        let pair = [2 * k, 2 * k + 1].map(|at| {
            let high = ninth[at / 8] >> (at % 8) & 1;
            grids::IQ3_S[usize::from(low[at]) | usize::from(high) << 8]
        });
        signed(scale, &joined(pair), usize::from(signs[k]), out);
    }
}

/// f16 d, 32 low codebook bytes; per 32 values 16 bits: four times 3 high codebook bits, 3 of scale, the sign of the shift.
pub(super) fn iq1_s(block: &[u8; 50], out: &mut [f32; 256]) {
    let d = half_at(block, 0);
    let (low, rest) = (&block[2..34], &block[34..]);
    for (sub, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let rest = u16_at(rest, 2 * sub);
        let scale = d * f32::from(2 * (rest >> 12 & 7) + 1);
        for (k, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let code = u16::from(low[4 * sub + k]) | (rest >> (3 * k) & 7) << 8;
            shifted(scale, code, rest & 0x8000 != 0, out);
        }
    }
}

/// 32 low codebook bytes; per 8 values, a nibble of 3 high codebook bits and the sign of the shift; 3 bits of
/// scale per 16 values in four 16-bit words, whose upper nibbles form an f16 d.
pub(super) fn iq1_m(block: &[u8; 56], out: &mut [f32; 256]) {
    let (low, high, scales) = (&block[..32], &block[32..48], &block[48..]);
    let words = [0, 2, 4, 6].map(|at| u16_at(scales, at));
    let d = words.iter().rev().fold(0, |bits, word| bits << 4 | word >> 12);
    let d = half::f16::from_bits(d).to_f32();
    for (k, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let scale = d * f32::from(2 * (words[k / 8] >> (3 * (k / 2 % 4)) & 7) + 1);
        let high = high[k / 2] >> (4 * (k % 2));
        let code = u16::from(low[k]) | u16::from(high & 7) << 8;
        shifted(scale, code, high & 8 != 0, out);
    }
}

/// Computes x = scale · component, negated where `signs` has a bit set.
#[inline(always)]
fn signed(scale: f32, grid: &[i8; 8], signs: usize, out: &mut [f32; 8]) {
    for ((value, component), sign) in out.iter_mut().zip(grid).zip(&SIGNS[signs]) {
        *value = f32::from_bits((scale * f32::from(*component)).to_bits() ^ sign);
    }
}

/// Computes x = scale · (component ± 1/8).
#[inline(always)]
fn shifted(scale: f32, code: u16, down: bool, out: &mut [f32; 8]) {
    let shift = if down { -0.125 } else { 0.125 };
    for (value, component) in out.iter_mut().zip(&grids::IQ1_S[usize::from(code)]) {
        *value = scale * (f32::from(*component) + shift);
    }
}

#[inline(always)]
fn joined([first, second]: [[i8; 4]; 2]) -> [i8; 8] {
    let mut both = [0; 8];
    both[..4].copy_from_slice(&first);
    both[4..].copy_from_slice(&second);
    both
}

#[inline(always)]
fn nibble(bytes: &[u8], at: usize) -> f32 {
    f32::from(bytes[at / 2] >> (4 * (at % 2)) & 15)
}

#[inline(always)]
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

#[inline(always)]
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
