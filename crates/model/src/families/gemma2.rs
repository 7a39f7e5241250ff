//! Gemma-2: norms around both blocks, a window in every other layer, capped scores and logits.

use serde_json::Value;
use strait_ops::NormKind;

use super::gemma3;
use super::llama::{Defaults, Sizes, llama_like};
use super::qwen2::layer_types;
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::ModelError;
use crate::names::Names;

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 2304, inner: 9216, layers: 26, heads: 8, vocab: 256_000 },
    kv_heads: Some(4),
    head_dim: Some(256),
    tied_head: true,
    max_positions: 8192,
    activation: ("hidden_activation", "gelu_pytorch_tanh"),
    ..Defaults::LLAMA
};

const VAULT_NAMES: Names = Names { mlp_in: Some("pre_feedforward_layernorm"), ..Names::LLAMA };

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    keys.only("use_bidirectional_attention", &Value::Bool(false))?;
    gemma2_like(keys, "gemma2", gemma3::NAMES)
}

/// VaultGemma, which does not norm the output of its blocks.
pub(super) fn describe_vault(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    gemma2_like(keys, "vaultgemma", VAULT_NAMES)
}

fn gemma2_like(
    keys: Keys<'_>,
    model_type: &'static str,
    names: Names,
) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, model_type, DEFAULTS)?;
    model.names = names;
    model.shape.norm.kind = NormKind::RmsPlusOne;
    model.shape.embedding_scale = (model.shape.hidden as f64).sqrt();
    model.shape.logit_cap = keys.number_or_null("final_logit_softcapping", 30.0)?;
    let slides = match layer_types(keys, model.layers)? {
        Some(types) => types,
        None => (0..model.layers).map(|layer| layer % 2 == 0).collect(),
    };
    let scale = keys.number("query_pre_attn_scalar", Some(256.0))?.powf(-0.5);
    let cap = keys.number_or_null("attn_logit_softcapping", 50.0)?;
    let window = keys.size_or_null("sliding_window", Some(4096))?;
    let bias = keys.flag("attention_bias", false)?;
    for (layer, slides) in model.blocks.iter_mut().zip(slides) {
        (layer.qkv_bias, layer.output_bias) = (bias, bias);
        let attention = &mut layer.attention;
        (attention.scale, attention.cap) = (scale, cap);
        attention.window = window.filter(|_| slides);
    }
    Ok(model)
}
