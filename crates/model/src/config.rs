//! The shape of a model, read from the keys of Hugging Face's `config.json`.

use serde_json::Value;
use strait_ops::{RopeConfig, RopeScaling, Shape};

use crate::error::ModelError;

/// What distinguishes one family of decoders from another.
///
/// A new family is a new row in [`FAMILIES`] as long as its layers are these: norm, attention with
/// rotary positions, norm, gated MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The value of `model_type`.
    pub model_type: &'static str,
    /// Whether the q, k and v projections have biases when `attention_bias` is not given.
    pub attention_bias: bool,
    /// Whether the head shares the embedding when `tie_word_embeddings` is not given.
    pub tied_head: bool,
}

/// Every family that can be loaded.
pub const FAMILIES: &[Family] =
    &[Family { model_type: "llama", attention_bias: false, tied_head: false }];

/// The shape of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The family.
    pub family: Family,
    /// Sizes, and constants of the operations.
    pub shape: Shape,
    /// Number of layers.
    pub layers: usize,
    /// Whether the head shares the embedding.
    pub tied_head: bool,
    /// Whether the q, k, v and output projections have biases.
    pub attention_bias: bool,
    /// Whether the MLP's projections have biases.
    pub mlp_bias: bool,
    /// The longest sequence that the model was made for; longer ones give a warning.
    pub max_positions: usize,
}

impl ModelConfig {
    /// Reads a configuration in the newer style of Transformers (`rope_parameters`) or in the
    /// older one (`rope_theta`, `rope_scaling`).
    ///
    /// # Errors
    /// When the family is unknown, or a key is missing or cannot be used.
    pub fn from_json(config: &Value) -> Result<ModelConfig, ModelError> {
        let family = family(config)?;
        let heads = size(config, "num_attention_heads", None)?;
        let hidden = size(config, "hidden_size", None)?;
        let head_dim = size(config, "head_dim", Some(hidden / heads))?;
        let kv_heads = size(config, "num_key_value_heads", Some(heads))?;
        let max_positions = size(config, "max_position_embeddings", Some(2048))?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(invalid("num_key_value_heads", format!("a divisor of {heads}"), kv_heads));
        }
        if !head_dim.is_multiple_of(2) {
            return Err(invalid("head_dim", "an even number", head_dim));
        }
        let activation = config.get("hidden_act").and_then(Value::as_str).unwrap_or("silu");
        if !matches!(activation, "silu" | "swish") {
            return Err(invalid("hidden_act", "\"silu\"", activation));
        }
        Ok(ModelConfig {
            family,
            shape: Shape {
                vocab: size(config, "vocab_size", None)?,
                hidden,
                heads,
                kv_heads,
                head_dim,
                intermediate: size(config, "intermediate_size", None)?,
                norm_eps: number(config, "rms_norm_eps", Some(1e-6))?,
                rope: rope(config, max_positions)?,
            },
            layers: size(config, "num_hidden_layers", None)?,
            tied_head: flag(config, "tie_word_embeddings", family.tied_head)?,
            attention_bias: flag(config, "attention_bias", family.attention_bias)?,
            mlp_bias: flag(config, "mlp_bias", false)?,
            max_positions,
        })
    }

    /// Number of parameters, a tied head counted once.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        let Shape { vocab, hidden, heads, kv_heads, head_dim, intermediate, .. } = self.shape;
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        let attention = hidden * (2 * q + 2 * kv);
        let attention_bias = if self.attention_bias { q + 2 * kv + hidden } else { 0 };
        let mlp = 3 * hidden * intermediate;
        let mlp_bias = if self.mlp_bias { 2 * intermediate + hidden } else { 0 };
        let layer = attention + attention_bias + mlp + mlp_bias + 2 * hidden;
        let tables = if self.tied_head { 1 } else { 2 };
        (self.layers * layer + tables * vocab * hidden + hidden) as u64
    }
}

fn family(config: &Value) -> Result<Family, ModelError> {
    let found = config.get("model_type").and_then(Value::as_str);
    FAMILIES.iter().find(|family| Some(family.model_type) == found).copied().ok_or_else(|| {
        let names: Vec<_> = FAMILIES.iter().map(|f| format!("\"{}\"", f.model_type)).collect();
        ModelError::UnknownArchitecture {
            found: found.map_or("no such key".to_owned(), |name| format!("\"{name}\"")),
            supported: names.join(", "),
        }
    })
}

fn rope(config: &Value, max_positions: usize) -> Result<RopeConfig, ModelError> {
    let newer = config.get("rope_parameters").filter(|value| value.is_object());
    let older = config.get("rope_scaling").filter(|value| value.is_object());
    let empty = Value::Null;
    let table = newer.or(older).unwrap_or(&empty);
    let theta = match table.get("rope_theta") {
        Some(_) => number(table, "rope_theta", None)?,
        None => number(config, "rope_theta", Some(10_000.0))?,
    };
    for owner in [config, table] {
        let partial = number(owner, "partial_rotary_factor", Some(1.0))?;
        if partial != 1.0 {
            return Err(invalid("partial_rotary_factor", "1.0", partial));
        }
    }
    let kind = ["rope_type", "type"].iter().find_map(|key| table.get(key)?.as_str());
    let scaling = match kind {
        None | Some("default") => RopeScaling::None,
        Some("linear") => RopeScaling::Linear { factor: number(table, "factor", None)? },
        Some("llama3") => RopeScaling::Llama3 {
            factor: number(table, "factor", None)?,
            low_frequency_factor: number(table, "low_freq_factor", None)?,
            high_frequency_factor: number(table, "high_freq_factor", None)?,
            original_positions: number(
                table,
                "original_max_position_embeddings",
                Some(max_positions as f64),
            )?,
        },
        Some(other) => {
            return Err(invalid("rope_type", "\"default\", \"linear\" or \"llama3\"", other));
        }
    };
    Ok(RopeConfig { theta, scaling })
}

fn size(config: &Value, key: &str, default: Option<usize>) -> Result<usize, ModelError> {
    let value = match config.get(key) {
        None | Some(Value::Null) => default,
        Some(value) => value.as_u64().and_then(|value| usize::try_from(value).ok()),
    };
    value
        .filter(|&value| value > 0)
        .ok_or_else(|| invalid(key, "a whole number above 0", found(config, key)))
}

fn number(config: &Value, key: &str, default: Option<f64>) -> Result<f64, ModelError> {
    let value = match config.get(key) {
        None | Some(Value::Null) => default,
        Some(value) => value.as_f64(),
    };
    value
        .filter(|&value| value > 0.0)
        .ok_or_else(|| invalid(key, "a number above 0", found(config, key)))
}

fn flag(config: &Value, key: &str, default: bool) -> Result<bool, ModelError> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => {
            value.as_bool().ok_or_else(|| invalid(key, "true or false", found(config, key)))
        }
    }
}

fn found(config: &Value, key: &str) -> String {
    config.get(key).map_or("no such key".to_owned(), Value::to_string)
}

fn invalid(key: &str, expected: impl ToString, found: impl ToString) -> ModelError {
    ModelError::Config {
        key: key.to_owned(),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn small() -> Value {
        json!({
            "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "intermediate_size": 96, "vocab_size": 100,
        })
    }

    fn with(key: &str, value: Value) -> Value {
        let mut config = small();
        config[key] = value;
        config
    }

    #[test]
    fn both_styles_of_rope_read_the_same() {
        let scaling = json!({
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        });
        let mut older = with("rope_scaling", scaling.clone());
        older["rope_theta"] = json!(500_000.0);
        let mut newer = with("rope_parameters", scaling);
        newer["rope_parameters"]["rope_theta"] = json!(500_000.0);
        let older = ModelConfig::from_json(&older).unwrap();
        assert_eq!(older, ModelConfig::from_json(&newer).unwrap());
        assert_eq!(older.shape.rope.theta, 500_000.0);
    }

    #[test]
    fn defaults() {
        let config = ModelConfig::from_json(&small()).unwrap();
        assert_eq!((config.shape.head_dim, config.shape.kv_heads), (16, 4));
        assert_eq!(config.shape.rope, RopeConfig { theta: 10_000.0, scaling: RopeScaling::None });
        assert_eq!(config.parameters(), 2 * (4 * 64 * 64 + 3 * 64 * 96 + 128) + 2 * 6400 + 64);
    }

    #[test]
    fn unknown_family_lists_the_known_ones() {
        let error = ModelConfig::from_json(&with("model_type", json!("mamba"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown architecture: expected \"model_type\" to be one of \"llama\", found \
             \"mamba\"; use a checkpoint of a supported family"
        );
    }

    #[test]
    fn bad_values_name_the_key() {
        for (key, value, expected) in [
            ("hidden_size", json!(0), "a whole number above 0"),
            ("num_key_value_heads", json!(3), "a divisor of 4"),
            ("head_dim", json!(15), "an even number"),
            ("hidden_act", json!("gelu"), "\"silu\""),
            ("rope_scaling", json!({"type": "yarn"}), "\"default\", \"linear\" or \"llama3\""),
            ("mlp_bias", json!("yes"), "true or false"),
        ] {
            let message = ModelConfig::from_json(&with(key, value)).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
