//! The parameter table of `cast`.

use strait_sdk::prelude::*;

/// Parameters of [`Cast`](crate::Cast).
#[derive(Params, Clone, Debug, PartialEq)]
pub struct CastParams {
    /// Type of the stored values.
    #[param(default = "f16")]
    pub to: Target,
    /// What shares one f32 scale, for fp8 only; `token` when absent.
    pub scale: Option<Scale>,
    /// Values per scale when `scale` is `group`; the last group of a row may be shorter.
    #[param(default = 64, min = 2, max = 65536)]
    pub group: usize,
}

/// Type of the stored values.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16, largest value 65504.
    F16,
    /// bfloat16.
    #[choice(name = "bf16")]
    Bf16,
    /// 8 bits: 4 exponent and 3 mantissa bits, no infinity, largest value 448.
    #[choice(name = "fp8_e4m3")]
    Fp8E4m3,
    /// 8 bits: 5 exponent and 2 mantissa bits, largest value 57344.
    #[choice(name = "fp8_e5m2")]
    Fp8E5m2,
}

/// What shares one f32 scale.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// No scale: values beyond the format's largest saturate.
    None,
    /// Each row: max|x| becomes the format's largest value.
    Token,
    /// Each run of `group` values within a row.
    Group,
}
