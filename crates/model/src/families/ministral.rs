//! Ministral: Mistral with a window in some layers only.

use super::mistral;
use super::qwen2::layer_types;
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::ModelError;

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = mistral::mistral_like(keys, "ministral")?;
    let Some(slides) = layer_types(keys, model.layers)? else { return Ok(model) };
    for (layer, slides) in model.blocks.iter_mut().zip(slides) {
        layer.attention.window = layer.attention.window.filter(|_| slides);
    }
    Ok(model)
}
