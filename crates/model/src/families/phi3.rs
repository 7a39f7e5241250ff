//! Phi-3 and Phi-4-mini: Llama with fused projections, and frequencies for short and long sequences.

use super::llama::{Defaults, Sizes, llama_like};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::config::rope::RopeKeys;
use crate::error::ModelError;
use crate::names::{Names, Network, Projections, Up};

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 3072, inner: 8192, vocab: 32_064, ..Defaults::LLAMA.sizes },
    eps: ("rms_norm_eps", 1e-5),
    max_positions: 4096,
    rope: RopeKeys {
        share: Some(("partial_rotary_factor", 1.0)),
        original: Some(4096.0),
        long: &["longrope", "su", "yarn"],
        ..RopeKeys::PLAIN
    },
    ..Defaults::LLAMA
};

const NAMES: Names = Names {
    projections: Projections::Stacked("self_attn.qkv_proj"),
    network: Network { up: Up::Stacked("mlp.gate_up_proj"), down: "mlp.down_proj" },
    ..Names::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, "phi3", DEFAULTS)?;
    model.names = NAMES;
    let window = keys.size_or_null("sliding_window", None)?;
    for layer in &mut model.blocks {
        layer.attention.window = window;
    }
    Ok(model)
}
