//! GLM-4 of 2025: norms before and after both blocks, partial rotation of adjacent channels, and gate and up projection
//! in one matrix.

use super::llama::{Defaults, Sizes, llama_like};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::config::rope::RopeKeys;
use crate::error::ModelError;
use crate::names::{Names, Network, Up};

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 4096, inner: 13_696, layers: 40, heads: 32, vocab: 151_552 },
    kv_heads: Some(2),
    head_dim: Some(128),
    eps: ("rms_norm_eps", 1.5625e-7),
    max_positions: 131_072,
    rope: RopeKeys { share: Some(("partial_rotary_factor", 0.5)), ..RopeKeys::PLAIN },
    ..Defaults::LLAMA
};

const NAMES: Names = Names {
    attention_out: Some("post_self_attn_layernorm"),
    mlp_out: Some("post_mlp_layernorm"),
    network: Network { up: Up::Stacked("mlp.gate_up_proj"), down: "mlp.down_proj" },
    ..Names::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, "glm4", DEFAULTS)?;
    model.names = NAMES;
    let bias = keys.flag("attention_bias", true)?;
    for layer in &mut model.blocks {
        (layer.qkv_bias, layer.adjacent_pairs) = (bias, true);
    }
    Ok(model)
}
