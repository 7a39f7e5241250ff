//! Mixtral: Mistral with experts in every layer.

use strait_ops::Routing;

use super::experts::check_chosen;
use super::llama::{Defaults, llama_like};
use super::mistral;
use crate::config::keys::Keys;
use crate::config::rope::RopeKeys;
use crate::config::{Experts, ModelConfig};
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

pub(super) const NAMES: Names = Names {
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
        layer.mlp.experts = Some(Experts::plain(count, Routing::softmax(chosen, true)));
    }
    Ok(model)
}
