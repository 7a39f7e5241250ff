//! Converts GGUF metadata to a Hugging Face `config.json`, in the spelling before Transformers 5 (`rope_theta`,
//! `rope_scaling`).

use serde_json::{Map, Value, json};

use super::architecture::{self, Architecture};
use super::header::RawTensor;
use super::metadata::Metadata;
use super::rope;
use crate::WeightsError;

/// Gemma 3 has one layer of full attention in this many, if the metadata does not say otherwise.
const GEMMA3_PATTERN: u64 = 6;

/// Number of layers of Gemma 3 27B, the only size that scales queries by a number other than the head size.
const GEMMA3_27B_LAYERS: u64 = 62;

/// The architecture that `metadata` names, if it is known.
pub(super) fn architecture(
    metadata: &Metadata,
    name: &str,
) -> Result<Option<&'static Architecture>, WeightsError> {
    let positive = |key: &str| -> Result<bool, WeightsError> {
        Ok(metadata.unsigned(&format!("{name}.{key}"))?.is_some_and(|value| value > 0))
    };
    Ok(architecture::by_name(
        name,
        positive("expert_count")?,
        positive("attention.sliding_window")?,
    ))
}

/// Builds the configuration. Keys with no counterpart in the metadata are omitted; `model_type` is Hugging
/// Face's name of the architecture, or llama.cpp's `name` if it is unknown.
pub(super) fn build(
    metadata: &Metadata,
    name: &str,
    known: Option<&Architecture>,
    tensors: &[RawTensor],
) -> Result<Value, WeightsError> {
    let model_type = known.map_or(name, |known| known.model_type);
    let mut builder = Builder { metadata, name, tensors, config: Map::new() };
    builder.set("model_type", Some(json!(model_type)));
    match model_type {
        "gpt2" => builder.gpt2()?,
        "gpt_neox" => builder.gpt_neox()?,
        _ => builder.llama_like(model_type)?,
    }
    builder.set("vocab_size", builder.vocabulary()?.map(Value::from));
    builder.set("tie_word_embeddings", Some(json!(builder.shape_of("output.weight").is_none())));
    for (key, source) in [
        ("bos_token_id", "tokenizer.ggml.bos_token_id"),
        ("eos_token_id", "tokenizer.ggml.eos_token_id"),
        ("pad_token_id", "tokenizer.ggml.padding_token_id"),
    ] {
        builder.set(key, metadata.unsigned(source)?.map(Value::from));
    }
    Ok(Value::Object(builder.config))
}

struct Builder<'a> {
    metadata: &'a Metadata,
    /// llama.cpp's name of the architecture, which prefixes its keys.
    name: &'a str,
    tensors: &'a [RawTensor],
    config: Map<String, Value>,
}

impl Builder<'_> {
    fn llama_like(&mut self, model_type: &str) -> Result<(), WeightsError> {
        let layers = self.require("block_count")?;
        let (hidden, heads, head_dim) = self.heads()?;
        self.set("hidden_size", Some(json!(hidden)));
        self.set("num_hidden_layers", Some(json!(layers)));
        self.set("num_attention_heads", Some(json!(heads)));
        let kv_heads = self.unsigned("attention.head_count_kv")?.unwrap_or(heads);
        self.set("num_key_value_heads", Some(json!(kv_heads)));
        self.set("head_dim", Some(json!(head_dim)));
        self.copy("intermediate_size", "feed_forward_length")?;
        self.copy("max_position_embeddings", "context_length")?;
        let epsilon = self.number("attention.layer_norm_rms_epsilon")?;
        self.set("rms_norm_eps", epsilon.map(Value::from));
        let rope = rope::read(self.metadata, self.name)?;
        self.set("rope_theta", Some(json!(rope.theta)));
        self.set("rope_scaling", Some(rope.scaling));
        if let Some(rotated) = rope.rotated.filter(|&rotated| rotated != head_dim) {
            let share = rotated as f64 / head_dim as f64;
            self.set("partial_rotary_factor", Some(json!(share)));
        }
        let window = self.unsigned("attention.sliding_window")?;
        self.set(
            "sliding_window",
            window.map(|size| if size > 0 { json!(size) } else { Value::Null }),
        );
        match model_type {
            "llama" => self.biases(true),
            "mistral" | "qwen2" => self.set("hidden_act", Some(json!("silu"))),
            "mixtral" => {
                self.set("hidden_act", Some(json!("silu")));
                self.copy("num_local_experts", "expert_count")?;
                self.copy("num_experts_per_tok", "expert_used_count")?;
            }
            "qwen3" | "olmo2" => self.biases(false),
            "qwen3_moe" => {
                self.biases(false);
                self.qwen3_moe()?;
            }
            "gemma3_text" => self.gemma3(layers, hidden, heads, head_dim)?,
            "phi3" => {
                self.set("hidden_act", Some(json!("silu")));
                self.copy(
                    "original_max_position_embeddings",
                    "rope.scaling.original_context_length",
                )?;
            }
            _ => {
                self.copy("num_local_experts", "expert_count")?;
                self.copy("num_experts_per_tok", "expert_used_count")?;
                let (attention, mlp) = self.has_biases();
                self.set("attention_bias", Some(json!(attention)));
                self.set("mlp_bias", Some(json!(mlp)));
            }
        }
        Ok(())
    }

    fn qwen3_moe(&mut self) -> Result<(), WeightsError> {
        self.copy("num_experts", "expert_count")?;
        self.copy("num_experts_per_tok", "expert_used_count")?;
        self.copy("moe_intermediate_size", "expert_feed_forward_length")?;
        // llama.cpp does both for this architecture without a key.
        let normed = self.metadata.flag(&self.key("expert_weights_norm"))?.unwrap_or(true);
        self.set("norm_topk_prob", Some(json!(normed)));
        self.set("decoder_sparse_step", Some(json!(1)));
        self.set("mlp_only_layers", Some(json!([])));
        Ok(())
    }

    fn gemma3(
        &mut self,
        layers: u64,
        hidden: u64,
        heads: u64,
        head_dim: u64,
    ) -> Result<(), WeightsError> {
        let of_27b = hidden.checked_div(heads).filter(|_| layers == GEMMA3_27B_LAYERS);
        let scale = of_27b.unwrap_or(head_dim);
        self.set("query_pre_attn_scalar", Some(json!(scale)));
        self.set("hidden_activation", Some(json!("gelu_pytorch_tanh")));
        self.set("attention_bias", Some(json!(self.has_biases().0)));
        self.set("attn_logit_softcapping", Some(Value::Null));
        let softcap = self.number("final_logit_softcapping")?.filter(|&softcap| softcap != 0.0);
        self.set("final_logit_softcapping", Some(json!(softcap)));
        if self.number("rope.freq_base")?.is_none() {
            self.set("rope_theta", Some(json!(rope::GEMMA3_THETA)));
        }
        let local = self.number("rope.freq_base_swa")?.unwrap_or(rope::DEFAULT_THETA);
        self.set("rope_local_base_freq", Some(json!(local)));
        let pattern = self.unsigned("attention.sliding_window_pattern")?.unwrap_or(GEMMA3_PATTERN);
        let windowed = self.config.get("sliding_window").is_some_and(|window| !window.is_null());
        let types: Vec<_> = (0..self.layers_in_file(layers))
            .map(|layer| {
                let full = !windowed || pattern > 0 && layer % pattern == pattern - 1;
                if full { "full_attention" } else { "sliding_attention" }
            })
            .collect();
        self.set("layer_types", Some(json!(types)));
        Ok(())
    }

    fn gpt_neox(&mut self) -> Result<(), WeightsError> {
        let (hidden, heads, head_dim) = self.heads()?;
        self.set("hidden_size", Some(json!(hidden)));
        self.set("num_attention_heads", Some(json!(heads)));
        self.set("num_hidden_layers", Some(json!(self.require("block_count")?)));
        self.copy("intermediate_size", "feed_forward_length")?;
        self.copy("max_position_embeddings", "context_length")?;
        self.set("hidden_act", Some(json!("gelu")));
        let epsilon = self.number("attention.layer_norm_epsilon")?;
        self.set("layer_norm_eps", epsilon.map(Value::from));
        let parallel = self.metadata.flag(&self.key("use_parallel_residual"))?;
        self.set("use_parallel_residual", Some(json!(parallel.unwrap_or(true))));
        let rope = rope::read(self.metadata, self.name)?;
        self.set("rotary_emb_base", Some(json!(rope.theta)));
        self.set("rope_scaling", Some(rope.scaling));
        let rotated = rope.rotated.unwrap_or(head_dim);
        self.set("rotary_pct", Some(json!(rotated as f64 / head_dim as f64)));
        self.set("attention_bias", Some(json!(self.ends_with(".attn_qkv.bias"))));
        Ok(())
    }

    fn gpt2(&mut self) -> Result<(), WeightsError> {
        let (hidden, heads, _) = self.heads()?;
        self.set("n_embd", Some(json!(hidden)));
        self.set("n_head", Some(json!(heads)));
        self.set("n_layer", Some(json!(self.require("block_count")?)));
        self.copy("n_inner", "feed_forward_length")?;
        self.copy("n_positions", "context_length")?;
        self.copy("n_ctx", "context_length")?;
        self.set("activation_function", Some(json!("gelu_new")));
        let epsilon = self.number("attention.layer_norm_epsilon")?;
        self.set("layer_norm_epsilon", epsilon.map(Value::from));
        Ok(())
    }

    /// Hidden size, number of query heads, and head size.
    fn heads(&self) -> Result<(u64, u64, u64), WeightsError> {
        let hidden = self.require("embedding_length")?;
        let heads = self.require("attention.head_count")?;
        let head_dim = match self.unsigned("attention.key_length")? {
            Some(length) => length,
            None if heads > 0 && hidden % heads == 0 => hidden / heads,
            None => {
                return Err(WeightsError::Invalid {
                    path: self.metadata.path().to_path_buf(),
                    what: format!("metadata key \"{}\"", self.key("attention.head_count")),
                    expected: format!("a divisor of the embedding length {hidden}"),
                    found: heads.to_string(),
                });
            }
        };
        // A separate size for values, or for layers with a window, is not supported by the model.
        for key in ["value_length", "key_length_swa", "value_length_swa"] {
            let key = format!("attention.{key}");
            if let Some(found) = self.unsigned(&key)?.filter(|&length| length != head_dim) {
                return Err(WeightsError::Invalid {
                    path: self.metadata.path().to_path_buf(),
                    what: format!("metadata key \"{}\"", self.key(&key)),
                    expected: format!("{head_dim}, the size of every head's queries"),
                    found: found.to_string(),
                });
            }
        }
        Ok((hidden, heads, head_dim))
    }

    /// Sets activation and biases of a family whose configuration has `attention_bias`, and `mlp_bias` if `mlp`
    /// is set.
    fn biases(&mut self, mlp: bool) {
        let has = self.has_biases();
        self.set("hidden_act", Some(json!("silu")));
        self.set("attention_bias", Some(json!(has.0)));
        if mlp {
            self.set("mlp_bias", Some(json!(has.1)));
        }
    }

    /// Whether query projections and MLPs have biases.
    fn has_biases(&self) -> (bool, bool) {
        let attention = self.ends_with(".attn_q.bias") || self.ends_with(".attn_qkv.bias");
        (attention, self.ends_with(".ffn_up.bias"))
    }

    /// The value of `layers`, limited by what the file can hold, because a list with one item per layer is
    /// made.
    fn layers_in_file(&self, layers: u64) -> u64 {
        layers.min(self.tensors.len() as u64)
    }

    fn vocabulary(&self) -> Result<Option<u64>, WeightsError> {
        if let Some(&rows) = self.shape_of("token_embd.weight").and_then(|shape| shape.first()) {
            return Ok(Some(rows as u64));
        }
        let tokens =
            self.metadata.array_length("tokenizer.ggml.tokens").map(|length| length as u64);
        Ok(self.unsigned("vocab_size")?.or(tokens))
    }

    fn set(&mut self, key: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.config.insert(key.to_owned(), value);
        }
    }

    /// Copies a number unless it is 0.
    fn copy(&mut self, key: &str, source: &str) -> Result<(), WeightsError> {
        let value = self.unsigned(source)?.filter(|&value| value > 0);
        self.set(key, value.map(Value::from));
        Ok(())
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    fn unsigned(&self, key: &str) -> Result<Option<u64>, WeightsError> {
        self.metadata.unsigned(&self.key(key))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, WeightsError> {
        self.metadata.number(&self.key(key))
    }

    fn require(&self, key: &str) -> Result<u64, WeightsError> {
        let absent = || self.metadata.absent(&self.key(key), "a non-negative integer");
        self.unsigned(key)?.ok_or_else(absent)
    }

    fn shape_of(&self, name: &str) -> Option<&[usize]> {
        let tensor = self.tensors.iter().find(|tensor| tensor.name == name)?;
        Some(tensor.shape.as_slice())
    }

    fn ends_with(&self, suffix: &str) -> bool {
        let of_layer = |tensor: &RawTensor| tensor.name.starts_with("blk.");
        self.tensors.iter().any(|tensor| of_layer(tensor) && tensor.name.ends_with(suffix))
    }
}
