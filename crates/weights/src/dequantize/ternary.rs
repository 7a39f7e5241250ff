//! GGML's formats of 256 values that are −d, 0 or d: TQ1_0 and TQ2_0.

use super::half_at;

/// 48 bytes of five and 4 bytes of four base-3 digits, f16 d. A byte holds ⌈256 n / 243⌉ for the number n
/// formed by its digits, so that the first digit is the carry of 3 times the byte.
pub(super) fn tq1_0(block: &[u8; 54], out: &mut [f32; 256]) {
    let d = half_at(block, 52);
    let (first, out) = out.split_at_mut(160);
    let (second, last) = out.split_at_mut(80);
    digits(d, &block[..32], first);
    digits(d, &block[32..48], second);
    digits(d, &block[48..52], last);
}

/// 64 bytes of 2-bit values, f16 d: 32 bytes hold 128 values, the lowest bits the first 32.
pub(super) fn tq2_0(block: &[u8; 66], out: &mut [f32; 256]) {
    let d = half_at(block, 64);
    for (k, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for (value, byte) in out.iter_mut().zip(&block[k / 4 * 32..][..32]) {
            *value = d * (i32::from(byte >> (2 * (k % 4)) & 3) - 1) as f32;
        }
    }
}

/// The digits of `bytes`: first the leading digit of every byte, then the second of every byte, and so on.
#[inline(always)]
fn digits(d: f32, bytes: &[u8], out: &mut [f32]) {
    let mut power = 1u8;
    for out in out.chunks_mut(bytes.len()) {
        for (value, byte) in out.iter_mut().zip(bytes) {
            let carry = (u16::from(byte.wrapping_mul(power)) * 3) >> 8;
            *value = d * (i32::from(carry) - 1) as f32;
        }
        power = power.wrapping_mul(3);
    }
}
