//! Element types in which weights are rounded and hidden states cross a link.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::named;

/// Element type of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// IEEE single precision, 4 bytes.
    #[default]
    F32,
    /// IEEE half precision, 2 bytes.
    F16,
    /// bfloat16, 2 bytes.
    Bf16,
}

named!(Dtype, "element type", F32 = "f32", F16 = "f16", Bf16 = "bf16");

impl Dtype {
    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
        }
    }

    /// Rounds every value to the nearest one that this type can hold, ties to even.
    ///
    /// Inlined, so that the caller's vectors do it.
    #[inline(always)]
    pub fn round(self, values: &mut [f32]) {
        match self {
            Dtype::F32 => {}
            Dtype::F16 => values.iter_mut().for_each(|value| *value = round_f16(*value)),
            Dtype::Bf16 => values.iter_mut().for_each(|value| *value = round_bf16(*value)),
        }
    }

    /// Writes `values` as little-endian elements of this type.
    pub fn encode(self, values: &[f32], bytes: &mut [u8]) {
        match self {
            Dtype::F32 => bytes.copy_from_slice(bytemuck::cast_slice(values)),
            Dtype::F16 => bytemuck::cast_slice_mut::<u8, f16>(bytes).convert_from_f32_slice(values),
            Dtype::Bf16 => {
                bytemuck::cast_slice_mut::<u8, bf16>(bytes).convert_from_f32_slice(values);
            }
        }
    }

    /// Reads little-endian elements of this type.
    pub fn decode(self, bytes: &[u8], values: &mut [f32]) {
        match self {
            Dtype::F32 => values.copy_from_slice(bytemuck::cast_slice(bytes)),
            Dtype::F16 => bytemuck::cast_slice::<u8, f16>(bytes).convert_to_f32_slice(values),
            Dtype::Bf16 => bytemuck::cast_slice::<u8, bf16>(bytes).convert_to_f32_slice(values),
        }
    }
}

#[inline(always)]
fn round_f16(value: f32) -> f32 {
    /// Half a unit in the last place of an f16, and the bits below it, in a normal f32.
    const HALF: u32 = 0x0fff;
    /// Adding it leaves multiples of 2^-24, the step of subnormal halves.
    const STEP: f32 = 0.75;
    let bits = value.to_bits();
    let normal = f32::from_bits(bits.wrapping_add(HALF + ((bits >> 13) & 1)) & !0x1fff);
    let subnormal = ((value.abs() + STEP) - STEP).copysign(value);
    let infinite = f32::INFINITY.copysign(value);
    let rounded = if normal.abs() > 65504.0 { infinite } else { normal };
    let rounded = if value.abs() < 6.103_515_6e-5 { subnormal } else { rounded };
    if value.is_nan() { value } else { rounded }
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
        values.extend([0.0, -0.0, f32::INFINITY, f32::MAX, 65504.0, 65519.9, 65520.0, 1e-8, -1e-8]);
        let small = values.clone().into_iter().map(|value| (value.to_bits() as f32) * 1e-14);
        values.extend(small.collect::<Vec<_>>());
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
