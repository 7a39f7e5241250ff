//! GGUF metadata as a Hugging Face `config.json`.

use serde_json::{Map, Value, json};

use super::header::RawTensor;
use super::metadata::Metadata;
use crate::WeightsError;

/// The base frequency where the metadata names none.
pub(super) const DEFAULT_ROPE_THETA: f64 = 10_000.0;

/// Builds the configuration. Keys with no counterpart in the metadata are left out; `model_type` is the architecture.
pub(super) fn build(
    metadata: &Metadata,
    architecture: &str,
    tensors: &[RawTensor],
) -> Result<Value, WeightsError> {
    let own = |key: &str| format!("{architecture}.{key}");
    let unsigned = |key: &str| metadata.unsigned(&own(key));
    let number = |key: &str| metadata.number(&own(key));
    let require = |key: &str| {
        unsigned(key)?.ok_or_else(|| metadata.absent(&own(key), "a non-negative integer"))
    };
    let shape_of = |name: &str| {
        tensors.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.shape.as_slice())
    };
    let ends_with = |suffix: &str| {
        tensors
            .iter()
            .any(|tensor| tensor.name.starts_with("blk.") && tensor.name.ends_with(suffix))
    };

    let hidden = require("embedding_length")?;
    let heads = require("attention.head_count")?;
    let head_dim = match unsigned("attention.key_length")? {
        Some(length) => length,
        None if heads > 0 && hidden % heads == 0 => hidden / heads,
        None => {
            return Err(WeightsError::Invalid {
                path: metadata.path().to_path_buf(),
                what: format!("metadata key \"{}\"", own("attention.head_count")),
                expected: format!("a divisor of the embedding length {hidden}"),
                found: heads.to_string(),
            });
        }
    };
    let embedding_rows = shape_of("token_embd.weight").and_then(|shape| shape.first());
    let vocabulary = match embedding_rows {
        Some(&rows) => Some(rows as u64),
        None => match unsigned("vocab_size")? {
            Some(size) => Some(size),
            None => metadata.array_length("tokenizer.ggml.tokens").map(|length| length as u64),
        },
    };

    let mut config = Map::new();
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(key.to_owned(), value);
        }
    };
    set("model_type", Some(json!(architecture)));
    set("hidden_size", Some(json!(hidden)));
    set("num_hidden_layers", Some(json!(require("block_count")?)));
    set("num_attention_heads", Some(json!(heads)));
    let kv_heads = unsigned("attention.head_count_kv")?.unwrap_or(heads);
    set("num_key_value_heads", Some(json!(kv_heads)));
    set("head_dim", Some(json!(head_dim)));
    set("intermediate_size", unsigned("feed_forward_length")?.map(Value::from));
    set("hidden_act", activation(architecture).map(Value::from));
    set("rms_norm_eps", number("attention.layer_norm_rms_epsilon")?.map(Value::from));
    set("rope_theta", Some(json!(number("rope.freq_base")?.unwrap_or(DEFAULT_ROPE_THETA))));
    set("rope_scaling", Some(rope_scaling(metadata, architecture)?));
    if let Some(rotated) = unsigned("rope.dimension_count")?.filter(|&rotated| rotated != head_dim)
    {
        set("partial_rotary_factor", Some(json!(rotated as f64 / head_dim as f64)));
    }
    set("sliding_window", unsigned("attention.sliding_window")?.map(Value::from));
    set("num_local_experts", unsigned("expert_count")?.filter(|&n| n > 0).map(Value::from));
    set("num_experts_per_tok", unsigned("expert_used_count")?.filter(|&n| n > 0).map(Value::from));
    set("vocab_size", vocabulary.map(Value::from));
    set("max_position_embeddings", unsigned("context_length")?.map(Value::from));
    set("tie_word_embeddings", Some(json!(shape_of("output.weight").is_none())));
    set("attention_bias", Some(json!(ends_with(".attn_q.bias"))));
    set("mlp_bias", Some(json!(ends_with(".ffn_up.bias"))));
    for (key, source) in [
        ("bos_token_id", "tokenizer.ggml.bos_token_id"),
        ("eos_token_id", "tokenizer.ggml.eos_token_id"),
        ("pad_token_id", "tokenizer.ggml.padding_token_id"),
    ] {
        set(key, metadata.unsigned(source)?.map(Value::from));
    }
    Ok(Value::Object(config))
}

/// The activation, which GGUF leaves to the architecture.
fn activation(architecture: &str) -> Option<&'static str> {
    matches!(architecture, "llama" | "qwen2" | "qwen3").then_some("silu")
}

/// `rope_scaling` in its older spelling. Llama 3's scaling is a tensor instead (`rope_factors`).
fn rope_scaling(metadata: &Metadata, architecture: &str) -> Result<Value, WeightsError> {
    let key = |key: &str| format!("{architecture}.rope.scaling.{key}");
    let Some(kind) = metadata.text(&key("type"))?.filter(|&kind| kind != "none") else {
        return Ok(Value::Null);
    };
    let mut scaling = Map::new();
    scaling.insert("rope_type".to_owned(), json!(kind));
    if let Some(factor) = metadata.number(&key("factor"))? {
        scaling.insert("factor".to_owned(), json!(factor));
    }
    if let Some(length) = metadata.unsigned(&key("original_context_length"))? {
        scaling.insert("original_max_position_embeddings".to_owned(), json!(length));
    }
    Ok(Value::Object(scaling))
}
