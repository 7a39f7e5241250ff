//! The parameter table of `sparse`.

use strait_sdk::prelude::*;

/// Parameters of [`Sparse`](crate::Sparse).
#[derive(Params, Clone, Debug, PartialEq)]
pub struct SparseParams {
    /// Which values of a token are kept.
    #[param(default = "top")]
    pub select: Select,
    /// Share of a token's values that is kept, to the nearest number; at least one is.
    #[param(default = 0.1, min = 0.0, max = 1.0)]
    pub fraction: f64,
    /// Number of values that are kept, in place of `fraction`; 0 means by `fraction`.
    #[param(default = 0, min = 0, max = 1048576)]
    pub k: usize,
    /// How a kept value is stored.
    #[param(default = "f16")]
    pub values: Values,
    /// Bits per kept value when `values` is `int`.
    #[param(default = 8, min = 2, max = 8)]
    pub bits: u32,
    /// How the indices of `top` are stored; `auto` takes the smallest of the others.
    #[param(default = "auto")]
    pub index: Index,
    /// What happens to the values that are left out.
    #[param(default = "none")]
    pub feedback: Feedback,
    /// Seed of the indices of `random`.
    #[param(default = 0, min = 0)]
    pub seed: u64,
}

/// Which values of a token are kept.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The largest magnitudes; of equal ones the first.
    Top,
    /// Others for every token of the sequence, drawn from `seed`; their indices are not stored.
    Random,
}

/// How a kept value is stored.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// 16 bits, up to 65504.
    F16,
    /// 16 bits, the range of f32 with 8 bits of precision.
    #[choice(name = "bf16")]
    Bf16,
    /// `bits` bits, times a scale per token: the largest magnitude over 2^(bits-1) - 1, in f32.
    Int,
}

/// How indices are stored.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// The smallest of the other three, for each message.
    Auto,
    /// One bit per channel.
    Bitmap,
    /// The gaps between them as Rice codes, with the best parameter for the message.
    Delta,
    /// Each in as many bits as the last channel needs.
    Fixed,
}

/// What happens to the values that are left out.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// They are lost: the decoder has 0.
    None,
    /// The error of a token is added to the next one before it is encoded.
    Error,
    /// What is encoded is the difference to the decoder's last token.
    Difference,
}
