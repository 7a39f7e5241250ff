//! OLMo-2: Llama with norms after the blocks instead of before, and norms over all queries and all
//! keys.

use strait_ops::NormKind;

use super::llama::{Defaults, Sizes, llama_like};
use crate::config::keys::Keys;
use crate::config::{HeadNorm, ModelConfig};
use crate::error::ModelError;
use crate::names::Names;

pub(super) const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { vocab: 50_304, ..Defaults::LLAMA.sizes },
    eps: ("rms_norm_eps", 1e-5),
    ..Defaults::LLAMA
};

pub(super) const NAMES: Names = Names {
    attention_in: None,
    attention_out: Some("post_attention_layernorm"),
    mlp_in: None,
    mlp_out: Some("post_feedforward_layernorm"),
    ..Names::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    olmo2_like(keys, "olmo2", DEFAULTS)
}

/// OLMo-2 with other defaults.
pub(super) fn olmo2_like(
    keys: Keys<'_>,
    model_type: &'static str,
    defaults: Defaults,
) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, model_type, defaults)?;
    model.names = NAMES;
    model.shape.norm.kind = NormKind::RmsOnce;
    let bias = keys.flag("attention_bias", false)?;
    for layer in &mut model.blocks {
        layer.head_norm = Some(HeadNorm::All);
        (layer.qkv_bias, layer.output_bias) = (bias, bias);
        if let Some(rope) = &mut layer.attention.rope {
            rope.rounded_once = true;
        }
    }
    Ok(model)
}
