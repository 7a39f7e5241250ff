//! dots.llm1: Qwen3 with DeepSeek-V3's experts.

use super::experts::{self, deepseek, set_experts};
use super::llama::{Defaults, Sizes};
use super::qwen2::layer_types;
use super::qwen3::qwen3_like;
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::ModelError;

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 4608, inner: 10_944, layers: 62, heads: 32, vocab: 152_064 },
    kv_heads: Some(32),
    ..Defaults::LLAMA
};

const EXPERTS: experts::Defaults = experts::Defaults {
    count: None,
    chosen: None,
    shared: None,
    inner: 1408,
    groups: (1, 1),
    normalised: false,
    scale: 1.0,
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = qwen3_like(keys, "dots1", DEFAULTS)?;
    let window = keys.size_or_null("sliding_window", Some(4096))?;
    let first = keys.count("max_window_layers", 62)?;
    let slides = match layer_types(keys, model.layers)? {
        Some(types) => types,
        None => (0..model.layers).map(|layer| layer >= first).collect(),
    };
    for (layer, slides) in model.blocks.iter_mut().zip(slides) {
        layer.attention.window = window.filter(|_| slides);
    }
    let dense = keys.count("first_k_dense_replace", 0)?;
    set_experts(&mut model, deepseek(keys, &EXPERTS)?, |number| number >= dense);
    Ok(model)
}
