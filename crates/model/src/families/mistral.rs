//! Mistral: Llama with a sliding window in every layer.

use super::llama::{Defaults, Sizes, llama_like};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::ModelError;

const DEFAULTS: Defaults =
    Defaults { sizes: SIZES, kv_heads: Some(8), max_positions: 131_072, ..Defaults::LLAMA };

pub(super) const SIZES: Sizes = Sizes { inner: 14_336, ..Defaults::LLAMA.sizes };

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    mistral_like(keys, "mistral")
}

/// Mistral with a window in every layer.
pub(super) fn mistral_like(
    keys: Keys<'_>,
    model_type: &'static str,
) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, model_type, DEFAULTS)?;
    let window = keys.size_or_null("sliding_window", Some(4096))?;
    for layer in &mut model.blocks {
        layer.attention.window = window;
    }
    Ok(model)
}
