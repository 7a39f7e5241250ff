//! ERNIE 4.5 without experts: Llama whose rotated pairs are adjacent channels.

use super::llama::{Defaults, Sizes, llama_like};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::config::rope::RopeKeys;
use crate::error::ModelError;

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 1024, inner: 3072, layers: 18, heads: 16, vocab: 103_424 },
    kv_heads: Some(2),
    head_dim: Some(128),
    eps: ("rms_norm_eps", 1e-5),
    tied_head: true,
    max_positions: 131_072,
    rope: RopeKeys { theta: ("rope_theta", 500_000.0), ..RopeKeys::PLAIN },
    ..Defaults::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = ernie_like(keys, "ernie4_5", DEFAULTS)?;
    let bias = keys.flag("use_bias", false)?;
    for layer in &mut model.blocks {
        (layer.qkv_bias, layer.output_bias, layer.mlp.bias) = (bias, bias, bias);
    }
    Ok(model)
}

/// Llama with adjacent pairs, which are rotated in f32 and rounded once.
pub(super) fn ernie_like(
    keys: Keys<'_>,
    model_type: &'static str,
    defaults: Defaults,
) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, model_type, defaults)?;
    for layer in &mut model.blocks {
        layer.adjacent_pairs = true;
        if let Some(rope) = &mut layer.attention.rope {
            rope.rounded_once = true;
        }
    }
    Ok(model)
}
