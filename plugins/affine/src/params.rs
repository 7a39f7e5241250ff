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
    /// Values per scale when `granularity` is `group` or `channel_group`; the last group of a row or
    /// column may be shorter.
    #[param(default = 64, min = 2, max = 65536)]
    pub group: usize,
    /// How a code stands for a value.
    #[param(default = "asymmetric")]
    pub scheme: Scheme,
    /// Type of the stored scales and minima.
    #[param(default = "f16")]
    pub scale_dtype: ScaleDtype,
    /// Which values a scale's range holds; those beyond it saturate.
    #[param(default = "full")]
    pub range: Range,
    /// The range is shrunk to this share of itself.
    #[param(default = 1.0, min = 0.01, max = 1.0)]
    pub clip: f64,
    /// Percent of the values that are not above the range, and not below it, when `range` is
    /// `percentile`.
    #[param(default = 99.9, min = 50.0, max = 100.0)]
    pub percentile: f64,
    /// Shares of the full range that are tried when `range` is `mse`: 1, 1 - 1/steps, ..., above 0.2.
    #[param(default = 20, min = 2, max = 200)]
    pub steps: u32,
    /// How a value between two of the grid is rounded.
    #[param(default = "nearest")]
    pub rounding: Rounding,
    /// Seed of `stochastic` rounding.
    #[param(default = 0, min = 0)]
    pub seed: u64,
}

/// Which values a scale's range holds.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// All of them.
    Full,
    /// Those between two percentiles of the values that share it.
    Percentile,
    /// The share of the full range with the smallest squared error.
    Mse,
}

/// How a value between two of the grid is rounded.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearer one, ties to even.
    Nearest,
    /// Up as often as it is near the upper one: right on average, with up to twice the error.
    Stochastic,
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
    /// Each run of `group` tokens within a column.
    ChannelGroup,
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
