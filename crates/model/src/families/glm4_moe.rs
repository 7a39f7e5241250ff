//! GLM-4.5 to GLM-4.7: Llama with partial rotation, optional norms of queries and keys, and DeepSeek-V3's experts.

use super::experts::{self, deepseek, set_experts};
use super::llama::{Defaults, Sizes, llama_like};
use crate::config::keys::Keys;
use crate::config::rope::RopeKeys;
use crate::config::{HeadNorm, ModelConfig};
use crate::error::ModelError;

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 4096, inner: 10_944, layers: 46, heads: 96, vocab: 151_552 },
    kv_heads: Some(8),
    eps: ("rms_norm_eps", 1e-5),
    max_positions: 131_072,
    rope: RopeKeys { share: Some(("partial_rotary_factor", 0.5)), ..RopeKeys::PLAIN },
    ..Defaults::LLAMA
};

const EXPERTS: experts::Defaults = experts::Defaults {
    count: Some(128),
    chosen: Some(8),
    shared: Some(1),
    inner: 1408,
    groups: (1, 1),
    normalised: true,
    scale: 1.0,
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, "glm4_moe", DEFAULTS)?;
    let bias = keys.flag("attention_bias", false)?;
    let norms = keys.flag("use_qk_norm", false)?;
    for layer in &mut model.blocks {
        layer.qkv_bias = bias;
        layer.head_norm = norms.then_some(HeadNorm::Each);
    }
    let dense = keys.count("first_k_dense_replace", 1)?;
    set_experts(&mut model, deepseek(keys, &EXPERTS)?, |number| number >= dense);
    model.further = keys.count("num_nextn_predict_layers", 1)?;
    Ok(model)
}
