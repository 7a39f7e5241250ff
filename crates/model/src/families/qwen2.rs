//! Qwen2 and Qwen2.5: Llama with biases of q, k and v, and optional windows in some layers.

use serde_json::Value;

use super::llama::{Defaults, Sizes, llama_like};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::config::rope::RopeKeys;
use crate::error::ModelError;

pub(super) const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { inner: 22_016, vocab: 151_936, ..Defaults::LLAMA.sizes },
    kv_heads: Some(32),
    max_positions: 32_768,
    ..Defaults::LLAMA
};

/// Defaults of the text part of Qwen2-VL and Qwen2.5-VL.
const VL_DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 8192, inner: 29_568, layers: 80, heads: 64, vocab: 152_064 },
    kv_heads: Some(8),
    eps: ("rms_norm_eps", 1e-5),
    rope: RopeKeys { theta: ("rope_theta", 1e6), ..RopeKeys::PLAIN },
    ..DEFAULTS
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    with_defaults(keys, DEFAULTS)
}

/// The text part of Qwen2-VL and Qwen2.5-VL. In a text without images, all three positions of a token are the
/// same, and its rotary positions are the plain ones.
pub(super) fn describe_vl(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    with_defaults(keys, VL_DEFAULTS)
}

fn with_defaults(keys: Keys<'_>, defaults: Defaults) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, "qwen2", defaults)?;
    set_windows(keys, &mut model)?;
    for layer in &mut model.blocks {
        layer.qkv_bias = true;
    }
    Ok(model)
}

/// Sets the windows of the layers that `layer_types` or `max_window_layers` marks as sliding.
pub(super) fn set_windows(keys: Keys<'_>, model: &mut ModelConfig) -> Result<(), ModelError> {
    if !keys.flag("use_sliding_window", false)? {
        return Ok(());
    }
    let window = keys.size_or_null("sliding_window", Some(4096))?;
    let first = match keys.0.get("max_window_layers").and_then(Value::as_u64) {
        Some(first) => first,
        None => keys.size("max_window_layers", Some(28))? as u64,
    };
    let slides = match layer_types(keys, model.layers)? {
        Some(types) => types,
        None => (0..model.layers as u64).map(|layer| layer >= first).collect(),
    };
    for (layer, slides) in model.blocks.iter_mut().zip(slides) {
        layer.attention.window = window.filter(|_| slides);
    }
    Ok(())
}

/// Whether each layer uses `sliding_attention`, if `layer_types` is present.
pub(super) fn layer_types(keys: Keys<'_>, layers: usize) -> Result<Option<Vec<bool>>, ModelError> {
    let Some(types) = keys.value("layer_types") else { return Ok(None) };
    let slides = |kind: &Value| match kind.as_str() {
        Some("sliding_attention") => Some(true),
        Some("full_attention") => Some(false),
        _ => None,
    };
    let types = types.as_array().and_then(|types| types.iter().map(slides).collect());
    match types.filter(|types: &Vec<bool>| types.len() == layers) {
        Some(types) => Ok(Some(types)),
        None => {
            let kinds = "\"full_attention\" or \"sliding_attention\"";
            Err(keys.invalid("layer_types", format!("{layers} times {kinds}")))
        }
    }
}
