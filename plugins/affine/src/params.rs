//! The parameter table of `affine`.

use strait_sdk::prelude::*;

/// Parameters of [`Affine`](crate::Affine).
#[derive(Params, Clone, Debug, PartialEq)]
pub struct AffineParams {
    /// Bits per value.
    #[param(default = 8, min = 1, max = 8)]
    pub bits: u32,
    /// What shares one scale.
    #[param(default = "token")]
    pub granularity: Granularity,
    /// Values per scale when `granularity` is `group`; the last group of a row may be shorter.
    #[param(default = 64, min = 2, max = 65536)]
    pub group: usize,
    /// How a code stands for a value.
    #[param(default = "asymmetric")]
    pub scheme: Scheme,
    /// Type of the stored scales and minima.
    #[param(default = "f16")]
    pub scale_dtype: ScaleDtype,
}

/// What shares one scale.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// The whole message.
    Tensor,
    /// Each row.
    Token,
    /// Each column, over all rows of the message.
    Channel,
    /// Each run of `group` values within a row.
    Group,
}

/// How a code stands for a value.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// scale * q with q from -2^(bits-1) to 2^(bits-1)-1; with 1 bit: plus or minus scale.
    Symmetric,
    /// scale * (q - zero) with an integer zero point of `bits` bits, so that 0 stays exact.
    Asymmetric,
    /// minimum + scale * q.
    Minimum,
}

/// Type of the stored scales and minima.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleDtype {
    /// 32 bits, exact.
    F32,
    /// 16 bits, up to 65504.
    F16,
    /// 16 bits, the range of f32 with 8 bits of precision.
    #[choice(name = "bf16")]
    Bf16,
}

impl ScaleDtype {
    /// The element type of this name.
    pub(crate) fn dtype(self) -> Dtype {
        match self {
            ScaleDtype::F32 => Dtype::F32,
            ScaleDtype::F16 => Dtype::F16,
            ScaleDtype::Bf16 => Dtype::BF16,
        }
    }
}

/// The largest finite value of a dtype.
pub(crate) fn largest(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F32 => f32::MAX,
        Dtype::F16 => 65504.0,
        Dtype::BF16 => f32::from_bits(0x7f7f_0000),
    }
}
