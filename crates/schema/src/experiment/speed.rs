//! `[speed]`: how fast the model generates with each cache.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SpeedCounts;

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
