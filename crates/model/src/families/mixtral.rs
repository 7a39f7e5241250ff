//! Mixtral: Mistral with experts in every layer.

use strait_ops::Routing;

use super::llama::{Defaults, llama_like};
use super::mistral;
use crate::config::ModelConfig;
use crate::config::keys::{Keys, invalid};
use crate::config::rope::RopeKeys;
use crate::error::ModelError;
use crate::names::{Names, Network, Up};

const DEFAULTS: Defaults = Defaults {
    sizes: mistral::SIZES,
    kv_heads: Some(8),
    eps: ("rms_norm_eps", 1e-5),
    max_positions: 131_072,
    rope: RopeKeys { theta: ("rope_theta", 1e6), ..RopeKeys::PLAIN },
    ..Defaults::LLAMA
};

const NAMES: Names = Names {
    router: "block_sparse_moe.gate",
    experts: "block_sparse_moe.experts.",
    expert: Network { up: Up::Gated { gate: "w1", up: "w3" }, down: "w2" },
    ..Names::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, "mixtral", DEFAULTS)?;
    model.names = NAMES;
    let window = keys.size_or_null("sliding_window", None)?;
    let count = keys.size("num_local_experts", Some(8))?;
    let chosen = check_chosen(keys, 2, count)?;
    for layer in &mut model.blocks {
        layer.attention.window = window;
        let routing = Routing { chosen, normalised: true, rounded_shares: false };
        layer.mlp.experts = Some((count, routing));
    }
    Ok(model)
}

/// Checks the number of experts per token.
pub(super) fn check_chosen(
    keys: Keys<'_>,
    default: usize,
    count: usize,
) -> Result<usize, ModelError> {
    let key = "num_experts_per_tok";
    let chosen = keys.size(key, Some(default))?;
    if chosen <= count {
        Ok(chosen)
    } else {
        Err(invalid(key, format!("at most {count}, the number of experts"), chosen))
    }
}
