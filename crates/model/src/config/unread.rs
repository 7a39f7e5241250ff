//! Keys of `config.json` that change the arithmetic of some model and that the model at hand does not read.
//!
//! A configuration has many keys without effect (token ids, training, names of classes), so an unknown key is
//! no error. The keys listed here are known to change what is computed: one that a family does not read belongs
//! to a model that merely resembles the family.

use serde_json::Value;
use strait_weights::Unread;

/// A key, the values that count as absent, and the families that read it.
struct Changing {
    key: &'static str,
    neutral: fn(&Value) -> bool,
    read_by: &'static [&'static str],
}

const GEMMA: &[&str] = &["gemma2", "gemma3_text", "vaultgemma"];
const GRANITE: &[&str] = &["granite"];
const EXPERTS: &[&str] = &["mixtral", "olmoe", "qwen2_moe", "qwen3_moe"];
/// Families with DeepSeek's keys of experts.
const DEEPSEEK: &[&str] = &["deepseek_v2", "deepseek_v3", "dots1", "glm4_moe", "glm4_moe_lite"];
const LATENT: &[&str] = &["deepseek_v2", "deepseek_v3", "glm4_moe_lite"];
const WINDOWS: &[&str] = &[
    "dots1",
    "exaone4",
    "gemma2",
    "gemma3_text",
    "ministral",
    "olmo3",
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "smollm3",
    "vaultgemma",
];

const KEYS: &[Changing] = &[
    key("attn_logit_softcapping", nothing, GEMMA),
    key("final_logit_softcapping", nothing, GEMMA),
    key("logit_scale", one, &[]),
    key("logits_scaling", one, GRANITE),
    key("embedding_multiplier", one, GRANITE),
    key("residual_multiplier", one, GRANITE),
    key("attention_multiplier", nothing, GRANITE),
    key("scale_emb", one, &[]),
    key("scale_depth", nothing, &[]),
    key("dim_model_base", nothing, &[]),
    key("clip_qkv", nothing, &[]),
    key("qk_layernorm", nothing, &[]),
    key("use_qk_norm", nothing, &["glm4_moe", "minimax_m2"]),
    key("qk_norm", nothing, &[]),
    key("alibi", nothing, &[]),
    key("attention_chunk_size", nothing, &[]),
    key("attn_temperature_tuning", nothing, &[]),
    key("attention_sinks", nothing, &[]),
    key("no_rope_layers", all_ones, &["smollm3"]),
    key("no_rope_layer_interval", nothing, &["smollm3"]),
    key("layer_types", all_full, WINDOWS),
    key("num_experts", nothing, EXPERTS),
    key("num_local_experts", nothing, &["minimax_m2", "mixtral", "qwen3_moe"]),
    key("n_routed_experts", nothing, DEEPSEEK),
    key("n_shared_experts", nothing, DEEPSEEK),
    key("num_shared_experts", nothing, &[]),
    key("shared_expert_intermediate_size", nothing, &["qwen2_moe"]),
    key("shared_intermediate_size", nothing, &["minimax_m2"]),
    key("moe_num_experts", nothing, &["ernie4_5_moe"]),
    key("moe_num_shared_experts", nothing, &["ernie4_5_moe"]),
    key(
        "scoring_func",
        nothing,
        &["deepseek_v2", "deepseek_v3", "dots1", "glm4_moe", "glm4_moe_lite", "minimax_m2"],
    ),
    key("mlp_layer_types", nothing, &["glm4_moe_lite"]),
    key("first_k_dense_replace", nothing, DEEPSEEK),
    key("routed_scaling_factor", one, DEEPSEEK),
    key("n_group", one, DEEPSEEK),
    key("kv_lora_rank", nothing, LATENT),
    key("q_lora_rank", nothing, LATENT),
    key("use_sliding_window", nothing, &["qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3"]),
    key("use_bidirectional_attention", nothing, &["gemma", "gemma2", "gemma3_text"]),
    key("num_kv_shared_layers", nothing, &[]),
    key("hidden_size_per_layer_input", nothing, &[]),
];

const fn key(
    key: &'static str,
    neutral: fn(&Value) -> bool,
    read_by: &'static [&'static str],
) -> Changing {
    Changing { key, neutral, read_by }
}

fn nothing(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false)) || value.as_f64() == Some(0.0)
}

fn one(value: &Value) -> bool {
    nothing(value) || value.as_f64() == Some(1.0)
}

/// Whether every layer has rotary positions.
fn all_ones(value: &Value) -> bool {
    value.is_null()
        || value.as_array().is_some_and(|list| list.iter().all(|it| it.as_u64() == Some(1)))
}

fn all_full(value: &Value) -> bool {
    let full = |kind: &Value| kind.as_str() == Some("full_attention");
    value.is_null() || value.as_array().is_some_and(|list| list.iter().all(full))
}

/// Keys of `config`, or of its `text_config`, that change something but that a model of the family does not
/// read.
pub(crate) fn unread_keys(config: &Value, model_type: &str) -> Vec<Unread> {
    let (place, keys) = match config.get("text_config").filter(|text| text.is_object()) {
        Some(text) => ("text_config.", text),
        None => ("", config),
    };
    KEYS.iter()
        .filter(|changing| !changing.read_by.contains(&model_type))
        .filter_map(|changing| {
            let value = keys.get(changing.key).filter(|value| !(changing.neutral)(value))?;
            let name = format!("{place}{}", changing.key);
            Some(Unread { name, about: value.to_string() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_of_other_families_are_told_unless_they_change_nothing() {
        let names = |config: Value, family: &str| -> Vec<String> {
            unread_keys(&config, family).into_iter().map(|unread| unread.name).collect()
        };
        let granite = json!({"residual_multiplier": 0.22, "logits_scaling": 1.0, "hidden_size": 8});
        assert_eq!(names(granite, "llama"), ["residual_multiplier"]);
        let capped = json!({"text_config": {"final_logit_softcapping": 30.0, "num_experts": null}});
        assert_eq!(names(capped.clone(), "gemma3_text"), [""; 0]);
        assert_eq!(names(capped, "llama"), ["text_config.final_logit_softcapping"]);
        let windows = json!({"layer_types": ["full_attention", "sliding_attention"]});
        assert_eq!(names(windows.clone(), "qwen3"), [""; 0]);
        assert_eq!(names(windows, "llama"), ["layer_types"]);
    }
}
