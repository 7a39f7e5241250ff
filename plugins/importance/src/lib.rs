//! Bits where they matter: `mixed` gives the least important tokens of a message to one codec and the
//! others to another; `channels` quantizes channels with one scale each and keeps those that stand out.
//!
//! Source: token importance at a cut as in
//! [LLM-Inference-in-Distributed-Edge-Networks](https://github.com/sv-goat/LLM-Inference-in-Distributed-Edge-Networks).
//! There one scale is shared by all tokens of 4 bits: `low = { codec = "affine", bits = 4,
//! granularity = "tensor", scheme = "symmetric" }`; with `granularity = "token"` each has its own.
//!
//! `mixed`: a token's importance is the side information `importance` of the host (`side` of the compressor
//! says what it is), or the Euclidean norm of its hidden state (`importance = "norm"`, which needs no host). Low are, by `rule`:
//!
//! - `fraction`: the ⌊fraction · tokens⌋ least important tokens;
//! - `share`: all but the most important tokens that together reach `share` of the total importance;
//! - `bits`: as few of the least important tokens as keep the payload within `bits` per value.
//!
//! With `causal = true` a token is judged when it comes, by the tokens of the sequence up to it: low when its
//! rank among them is within the fraction, or when the more important ones reach the share already. For
//! `bits` the fraction is that at which one-token payloads of both codecs average to it.
//!
//! Stored: which tokens are low (`strait_codec_kit::subset`: the smallest of a list, a bitmap and Rice codes), the
//! payload of `low`, behind its length unless that is exact, the payload of `high`. Both codecs see
//! tokens in the message's dtype, in order.
//!
//! ```
//! # strait_sdk::offer::<strait_affine::Affine>();
//! # strait_sdk::offer::<strait_cast::Cast>();
//! # strait_conformance::check_example::<strait_importance::Mixed>(r#"
//! [[compressor]]
//! codec = "mixed"
//! params = { fraction = 0.75, low = { codec = "affine", bits = 4 }, high = { codec = "cast", to = "f16" } }
//! # "#);
//! ```
//!
//! Error: that of the codec which a token went to. Limits: an importance that is not a number counts as 0;
//! among equals the earlier token is low. Without `causal` a token's value depends on later tokens of
//! its message.

mod channels;
mod mixed;
mod rule;

pub use channels::{Channels, ChannelsParams, Keep, Method, Score};
pub use mixed::{Mixed, MixedParams};
pub use rule::{Importance, Rule};

strait_sdk::export!(Mixed, Channels);
