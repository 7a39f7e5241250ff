//! Parameters of both codecs.

use strait_sdk::prelude::*;

/// Parameters of `frontier`.
#[derive(Clone, Debug, Params)]
pub struct FrontierParams {
    /// Bits that a value of a white Gaussian would take, which sets the step; hidden states take
    /// fewer.
    #[param(default = 3.0, min = 0.0, max = 16.0)]
    pub bits: f32,
    /// Earlier rows of a sequence that a row may be predicted from.
    #[param(default = 2048, min = 0, max = 65536)]
    pub history: usize,
}

/// Parameters of `frontier-fitted`.
#[derive(Clone, Debug, Params)]
pub struct FrontierFittedParams {
    /// Bits that a value of a white Gaussian would take, which sets the step; hidden states take
    /// fewer.
    #[param(default = 3.0, min = 0.0, max = 16.0)]
    pub bits: f32,
    /// Earlier rows of a sequence that a row may be predicted from.
    #[param(default = 2048, min = 0, max = 65536)]
    pub history: usize,
    /// Channels that are rotated together, at most; used by the fit step alone.
    #[param(default = 640, min = 1, max = 4096)]
    pub block: usize,
}
