//! Element types in which weights are rounded and hidden states cross a link.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Element type of a model: its weights, and the hidden states at a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit IEEE 754.
    F32,
    /// 16-bit IEEE 754.
    F16,
    /// bfloat16.
    Bf16,
}

impl Dtype {
    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
        }
    }

    /// Name as in an experiment file: `f32`, `f16` or `bf16`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
        }
    }

    /// Rounds every value to the nearest one that this type can hold, ties to even.
    #[inline(always)]
    pub(crate) fn round(self, values: &mut [f32]) {
        if self != Dtype::F32 {
            self.round_half(values);
        }
    }

    /// Apart from [`Dtype::round`], so that its code is not in every operation.
    #[inline(never)]
    fn round_half(self, values: &mut [f32]) {
        match self {
            Dtype::F32 => {}
            Dtype::F16 => round_f16(values),
            Dtype::Bf16 => values.iter_mut().for_each(|value| *value = round_bf16(*value)),
        }
    }

    /// Writes `values` as little-endian elements of this type.
    pub(crate) fn encode(self, values: &[f32], bytes: &mut [u8]) {
        match self {
            Dtype::F32 => bytes.copy_from_slice(bytemuck::cast_slice(values)),
            Dtype::F16 => bytemuck::cast_slice_mut::<u8, f16>(bytes).convert_from_f32_slice(values),
            Dtype::Bf16 => {
                bytemuck::cast_slice_mut::<u8, bf16>(bytes).convert_from_f32_slice(values);
            }
        }
    }

    /// Reads little-endian elements of this type.
    pub(crate) fn decode(self, bytes: &[u8], values: &mut [f32]) {
        match self {
            Dtype::F32 => values.copy_from_slice(bytemuck::cast_slice(bytes)),
            Dtype::F16 => bytemuck::cast_slice::<u8, f16>(bytes).convert_to_f32_slice(values),
            Dtype::Bf16 => bytemuck::cast_slice::<u8, bf16>(bytes).convert_to_f32_slice(values),
        }
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

fn round_f16(values: &mut [f32]) {
    let mut halves = [f16::ZERO; 64];
    for chunk in values.chunks_mut(64) {
        let halves = &mut halves[..chunk.len()];
        halves.convert_from_f32_slice(chunk);
        halves.convert_to_f32_slice(chunk);
    }
}

#[inline(always)]
fn round_bf16(value: f32) -> f32 {
    let bits = value.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1))) & 0xffff_0000;
    if value.is_nan() { value } else { f32::from_bits(rounded) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_agrees_with_half() {
        let mut state = 1u32;
        let mut values: Vec<f32> = (0..4096)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from_bits(state)
            })
            .filter(|value| !value.is_nan())
            .collect();
        values.extend([0.0, -0.0, f32::INFINITY, f32::MAX, 65504.0, 65520.0, 1e-8]);
        let (mut f, mut b) = (values.clone(), values.clone());
        Dtype::F16.round(&mut f);
        Dtype::Bf16.round(&mut b);
        for ((value, f), b) in values.iter().zip(f).zip(b) {
            assert_eq!(f.to_bits(), f16::from_f32(*value).to_f32().to_bits(), "{value}");
            assert_eq!(b.to_bits(), bf16::from_f32(*value).to_f32().to_bits(), "{value}");
        }
    }

    #[test]
    fn not_a_number_stays_one() {
        let mut values = [f32::NAN];
        Dtype::Bf16.round(&mut values);
        assert!(values[0].is_nan());
    }
}
