//! Conversion between little-endian bytes of a dtype and `f32` values.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::Dtype;

/// Values converted at a time when a copy to aligned memory is needed; 4 KiB of f32.
const CHUNK: usize = 1024;

/// Reads little-endian elements of `dtype` into `values`, exactly; any alignment.
///
/// # Panics
/// When `bytes` has not exactly `values.len()` elements.
pub fn widen(dtype: Dtype, bytes: &[u8], values: &mut [f32]) {
    assert_eq!(bytes.len(), values.len() * dtype.size(), "bytes and values of different length");
    match dtype {
        Dtype::F32 => bytemuck::cast_slice_mut::<f32, u8>(values).copy_from_slice(bytes),
        Dtype::F16 => {
            in_chunks::<f16>(bytes, values, |half, values| half.convert_to_f32_slice(values))
        }
        Dtype::BF16 => in_chunks::<bf16>(bytes, values, |half, values| {
            for (value, half) in values.iter_mut().zip(half) {
                *value = f32::from_bits(u32::from(half.to_bits()) << 16);
            }
        }),
    }
}

/// Writes `values` as little-endian elements of `dtype`, rounded to nearest even; any alignment.
///
/// # Panics
/// When `bytes` has not exactly `values.len()` elements.
pub fn narrow(dtype: Dtype, values: &[f32], bytes: &mut [u8]) {
    assert_eq!(bytes.len(), values.len() * dtype.size(), "bytes and values of different length");
    match dtype {
        Dtype::F32 => bytes.copy_from_slice(bytemuck::cast_slice(values)),
        Dtype::F16 => {
            out_chunks::<f16>(values, bytes, |values, half| half.convert_from_f32_slice(values))
        }
        Dtype::BF16 => out_chunks::<bf16>(values, bytes, |values, half| {
            for (half, value) in half.iter_mut().zip(values) {
                *half = round_to_bf16(*value);
            }
        }),
    }
}

/// Nearest bf16, ties to even; a NaN stays a (quiet) NaN. Branch-free, so that it vectorises.
#[inline(always)]
fn round_to_bf16(value: f32) -> bf16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let quiet = (bits >> 16) | 0x40;
    let chosen = if value.is_nan() { quiet } else { rounded };
    #[allow(clippy::cast_possible_truncation)]
    bf16::from_bits(chosen as u16)
}

fn in_chunks<H: bytemuck::Pod>(
    bytes: &[u8],
    values: &mut [f32],
    convert: impl Fn(&[H], &mut [f32]),
) {
    if let Ok(halves) = bytemuck::try_cast_slice(bytes) {
        return convert(halves, values);
    }
    let mut aligned = [H::zeroed(); CHUNK];
    let size = size_of::<H>();
    for (bytes, values) in bytes.chunks(CHUNK * size).zip(values.chunks_mut(CHUNK)) {
        let halves = &mut aligned[..values.len()];
        bytemuck::cast_slice_mut::<H, u8>(halves).copy_from_slice(bytes);
        convert(halves, values);
    }
}

fn out_chunks<H: bytemuck::Pod>(
    values: &[f32],
    bytes: &mut [u8],
    convert: impl Fn(&[f32], &mut [H]),
) {
    if let Ok(halves) = bytemuck::try_cast_slice_mut(bytes) {
        return convert(values, halves);
    }
    let mut aligned = [H::zeroed(); CHUNK];
    let size = size_of::<H>();
    for (bytes, values) in bytes.chunks_mut(CHUNK * size).zip(values.chunks(CHUNK)) {
        let halves = &mut aligned[..values.len()];
        convert(values, halves);
        bytes.copy_from_slice(bytemuck::cast_slice(halves));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hard_values() -> Vec<f32> {
        let mut values = vec![
            0.0,
            -0.0,
            1.0,
            -1.5,
            65504.0,
            -65504.0,
            65520.0,
            1e-8,
            6e-8,
            1e30,
            f32::MAX,
            f32::MIN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            f32::MIN_POSITIVE / 2.0,
        ];
        values.extend((0..3000_u16).map(|i| (f32::from(i) - 1500.0) * 0.123_456_7));
        values
    }

    fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    }

    #[test]
    fn narrow_agrees_with_half_at_any_alignment() {
        let values = hard_values();
        for dtype in Dtype::ALL {
            for offset in 0..3 {
                let mut buffer = vec![0_u8; values.len() * dtype.size() + offset];
                narrow(dtype, &values, &mut buffer[offset..]);
                let mut back = vec![0.0_f32; values.len()];
                widen(dtype, &buffer[offset..], &mut back);
                for (value, back) in values.iter().zip(&back) {
                    let expected = match dtype {
                        Dtype::F32 => *value,
                        Dtype::F16 => f16::from_f32(*value).to_f32(),
                        Dtype::BF16 => bf16::from_f32(*value).to_f32(),
                    };
                    assert!(same(expected, *back), "{dtype} {value}: {expected} {back}");
                }
            }
        }
    }
}
