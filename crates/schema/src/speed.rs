//! `[speed]`: how fast the model generates with each cache, and what a record keeps of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[speed]`: also measure speed and memory of generation, for the baseline and every cell of `[[cache]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpeedSection {
    /// Tokens of the text that are prefilled in one run before the first new token; each is measured.
    #[schemars(length(min = 1), inner(range(min = 1)))]
    pub contexts: Vec<usize>,
    /// Tokens to generate: exactly so many, tokens that end a text are not chosen.
    #[serde(default = "new_tokens")]
    #[schemars(range(min = 2, max = 1_048_576))]
    pub new_tokens: usize,
    /// How often each is measured; cells take turns.
    #[serde(default = "repeats")]
    #[schemars(range(min = 1, max = 1000))]
    pub repeats: usize,
    /// Untimed rounds before the first, of at most 256 tokens of the context.
    #[serde(default = "warm_up")]
    #[schemars(range(max = 1000))]
    pub warm_up: usize,
    /// Whether tables count the prefill into the time of the new tokens.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_prefill: bool,
}

/// Speed and memory of generation behind one context, as it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpeedCounts {
    /// Tokens that were prefilled.
    pub context: usize,
    /// Tokens that were generated, each the most likely one.
    pub new_tokens: usize,
    /// Whether tables count the prefill into the time of the new tokens.
    pub with_prefill: bool,
    /// For each repeat, seconds from the start to the logits of the first new token: the prefill with
    /// what is done to its cache.
    pub prefill_s: Vec<f64>,
    /// For each repeat, seconds of all new tokens behind the first.
    pub decode_s: Vec<f64>,
    /// Bytes of keys and values as stored after the prefill.
    pub cache_bytes: u64,
    /// Bytes of an uncompressed cache in the model's dtype.
    pub cache_raw_bytes: u64,
    /// Most memory of the process, weights included, at one time of a repeat; null where the system does
    /// not reset its high-water mark, or the model is not on the CPU.
    pub peak_bytes: Option<u64>,
    /// The same while tokens were generated, behind the prefill.
    pub decode_peak_bytes: Option<u64>,
}

impl SpeedSection {
    /// Whether `counts` are those that this section asks for.
    #[must_use]
    pub fn is_met_by(&self, counts: &[SpeedCounts]) -> bool {
        let of = |counts: &SpeedCounts| {
            let asked = (self.new_tokens, self.with_prefill, self.repeats);
            asked == (counts.new_tokens, counts.with_prefill, counts.decode_s.len())
        };
        let contexts = counts.iter().map(|counts| counts.context);
        contexts.eq(self.contexts.iter().copied()) && counts.iter().all(of)
    }
}

fn new_tokens() -> usize {
    64
}

fn repeats() -> usize {
    3
}

fn warm_up() -> usize {
    1
}
