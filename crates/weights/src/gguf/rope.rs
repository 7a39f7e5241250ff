//! Rotary positions in GGUF metadata.

use serde_json::{Map, Value, json};

use super::metadata::Metadata;
use crate::WeightsError;

/// The base frequency if the metadata names none.
pub(super) const DEFAULT_THETA: f64 = 10_000.0;

/// The base frequency of Gemma 3's layers of full attention.
pub(super) const GEMMA3_THETA: f64 = 1_000_000.0;

/// The rotary positions that the metadata describes.
pub(super) struct Rope {
    /// Base frequency.
    pub(super) theta: f64,
    /// Number of channels of a head that are rotated, if given.
    pub(super) rotated: Option<u64>,
    /// Value of `rope_scaling` in its older spelling, or null. Llama 3's and Phi-3's are in tensors instead
    /// (`rope_factors`).
    pub(super) scaling: Value,
}

/// Reads the keys of the architecture that llama.cpp calls `name`.
pub(super) fn read(metadata: &Metadata, name: &str) -> Result<Rope, WeightsError> {
    let key = |key: &str| format!("{name}.rope.{key}");
    let theta = metadata.number(&key("freq_base"))?.unwrap_or(DEFAULT_THETA);
    let rotated = metadata.unsigned(&key("dimension_count"))?;
    Ok(Rope { theta, rotated, scaling: scaling(metadata, key)? })
}

fn scaling(metadata: &Metadata, key: impl Fn(&str) -> String) -> Result<Value, WeightsError> {
    let number = |name: &str| metadata.number(&key(name));
    let Some(kind) = metadata.text(&key("scaling.type"))?.filter(|&kind| kind != "none") else {
        // Older files have a key without a type.
        return Ok(match number("scale_linear")?.filter(|&factor| factor != 1.0) {
            Some(factor) => json!({"rope_type": "linear", "factor": factor}),
            None => Value::Null,
        });
    };
    let mut scaling = Map::new();
    scaling.insert("rope_type".to_owned(), json!(kind));
    if let Some(factor) = number("scaling.factor")? {
        scaling.insert("factor".to_owned(), json!(factor));
    }
    if let Some(length) = metadata.unsigned(&key("scaling.original_context_length"))? {
        scaling.insert("original_max_position_embeddings".to_owned(), json!(length));
    }
    for (name, source) in [
        ("attention_factor", "scaling.yarn_attn_factor"),
        ("extrapolation_factor", "scaling.yarn_ext_factor"),
        ("beta_fast", "scaling.yarn_beta_fast"),
        ("beta_slow", "scaling.yarn_beta_slow"),
    ] {
        if let Some(value) = number(source)? {
            scaling.insert(name.to_owned(), json!(value));
        }
    }
    Ok(Value::Object(scaling))
}
