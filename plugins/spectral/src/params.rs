//! The parameter table of `spectral`.

use strait_sdk::prelude::*;

/// Parameters of [`Spectral`](crate::Spectral).
#[derive(Params, Clone, Debug, PartialEq)]
pub struct SpectralParams {
    /// Which transform.
    #[param(default = "fft")]
    pub transform: Transform,
    /// Share of the frequencies along channels that is kept (`fft`, `dct_channels`).
    #[param(default = 0.25, min = 0.0, max = 1.0)]
    pub channels: f64,
    /// Share of the frequencies along tokens that is kept (`fft`, `dct_tokens`).
    #[param(default = 0.5, min = 0.0, max = 1.0)]
    pub tokens: f64,
    /// How a coefficient is stored.
    #[param(default = "bf16")]
    pub values: Values,
    /// Bits per number when `values` is `int`.
    #[param(default = 8, min = 2, max = 8)]
    pub bits: u32,
}

/// Which transform.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// The two-dimensional Fourier transform of the message.
    Fft,
    /// The cosine transform of each token.
    DctChannels,
    /// The cosine transform of each channel, over the tokens of the message.
    DctTokens,
}

/// How a coefficient is stored.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// 16 bits with the range of f32 and 8 bits of precision.
    #[choice(name = "bf16")]
    Bf16,
    /// 16 bits after division by the largest magnitude of its row, an f32 per row.
    F16,
    /// `bits` bits times a step per row: its largest magnitude over 2^(bits-1) - 1, an f32 per row.
    Int,
}
