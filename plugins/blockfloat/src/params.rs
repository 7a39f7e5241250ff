//! The parameter table of `blockfloat`.

use strait_sdk::prelude::*;

/// Parameters of [`Blockfloat`](crate::Blockfloat).
#[derive(Params, Clone, Debug, PartialEq)]
pub struct BlockfloatParams {
    /// Table of the 16 values.
    #[param(default = "nf4")]
    pub code: Code,
    /// Values per block; a row's last block may be shorter.
    #[param(default = 64, min = 16, max = 4096)]
    pub block: usize,
    /// How the largest magnitude of each block is stored.
    #[param(default = "f32")]
    pub absmax: Absmax,
}

/// Table of the 16 values.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Quantiles of the normal distribution.
    #[choice(name = "nf4")]
    Nf4,
    /// Sign, two exponent bits and one mantissa bit.
    #[choice(name = "fp4")]
    Fp4,
}

/// How the largest magnitude of each block is stored.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absmax {
    /// 32 bits a block, exact.
    F32,
    /// 16 bits a block, up to 65504.
    F16,
    /// 8 bits a block, f32 per 256 blocks and f32 per message: double quantisation.
    #[choice(name = "nested8")]
    Nested8,
}
