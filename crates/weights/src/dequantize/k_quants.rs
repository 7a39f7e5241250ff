//! GGML's super-blocks of 256 values with quantized scales: Q2_K to Q6_K, and Q8_K, which has one scale.

use super::half_at;

/// 16 bytes of scale (low nibble) and minimum (high nibble), 64 bytes of 2-bit values, f16 d, f16 dmin.
pub(super) fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (d, dmin) = (half_at(block, 80), half_at(block, 82));
    let scales = &block[..16];
    let quants = &block[16..80];
    for (sub, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = d * f32::from(scales[sub] & 15);
        let minimum = dmin * f32::from(scales[sub] >> 4);
        let (start, shift) = two_bits_of(sub);
        for (value, byte) in out.iter_mut().zip(&quants[start..start + 16]) {
            *value = scale * f32::from(byte >> shift & 3) - minimum;
        }
    }
}

/// 32 bytes of third bits (set: no offset), 64 bytes of 2-bit values, 12 bytes of 6-bit scales, f16 d.
pub(super) fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let d = half_at(block, 108);
    let (mask, quants, packed) = (&block[..32], &block[32..96], &block[96..108]);
    for (sub, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let low = packed[sub % 8] >> (4 * (sub / 8)) & 15;
        let high = packed[8 + sub % 4] >> (2 * (sub / 4)) & 3;
        let scale = d * (i32::from(low | high << 4) - 32) as f32;
        let (start, shift) = two_bits_of(sub);
        let mask = &mask[sub % 2 * 16..][..16];
        for ((value, byte), mask) in out.iter_mut().zip(&quants[start..start + 16]).zip(mask) {
            let third = mask >> (sub / 2) & 1;
            let quant = i32::from(byte >> shift & 3) - i32::from((third ^ 1) << 2);
            *value = scale * quant as f32;
        }
    }
}

/// f16 d, f16 dmin, 12 bytes of 6-bit scales and minima, 128 bytes of nibbles.
pub(super) fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let (packed, quants) = (&block[4..16], &block[16..]);
    for (sub, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, minimum) = scale_and_minimum(packed, sub);
        let (scale, minimum) = (d * scale, dmin * minimum);
        let shift = 4 * (sub % 2);
        for (value, byte) in out.iter_mut().zip(&quants[sub / 2 * 32..][..32]) {
            *value = scale * f32::from(byte >> shift & 15) - minimum;
        }
    }
}

/// Like Q4_K, with 32 bytes of fifth bits before the nibbles: bit s of byte l belongs to value l of sub-block
/// s.
pub(super) fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let (packed, fifth, quants) = (&block[4..16], &block[16..48], &block[48..]);
    for (sub, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, minimum) = scale_and_minimum(packed, sub);
        let (scale, minimum) = (d * scale, dmin * minimum);
        let shift = 4 * (sub % 2);
        let nibbles = &quants[sub / 2 * 32..][..32];
        for ((value, byte), fifth) in out.iter_mut().zip(nibbles).zip(fifth) {
            let quant = byte >> shift & 15 | (fifth >> sub & 1) << 4;
            *value = scale * f32::from(quant) - minimum;
        }
    }
}

/// 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, f16 d: x = d scale (q − 32).
pub(super) fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let d = half_at(block, 208);
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    for (sub, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = d * f32::from(scales[sub].cast_signed());
        // Within each 128 values the quarters share bytes: quarters 0 and 2 are the nibbles of the first 32 low bytes,
        // 1 and 3 of the next 32, and quarter k has bit pair k of the 32 high bytes.
        let (half, quarter, offset) = (sub / 8, sub % 8 / 2, sub % 2 * 16);
        let low = &low[64 * half + 32 * (quarter % 2) + offset..][..16];
        let high = &high[32 * half + offset..][..16];
        let (low_shift, high_shift) = (4 * (quarter / 2), 2 * quarter);
        for ((value, low), high) in out.iter_mut().zip(low).zip(high) {
            let quant = low >> low_shift & 15 | (high >> high_shift & 3) << 4;
            *value = scale * (i32::from(quant) - 32) as f32;
        }
    }
}

/// f32 d, 256 signed bytes, 16 sums of them that are not needed: x = d q.
pub(super) fn q8_k(block: &[u8; 292], out: &mut [f32; 256]) {
    let d = f32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    for (value, byte) in out.iter_mut().zip(&block[4..260]) {
        *value = d * f32::from(byte.cast_signed());
    }
}

/// Where the 2-bit values of sub-block `sub` (16 values) are: first byte of the 64, and the shift. Eight
/// sub-blocks share 32 bytes.
fn two_bits_of(sub: usize) -> (usize, usize) {
    (sub / 8 * 32 + sub % 2 * 16, sub % 8 / 2 * 2)
}

/// The 6-bit scale and minimum of sub-block `sub` (32 values), from 12 bytes.
fn scale_and_minimum(packed: &[u8], sub: usize) -> (f32, f32) {
    let (scale, minimum) = if sub < 4 {
        (packed[sub] & 63, packed[sub + 4] & 63)
    } else {
        (
            packed[sub + 4] & 15 | packed[sub - 4] >> 6 << 4,
            packed[sub + 4] >> 4 | packed[sub] >> 6 << 4,
        )
    };
    (f32::from(scale), f32::from(minimum))
}
