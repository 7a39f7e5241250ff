//! StableLM: Llama with LayerNorm and partial rotation.

use serde_json::Value;
use strait_ops::NormKind;

use super::llama::{Defaults, Sizes, llama_like};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::config::rope::RopeKeys;
use crate::error::ModelError;

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 2560, inner: 6912, layers: 32, heads: 32, vocab: 50_304 },
    kv_heads: Some(32),
    eps: ("layer_norm_eps", 1e-5),
    max_positions: 4096,
    rope: RopeKeys { share: Some(("partial_rotary_factor", 0.25)), ..RopeKeys::PLAIN },
    ..Defaults::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    // StableLM-2-12B has both: a norm of its own for each head, and one norm for both blocks.
    keys.only("qk_layernorm", &Value::Bool(false))?;
    keys.only("use_parallel_residual", &Value::Bool(false))?;
    let mut model = llama_like(keys, "stablelm", DEFAULTS)?;
    model.shape.norm.kind = NormKind::Layer;
    let bias = keys.flag("use_qkv_bias", false)?;
    for layer in &mut model.blocks {
        layer.qkv_bias = bias;
    }
    Ok(model)
}
