//! Unquantized formats: f32 copied, f16 and bf16 widened exactly.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Number of halves converted at a time: enough for vector instructions, small enough for the
/// stack.
const CHUNK: usize = 512;

pub(super) fn f32(bytes: &[u8], out: &mut [f32]) {
    for (value, bytes) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *value = f32::from_le_bytes(*bytes);
    }
}

pub(super) fn f16(bytes: &[u8], out: &mut [f32]) {
    let mut halves = [f16::ZERO; CHUNK];
    for (out, bytes) in out.chunks_mut(CHUNK).zip(bytes.chunks(2 * CHUNK)) {
        for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *half = f16::from_le_bytes(*bytes);
        }
        halves[..out.len()].convert_to_f32_slice(out);
    }
}

pub(super) fn bf16(bytes: &[u8], out: &mut [f32]) {
    for (value, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *value = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_widens_exactly() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let mut wide = vec![0.0; 1 << 16];
        f16(&bytes, &mut wide);
        for (bits, value) in (0..=u16::MAX).zip(&wide) {
            let half = half::f16::from_bits(bits);
            assert!(half.is_nan() && value.is_nan() || half::f16::from_f32(*value) == half);
        }
        bf16(&bytes, &mut wide);
        for (bits, value) in (0..=u16::MAX).zip(&wide) {
            assert_eq!(value.to_bits() >> 16, u32::from(bits));
        }
    }
}
