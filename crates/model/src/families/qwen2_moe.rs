//! Qwen1.5-MoE and Qwen2-MoE: Qwen2 with experts, one of which is shared by all tokens and weighed by a gate.

use strait_ops::Routing;

use super::experts::{by_step, check_chosen, set_experts};
use super::llama::{Defaults, Sizes, llama_like};
use super::qwen2::{self, layer_types};
use crate::config::keys::Keys;
use crate::config::{Experts, ModelConfig, SharedExpert};
use crate::error::ModelError;
use crate::names::{Names, Network, Up};

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 2048, inner: 5632, layers: 24, heads: 16, vocab: 151_936 },
    kv_heads: Some(16),
    ..qwen2::DEFAULTS
};

const NAMES: Names = Names {
    shared: Network {
        up: Up::Gated { gate: "mlp.shared_expert.gate_proj", up: "mlp.shared_expert.up_proj" },
        down: "mlp.shared_expert.down_proj",
    },
    ..Names::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, "qwen2_moe", DEFAULTS)?;
    model.names = NAMES;
    set_windows(keys, &mut model)?;
    let bias = keys.flag("qkv_bias", true)?;
    for layer in &mut model.blocks {
        layer.qkv_bias = bias;
    }
    let count = keys.count("num_experts", 60)?;
    if count == 0 {
        return Ok(model);
    }
    let chosen = check_chosen(keys, 4, count)?;
    let normalised = keys.flag("norm_topk_prob", false)?;
    let routing = Routing { rounded_shares: true, ..Routing::softmax(chosen, normalised) };
    let inner = keys.size("shared_expert_intermediate_size", Some(5632))?;
    let shared = Some(SharedExpert { inner, gate: true });
    let experts = Experts { shared, ..Experts::plain(count, routing) };
    let inner = keys.size("moe_intermediate_size", Some(1408))?;
    set_experts(&mut model, (experts, inner), by_step(keys)?);
    Ok(model)
}

/// Sets the windows that `layer_types` marks; without it, every second layer below `max_window_layers` has one.
fn set_windows(keys: Keys<'_>, model: &mut ModelConfig) -> Result<(), ModelError> {
    if !keys.flag("use_sliding_window", false)? {
        return Ok(());
    }
    let window = keys.size_or_null("sliding_window", Some(4096))?;
    let end = keys.count("max_window_layers", 28)?;
    let slides = match layer_types(keys, model.layers)? {
        Some(types) => types,
        None => (0..model.layers).map(|layer| layer % 2 == 0 && layer < end).collect(),
    };
    for (layer, slides) in model.blocks.iter_mut().zip(slides) {
        layer.attention.window = window.filter(|_| slides);
    }
    Ok(())
}
