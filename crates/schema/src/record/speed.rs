//! What a record keeps of the speed of generation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
