//! Gemma: Llama with `1 + weight` in its norms and a scaled embedding.

use serde_json::Value;
use strait_ops::{Activation, NormKind};

use super::llama::{Defaults, Sizes, llama_like};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::ModelError;

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 3072, inner: 24_576, layers: 28, heads: 16, vocab: 256_000 },
    kv_heads: Some(16),
    head_dim: Some(256),
    tied_head: true,
    max_positions: 8192,
    activation: ("hidden_act", "gelu_pytorch_tanh"),
    ..Defaults::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    keys.only("use_bidirectional_attention", &Value::Bool(false))?;
    let mut model = llama_like(keys, "gemma", DEFAULTS)?;
    model.shape.norm.kind = NormKind::RmsPlusOne;
    model.shape.embedding_scale = (model.shape.hidden as f64).sqrt();
    let bias = keys.flag("attention_bias", false)?;
    for layer in &mut model.blocks {
        (layer.qkv_bias, layer.output_bias) = (bias, bias);
        // The first releases say "gelu" and mean the other.
        if layer.mlp.activation == Activation::Gelu {
            layer.mlp.activation = Activation::GeluTanh;
        }
    }
    Ok(model)
}
