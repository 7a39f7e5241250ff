//! Granite: Llama with factors for embedding, scores, blocks and logits.

use super::llama::{Defaults, with_biases};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::ModelError;

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = with_biases(keys, "granite", Defaults::LLAMA)?;
    model.shape.embedding_scale = keys.number("embedding_multiplier", Some(1.0))?;
    model.folded.blocks = keys.number("residual_multiplier", Some(1.0))?;
    model.folded.logits = keys.number("logits_scaling", Some(1.0))?;
    let scale = keys.number("attention_multiplier", Some(1.0))?;
    for layer in &mut model.blocks {
        layer.attention.scale = scale;
    }
    Ok(model)
}
