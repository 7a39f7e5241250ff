//! mx: the microscaling formats MXFP4, MXFP6, MXFP8 and MXINT8: 32 values share a power of two.
//!
//! Specification: [OCP Microscaling Formats](https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf)
//! 1.0. With the largest magnitude A of a block and the element's largest power of two 2^e, the scale is
//! X = 2^(floor(log2 A) - e) (`floor`, section 6.3). Elements are x / X rounded to nearest, ties to even,
//! saturating; x' = X × element. `even` first rounds A to the element's mantissa bits, half away from
//! zero, which is what compressed-tensors does for 4 and 6 bits and torchao calls EVEN; `ceil` takes the
//! least X with A / X within the element's largest value (RCEIL in torchao, the rule of NVIDIA's
//! hardware).
//!
//! Stored per block of 32: one byte, the exponent of X plus 127 (E8M0); all of them come first. Stored
//! per value: 4, 6 or 8 bits, lowest bits first, each row ending at a byte: 4.25, 6.25 or 8.25 bits a value.
//!
//! ```
//! # strait_conformance::check_example::<strait_blockfloat::Mx>(r#"
//! [[compressor]]
//! codec = "mx"
//! params = { format = "mxfp4", scale = "even" }
//! # "#);
//! ```
//!
//! Blocks never cross rows; the last of a row may be shorter. Limits: NaN is left out of A and encoded
//! as 0; an infinity counts as the largest finite value of the message's dtype. X is at least 2^-127. With
//! `floor`, values above the element's largest times X saturate (MXFP4: A in (6, 8) X becomes 6 X). The
//! scale byte 255 (NaN) is never written and is an error to read.

use strait_codec_kit::minifloat::{E2M1, E2M3, E3M2, E4M3, E5M2};
use strait_sdk::prelude::*;

use super::element::{Element, Int8};
use super::planes::Planes;

/// Values that share a scale.
const BLOCK: usize = 32;

/// Parameters of [`Mx`].
#[derive(Params, Clone, Debug, PartialEq)]
pub struct MxParams {
    /// Element of a block.
    #[param(default = "mxfp4")]
    pub format: Format,
    /// How the scale follows from the largest magnitude of a block.
    #[param(default = "floor")]
    pub scale: ScaleRule,
}

/// Element of a block.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 4 bits, e2m1: up to 6.
    #[choice(name = "mxfp4")]
    Fp4,
    /// 6 bits, e2m3: up to 7.5.
    #[choice(name = "mxfp6_e2m3")]
    Fp6E2M3,
    /// 6 bits, e3m2: up to 28.
    #[choice(name = "mxfp6_e3m2")]
    Fp6E3M2,
    /// 8 bits, e4m3: up to 448.
    #[choice(name = "mxfp8_e4m3")]
    Fp8E4M3,
    /// 8 bits, e5m2: up to 57344.
    #[choice(name = "mxfp8_e5m2")]
    Fp8E5M2,
    /// 8-bit integer with six fraction bits: up to 127/64.
    #[choice(name = "mxint8")]
    Int8,
}

/// How the scale follows from the largest magnitude of a block.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleRule {
    /// The specification's: down to a power of two; the largest values may saturate.
    Floor,
    /// As `floor`, after rounding to the element's mantissa bits.
    Even,
    /// Up to the least power of two with which nothing saturates.
    Ceil,
}

/// The codec `mx`.
#[derive(Debug)]
pub struct Mx {
    params: MxParams,
    codes: Vec<u8>,
}

/// Calls a generic method with the element of the format.
macro_rules! with_element {
    ($format:expr, $self:ident.$method:ident::<_>($($argument:expr),*)) => {
        match $format {
            Format::Fp4 => $self.$method::<E2M1>($($argument),*),
            Format::Fp6E2M3 => $self.$method::<E2M3>($($argument),*),
            Format::Fp6E3M2 => $self.$method::<E3M2>($($argument),*),
            Format::Fp8E4M3 => $self.$method::<E4M3>($($argument),*),
            Format::Fp8E5M2 => $self.$method::<E5M2>($($argument),*),
            Format::Int8 => $self.$method::<Int8>($($argument),*),
        }
    };
}

impl Mx {
    fn planes(&self, shape: Shape) -> Planes {
        let width = match self.params.format {
            Format::Fp4 => E2M1::BITS,
            Format::Fp6E2M3 | Format::Fp6E3M2 => E2M3::BITS,
            Format::Fp8E4M3 | Format::Fp8E5M2 | Format::Int8 => 8,
        };
        Planes::new(BLOCK, width, shape)
    }

    fn append<T: Element>(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let planes = self.planes(message.shape());
        let codes = &mut self.codes;
        match self.params.scale {
            ScaleRule::Floor => planes.append::<T>(message, codes, payload, floor::<T>, power),
            ScaleRule::Even => planes.append::<T>(message, codes, payload, even::<T>, power),
            ScaleRule::Ceil => planes.append::<T>(message, codes, payload, ceil::<T>, power),
        }
    }

    fn read<T: Element>(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let planes = self.planes(message.shape());
        Error::check_payload_length(planes.bytes, payload.len())?;
        planes.read::<T>(payload, message, &mut self.codes, |byte| match byte {
            u8::MAX => Err("payload: expected scale bytes up to 254, found 255".into()),
            _ => Ok(power(byte)),
        })
    }
}

impl Codec for Mx {
    const INFO: CodecInfo = CodecInfo {
        id: "mx",
        summary: "MXFP4, MXFP6, MXFP8 or MXINT8: blocks of 32 with a power of two as scale",
        paper: "https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf",
        ..CodecInfo::DEFAULT
    };
    type Params = MxParams;

    fn open(params: MxParams) -> Result<Self> {
        Ok(Mx { params, codes: Vec::new() })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        with_element!(self.params.format, self.append::<_>(message, payload))
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        with_element!(self.params.format, self.read::<_>(payload, message))
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::Exact(self.planes(shape).bytes)
    }
}

/// 2^(byte - 127).
#[inline(always)]
fn power(byte: u8) -> f32 {
    f32::from_bits(if byte == 0 { 1 << 22 } else { u32::from(byte) << 23 })
}

#[inline(always)]
fn floor<T: Element>(most: f32) -> u8 {
    biased::<T>(most.to_bits() >> 23)
}

#[inline(always)]
fn even<T: Element>(most: f32) -> u8 {
    biased::<T>((most.to_bits() + (1 << (22 - T::MANTISSA))) >> 23)
}

/// The exponent of A / largest, one more where its mantissa is not 0.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
fn ceil<T: Element>(most: f32) -> u8 {
    (((most / T::LARGEST).to_bits() + (1 << 23) - 1) >> 23).min(254) as u8
}

/// The scale byte for a largest magnitude with this exponent field.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
fn biased<T: Element>(exponent: u32) -> u8 {
    exponent.saturating_sub(T::EXPONENT.unsigned_abs()).min(254) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_follow_the_three_rules() {
        // e2m1: 2^2 is its largest power of two, 6 its largest value.
        let rules = |most: f32| [floor::<E2M1>(most), even::<E2M1>(most), ceil::<E2M1>(most)];
        assert_eq!(rules(4.0), [127, 127, 127]);
        assert_eq!(rules(6.0), [127, 127, 127]);
        assert_eq!(rules(6.000_001), [127, 127, 128]);
        assert_eq!(rules(7.0), [127, 128, 128]);
        assert_eq!(rules(0.0), [0, 0, 0]);
        assert_eq!(floor::<E5M2>(f32::MAX), 254 - 15);
        assert_eq!((floor::<Int8>(1.0), floor::<Int8>(f32::MAX)), (127, 254));
        assert_eq!(even::<Int8>(f32::MAX), 254);
        assert_eq!((power(127), power(0), power(254)), (1.0, 2_f32.powi(-127), 2_f32.powi(127)));
    }
}
