//! OLMoE: Llama with norms over all queries and all keys, and experts in every layer.

use strait_ops::Routing;

use super::experts::check_chosen;
use super::llama::{Defaults, Sizes, llama_like};
use crate::config::keys::Keys;
use crate::config::{Experts, HeadNorm, ModelConfig};
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
    let chosen = check_chosen(keys, 8, count)?;
    let normalised = keys.flag("norm_topk_prob", false)?;
    let routing = Routing { rounded_shares: true, ..Routing::softmax(chosen, normalised) };
    for layer in &mut model.blocks {
        layer.head_norm = Some(HeadNorm::All);
        (layer.qkv_bias, layer.output_bias) = (bias, bias);
        layer.mlp.experts = Some(Experts::plain(count, routing));
    }
    Ok(model)
}
