//! Qwen3: Llama with a norm of queries and keys per head.

use super::llama::{Defaults, llama_like};
use super::qwen2;
use crate::config::keys::Keys;
use crate::config::rope::RopeKeys;
use crate::config::{HeadNorm, ModelConfig};
use crate::error::ModelError;

const DEFAULTS: Defaults = Defaults { head_dim: Some(128), ..qwen2::DEFAULTS };

/// Defaults of the text part of Qwen3-VL.
const VL_DEFAULTS: Defaults = Defaults {
    max_positions: 128_000,
    rope: RopeKeys { theta: ("rope_theta", 500_000.0), ..RopeKeys::PLAIN },
    ..DEFAULTS
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = qwen3_like(keys, "qwen3", DEFAULTS)?;
    qwen2::set_windows(keys, &mut model)?;
    Ok(model)
}

/// The text part of Qwen3-VL, whose rotary positions are the plain ones, as in Qwen2-VL.
pub(super) fn describe_vl(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    qwen3_like(keys, "qwen3", VL_DEFAULTS)
}

/// Qwen3 without windows.
pub(super) fn qwen3_like(
    keys: Keys<'_>,
    model_type: &'static str,
    defaults: Defaults,
) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, model_type, defaults)?;
    let bias = keys.flag("attention_bias", false)?;
    for layer in &mut model.blocks {
        layer.head_norm = Some(HeadNorm::Each);
        (layer.qkv_bias, layer.output_bias) = (bias, bias);
    }
    Ok(model)
}
