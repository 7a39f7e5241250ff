//! Seed-OSS: Llama with biases of q, k and v, and a switch of its own for the output's.

use super::llama::{Defaults, Sizes, llama_like};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::ModelError;

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 4096, inner: 27_648, layers: 64, heads: 80, vocab: 155_136 },
    kv_heads: Some(8),
    head_dim: Some(128),
    max_positions: 524_288,
    ..Defaults::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, "seed_oss", DEFAULTS)?;
    let inputs = keys.flag("attention_bias", true)?;
    let output = keys.flag("attention_out_bias", false)?;
    let mlp = keys.flag("mlp_bias", false)?;
    for layer in &mut model.blocks {
        (layer.qkv_bias, layer.output_bias, layer.mlp.bias) = (inputs, output, mlp);
    }
    Ok(model)
}
