//! GGML's formats whose 4-bit codes index a fixed table: IQ4_NL, IQ4_XS, MXFP4 and NVFP4.

use super::half_at;

/// The levels of IQ4.
static NONLINEAR: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0,
    89.0, 113.0,
];

/// Twice the values of E2M1; the scales are halved.
static E2M1: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0];

/// Half the values of the unsigned E4M3 numbers that scale NVFP4. The sign bit is ignored, and 127 counts as 0.
static HALF_E4M3: [f32; 256] = {
    let mut values = [0.0; 256];
    let mut byte = 1;
    while byte < 256 {
        let (exponent, mantissa) = (byte as u32 >> 3 & 15, byte as u32 & 7);
        // 2^(exponent - 7) (1 + mantissa / 8) / 2, or 2^-9 mantissa / 2 below the normal numbers.
        values[byte] = match exponent {
            0 => mantissa as f32 / 1024.0,
            _ => f32::from_bits((exponent + 119) << 23 | mantissa << 20),
        };
        byte += 1;
    }
    values[127] = 0.0;
    values
};

/// f16 d, 16 bytes of nibbles: x = d level.
pub(super) fn iq4_nl(block: &[u8; 18], out: &mut [f32; 32]) {
    halves(half_at(block, 0), &NONLINEAR, &block[2..], out);
}

/// f16 d, 16 high bit pairs and 8 low nibbles of scale, 128 bytes of nibbles: x = d (scale − 32) level, 32 a scale.
pub(super) fn iq4_xs(block: &[u8; 136], out: &mut [f32; 256]) {
    let d = half_at(block, 0);
    let high = u16::from_le_bytes([block[2], block[3]]);
    let (low, nibbles) = (&block[4..8], &block[8..]);
    for (sub, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let low = low[sub / 2] >> (4 * (sub % 2)) & 15;
        let high = (high >> (2 * sub) & 3) << 4;
        let scale = d * (i32::from(u16::from(low) | high) - 32) as f32;
        halves(scale, &NONLINEAR, &nibbles[16 * sub..][..16], out);
    }
}

/// An E8M0 exponent, 16 bytes of nibbles.
pub(super) fn mxfp4(block: &[u8; 17], out: &mut [f32; 32]) {
    // 2^(exponent - 128), with subnormal numbers for the first two.
    let exponent = u32::from(block[0]);
    let bits = if exponent < 2 { 0x0020_0000 << exponent } else { (exponent - 1) << 23 };
    halves(f32::from_bits(bits), &E2M1, &block[1..], out);
}

/// Four E4M3 scales, then 8 bytes of nibbles for each: the low ones hold the first 8 values, the high ones the
/// other 8.
pub(super) fn nvfp4(block: &[u8; 36], out: &mut [f32; 64]) {
    let (scales, nibbles) = block.split_at(4);
    for (sub, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = HALF_E4M3[usize::from(scales[sub])];
        halves(scale, &E2M1, &nibbles[8 * sub..][..8], out);
    }
}

/// Low nibbles select the levels of the first half of `out`, high ones those of the second.
#[inline(always)]
fn halves(scale: f32, levels: &[f32; 16], nibbles: &[u8], out: &mut [f32]) {
    let (low, high) = out.split_at_mut(nibbles.len());
    for ((low, high), byte) in low.iter_mut().zip(high).zip(nibbles) {
        *low = scale * levels[usize::from(byte & 15)];
        *high = scale * levels[usize::from(byte >> 4)];
    }
}
