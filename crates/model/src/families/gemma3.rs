//! Gemma-3: norms around both blocks, local layers with a window and their own base frequency among
//! global ones, a scaled embedding.

use serde_json::Value;
use strait_ops::NormKind;

use super::llama::{Defaults, Sizes, llama_like};
use super::qwen2::layer_types;
use crate::config::keys::Keys;
use crate::config::rope::RopeKeys;
use crate::config::{HeadNorm, ModelConfig};
use crate::error::ModelError;
use crate::names::Names;

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 2304, inner: 9216, layers: 26, heads: 8, vocab: 262_208 },
    kv_heads: Some(4),
    head_dim: Some(256),
    tied_head: true,
    max_positions: 131_072,
    activation: ("hidden_activation", "gelu_pytorch_tanh"),
    rope: RopeKeys {
        theta: ("rope_theta", 1e6),
        part: Some(("full_attention", true)),
        ..RopeKeys::PLAIN
    },
    ..Defaults::LLAMA
};

const LOCAL_ROPE: RopeKeys<'static> = RopeKeys {
    theta: ("rope_local_base_freq", 1e4),
    part: Some(("sliding_attention", false)),
    ..RopeKeys::PLAIN
};

pub(super) const NAMES: Names = Names {
    attention_out: Some("post_attention_layernorm"),
    mlp_in: Some("pre_feedforward_layernorm"),
    mlp_out: Some("post_feedforward_layernorm"),
    ..Names::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    keys.only("attn_logit_softcapping", &Value::Null)?;
    keys.only("use_bidirectional_attention", &Value::Bool(false))?;
    let mut model = llama_like(keys, "gemma3_text", DEFAULTS)?;
    model.names = NAMES;
    model.shape.norm.kind = NormKind::RmsPlusOne;
    model.shape.embedding_scale = (model.shape.hidden as f64).sqrt();
    model.shape.logit_cap = keys.number_if("final_logit_softcapping")?;
    let slides = match layer_types(keys, model.layers)? {
        Some(types) => types,
        None => {
            let pattern = keys.size("sliding_window_pattern", Some(6))?;
            (1..=model.layers).map(|layer| !layer.is_multiple_of(pattern)).collect()
        }
    };
    let scale = keys.number("query_pre_attn_scalar", Some(256.0))?.powf(-0.5);
    let window = keys.size_or_null("sliding_window", Some(4096))?;
    let bias = keys.flag("attention_bias", false)?;
    for (layer, slides) in model.blocks.iter_mut().zip(slides) {
        layer.head_norm = Some(HeadNorm::Each);
        (layer.qkv_bias, layer.output_bias) = (bias, bias);
        let attention = &mut layer.attention;
        attention.scale = scale;
        if slides {
            attention.window = window;
            let local = LOCAL_ROPE.read(keys, attention.head_dim, model.max_positions)?;
            attention.rope = Some(local);
        }
    }
    Ok(model)
}
