//! The parameter table of `tahquant`.

use strait_sdk::prelude::*;

/// Parameters of [`Tahquant`](crate::Tahquant).
#[derive(Params, Clone, Debug, PartialEq)]
pub struct TahquantParams {
    /// Values per tile, a power of two; the last tile of a row may be shorter.
    #[param(default = 64, min = 2, max = 1024)]
    pub tile: usize,
    /// Bits per value of most tokens.
    #[param(default = 4, min = 1, max = 8)]
    pub high_bits: u32,
    /// Bits per value of the tokens with the lowest entropy.
    #[param(default = 3, min = 1, max = 8)]
    pub low_bits: u32,
    /// Share of tokens that take `high_bits`.
    #[param(default = 0.8, min = 0.0, max = 1.0)]
    pub share: f64,
}
