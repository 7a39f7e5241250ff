//! GLM-4.7-Flash: DeepSeek-V3's attention and experts with other sizes.

use serde_json::Value;

use super::deepseek_v3::{Latent, latent_like};
use super::experts::{self, deepseek, set_experts};
use super::llama::{Defaults, Sizes};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::ModelError;

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 2048, inner: 10_240, layers: 47, heads: 20, vocab: 154_880 },
    kv_heads: Some(20),
    eps: ("rms_norm_eps", 1e-5),
    max_positions: 202_752,
    ..Defaults::LLAMA
};

const LATENT: Latent = Latent { query_rank: 768, rank: 512, rotated: 64, own: 192, value: 256 };

const EXPERTS: experts::Defaults = experts::Defaults {
    count: Some(64),
    chosen: Some(4),
    shared: Some(1),
    inner: 1536,
    groups: (1, 1),
    normalised: true,
    scale: 1.8,
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = latent_like(keys, "glm4_moe_lite", (DEFAULTS, LATENT))?;
    let adjacent = keys.flag("rope_interleave", true)?;
    for layer in &mut model.blocks {
        layer.adjacent_pairs = adjacent;
    }
    let sparse = sparse_layers(keys, model.layers)?;
    set_experts(&mut model, deepseek(keys, &EXPERTS)?, |number| sparse[number]);
    model.further = keys.count("num_nextn_predict_layers", 1)?;
    Ok(model)
}

/// Whether each layer has experts: all but the first, unless `mlp_layer_types` says otherwise.
fn sparse_layers(keys: Keys<'_>, layers: usize) -> Result<Vec<bool>, ModelError> {
    let key = "mlp_layer_types";
    let Some(types) = keys.value(key) else {
        let dense = keys.count("first_k_dense_replace", 1)?;
        return Ok((0..layers).map(|layer| layer >= dense).collect());
    };
    let sparse = |kind: &Value| match kind.as_str() {
        Some("sparse") => Some(true),
        Some("dense") => Some(false),
        _ => None,
    };
    let types = types.as_array().and_then(|types| types.iter().map(sparse).collect());
    types
        .filter(|types: &Vec<bool>| types.len() == layers)
        .ok_or_else(|| keys.invalid(key, format!("{layers} times \"dense\" or \"sparse\"")))
}
