//! The parameter table of `lossless`.

use strait_sdk::prelude::*;

/// Parameters of [`Lossless`](crate::Lossless).
#[derive(Params, Clone, Debug, PartialEq)]
pub struct LosslessParams {
    /// How a plane is coded.
    #[param(default = "rans")]
    pub method: Method,
    /// Which bits make up a plane.
    #[param(default = "exponent")]
    pub split: Split,
    /// Level of zstd, when `method` is `zstd`.
    #[param(default = 3, min = 1, max = 19)]
    pub level: i32,
}

/// How a plane is coded.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Frequencies of the plane, then its bytes by rANS; best for many tokens.
    Rans,
    /// An adaptive range coder, nothing sent beforehand; best for few tokens, slower.
    Range,
    /// zstd.
    Zstd,
}

/// Which bits make up a plane.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// One plane of exponents (f16: and the three highest bits of the mantissa), the others of sign and
    /// mantissa.
    Exponent,
    /// The bytes of the elements: all first bytes, all second bytes and so on.
    Bytes,
}
