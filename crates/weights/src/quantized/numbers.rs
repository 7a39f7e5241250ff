//! Number formats of quantized checkpoints: minifloats widened through tables, and rounding to the reference's dtype.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Number of values rounded at a time: enough for vector instructions, small enough for the stack.
const CHUNK: usize = 512;

/// The dtype in which a reference dequantizes; results are rounded to it and kept as f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    F32,
    F16,
    BF16,
}

impl Precision {
    /// Rounds every value to nearest, ties to even.
    pub(super) fn round_all(self, values: &mut [f32]) {
        match self {
            Self::F32 => {}
            Self::F16 => {
                let mut halves = [f16::ZERO; CHUNK];
                for values in values.chunks_mut(CHUNK) {
                    let halves = &mut halves[..values.len()];
                    halves.convert_from_f32_slice(values);
                    halves.convert_to_f32_slice(values);
                }
            }
            Self::BF16 => {
                values.iter_mut().for_each(|value| *value = bf16::from_f32(*value).to_f32())
            }
        }
    }

    /// safetensors' name of the dtype.
    pub(super) fn dtype(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
        }
    }

    /// The dtype with that name in `config.json`.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name.strip_prefix("torch.").unwrap_or(name) {
            "float32" => Some(Self::F32),
            "float16" => Some(Self::F16),
            "bfloat16" => Some(Self::BF16),
            _ => None,
        }
    }
}

/// Four bits: sign, two exponent bits, one mantissa bit (E2M1).
pub(super) const E2M1: [f32; 16] =
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// Every byte as a signed integer.
pub(super) static I8: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = if byte < 128 { byte as f32 } else { byte as f32 - 256.0 };
        byte += 1;
    }
    table
};

/// Every byte as F8_E4M3 of the "fn" kind: bias 7, no infinity, NaN at 0x7f and 0xff.
pub(super) static E4M3: [f32; 256] = {
    let mut table = minifloat(4, 3, 7);
    table[0x7f] = f32::NAN;
    table[0xff] = f32::NAN;
    table
};

/// Every byte as F8_E5M2: the upper half of an IEEE half.
pub(super) static E5M2: [f32; 256] = {
    let mut table = minifloat(5, 2, 15);
    let mut byte = 0x7c;
    while byte < 0x80 {
        let value = if byte == 0x7c { f32::INFINITY } else { f32::NAN };
        table[byte] = value;
        table[byte | 0x80] = -value;
        byte += 1;
    }
    table
};

/// The power of two that a byte represents in E8M0: 2^(byte - 127); 255 is NaN.
pub(super) fn e8m0(byte: u8) -> f32 {
    match byte {
        // 2^-127 is a subnormal f32.
        0 => f32::from_bits(1 << 22),
        255 => f32::NAN,
        _ => f32::from_bits(u32::from(byte) << 23),
    }
}

/// All values of a format with one sign bit and the given `exponent` and `mantissa` bits, as if no code were
/// special.
const fn minifloat(exponent: u32, mantissa: u32, bias: i32) -> [f32; 256] {
    let mut table = [0.0; 256];
    let mut byte = 0;
    while byte < 256u32 {
        let field = (byte >> mantissa) & ((1 << exponent) - 1);
        let fraction = byte & ((1 << mantissa) - 1);
        let (significand, power) = if field == 0 {
            (fraction, 1 - bias - mantissa as i32)
        } else {
            (fraction | 1 << mantissa, field as i32 - bias - mantissa as i32)
        };
        // Exact: a small integer times a power of two in f32's normal range.
        let scale = f32::from_bits(((power + 127) as u32) << 23);
        let value = significand as f32 * scale;
        table[byte as usize] = if byte & 0x80 == 0 { value } else { -value };
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minifloats_have_the_values_of_their_definitions() {
        assert_eq!((E4M3[0x7e], E4M3[0xfe]), (448.0, -448.0));
        assert_eq!((E4M3[0x01], E4M3[0x08], E4M3[0x38]), (2f32.powi(-9), 2f32.powi(-6), 1.0));
        assert!(E4M3[0x7f].is_nan() && E4M3[0xff].is_nan());
        assert!(E4M3[0x80] == 0.0 && E4M3[0x80].is_sign_negative());
        for byte in 0..=255u8 {
            let half = f16::from_bits(u16::from(byte) << 8).to_f32();
            let found = E5M2[usize::from(byte)];
            assert!(half.is_nan() && found.is_nan() || half.to_bits() == found.to_bits());
        }
    }

    #[test]
    fn scales_of_eight_exponent_bits_are_powers_of_two() {
        for byte in 0..255u8 {
            assert_eq!(f64::from(e8m0(byte)), 2f64.powi(i32::from(byte) - 127));
        }
        assert!(e8m0(255).is_nan());
    }

    #[test]
    fn slices_round_as_single_values_do() {
        let values: Vec<f32> = (0..1500).map(|n| (n as f32 - 700.0) * 1.000_123e-3).collect();
        let round = |precision, value: f32| match precision {
            Precision::F32 => value,
            Precision::F16 => f16::from_f32(value).to_f32(),
            Precision::BF16 => bf16::from_f32(value).to_f32(),
        };
        for precision in [Precision::F32, Precision::F16, Precision::BF16] {
            let mut rounded = values.clone();
            precision.round_all(&mut rounded);
            assert!(rounded.iter().zip(&values).all(|(r, v)| *r == round(precision, *v)));
        }
        assert_eq!(Precision::from_name("torch.float16"), Some(Precision::F16));
    }
}
