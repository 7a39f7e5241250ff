//! OLMoE: Llama with norms over all queries and all keys, and experts in every layer.

use strait_ops::Routing;

use super::llama::{Defaults, Sizes, llama_like};
use super::mixtral::check_chosen;
use crate::config::keys::Keys;
use crate::config::{HeadNorm, ModelConfig};
use crate::error::ModelError;

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 2048, inner: 2048, layers: 16, heads: 16, vocab: 50_304 },
    eps: ("rms_norm_eps", 1e-5),
    max_positions: 4096,
    ..Defaults::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, "olmoe", DEFAULTS)?;
    let bias = keys.flag("attention_bias", false)?;
    let count = keys.size("num_experts", Some(64))?;
    let routing = Routing {
        chosen: check_chosen(keys, 8, count)?,
        normalised: keys.flag("norm_topk_prob", false)?,
        rounded_shares: true,
    };
    for layer in &mut model.blocks {
        layer.head_norm = Some(HeadNorm::All);
        (layer.qkv_bias, layer.output_bias) = (bias, bias);
        layer.mlp.experts = Some((count, routing));
    }
    Ok(model)
}
