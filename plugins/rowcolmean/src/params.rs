//! The parameter table of `rowcolmean`.

use strait_sdk::prelude::*;

/// Parameters of [`Rowcolmean`](crate::Rowcolmean).
#[derive(Params, Clone, Debug, PartialEq)]
pub struct RowcolmeanParams {
    /// Tokens of a block; 0 means all of the message.
    #[param(default = 4, min = 0, max = 1048576)]
    pub token_block: usize,
    /// Channels of a block; 0 means all of the row.
    #[param(default = 4, min = 0, max = 1048576)]
    pub channel_block: usize,
    /// Whether tokens are first put in the order of their means.
    #[param(default = false)]
    pub permute_tokens: bool,
    /// Whether channels are first put in the order of their means.
    #[param(default = false)]
    pub permute_channels: bool,
    /// Type of the stored means.
    #[param(default = "f16")]
    pub store: Store,
}

/// Type of the stored means.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// 16 bits, up to 65504.
    F16,
    /// 16 bits, the range of f32 with 8 bits of precision.
    #[choice(name = "bf16")]
    Bf16,
}

impl Store {
    /// The element type of this name.
    pub(crate) fn dtype(self) -> Dtype {
        match self {
            Store::F16 => Dtype::F16,
            Store::Bf16 => Dtype::BF16,
        }
    }
}
