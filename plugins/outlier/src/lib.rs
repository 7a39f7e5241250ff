//! outlier: what stands out is kept in 16 bits, the rest goes to any other codec: whole columns
//! (`outlier.columns`), whole tokens (`outlier.tokens`), or single values (`outlier.values`).
//!
//! Sources: columns as in [LLM.int8](https://arxiv.org/abs/2208.07339), the first tokens of a sequence
//! as in [StreamingLLM](https://arxiv.org/abs/2309.17453), single spikes as in
//! [Flash Communication V2](https://arxiv.org/abs/2508.03760).
//!
//! - `outlier.columns`: a channel where some |x| of the message reaches `threshold`; with `fraction`,
//!   that share of the channels with the largest |x|. The inner codec sees the other channels.
//! - `outlier.tokens`: the first `first` tokens of the sequence; with `ratio`, also those whose largest
//!   |x| is at least `ratio` times the median of that of the message's tokens. The inner codec sees the
//!   other tokens.
//! - `outlier.values`: the `k` largest |x| of every token, or of every `group` values of it. The inner
//!   codec sees 0 in their places.
//!
//! Stored, in this order: which they are, 16 bits for each value kept, the payload of `inner`. Columns,
//! and tokens with `ratio`, are named by the smallest of a list, a bitmap and Rice codes
//! (`strait_codec_kit::subset`), tokens without `ratio` not at all, values by ⌈log2 group⌉ bits each or one bit
//! per value, whichever is smaller for the parameters.
//!
//! ```
//! # strait_sdk::offer::<strait_affine::Affine>();
//! # strait_conformance::check_example::<strait_outlier::Values>(r#"
//! [[compressor]]
//! codec = "outlier.values"
//! params = { k = 2, group = 128, inner = { codec = "affine", bits = 3, granularity = "group" } }
//! # "#);
//! ```
//!
//! Error: the rounding of f16 or bf16 where a value is kept, that of `inner` elsewhere. Limits: a kept NaN
//! counts as 0 and a kept value saturates at the largest of `keep`; the others are `inner`'s business.

mod columns;
mod kept;
mod tokens;
mod values;

pub use columns::{Columns, ColumnsParams};
pub use kept::Keep;
pub use tokens::{Tokens, TokensParams};
pub use values::{Values, ValuesParams};

strait_sdk::export!(Columns, Tokens, Values);
