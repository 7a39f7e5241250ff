//! DeepSeek-V3, R1 and Kimi-K2: multi-head latent attention, and experts that sigmoids choose from groups.

use super::experts::{self, deepseek, set_experts};
use super::llama::{Defaults, Sizes, llama_like};
use crate::config::keys::{Keys, invalid};
use crate::config::rope::RopeKeys;
use crate::config::{LatentConfig, ModelConfig};
use crate::error::ModelError;

/// Values of the keys of latent attention where they are absent.
pub(super) struct Latent {
    /// Value of `q_lora_rank`; `null` in a configuration means that queries have no latent.
    pub(super) query_rank: usize,
    /// Value of `kv_lora_rank`.
    pub(super) rank: usize,
    /// Value of `qk_rope_head_dim`.
    pub(super) rotated: usize,
    /// Value of `qk_nope_head_dim`.
    pub(super) own: usize,
    /// Value of `v_head_dim`.
    pub(super) value: usize,
}

impl Latent {
    pub(super) const DEEPSEEK: Latent =
        Latent { query_rank: 1536, rank: 512, rotated: 64, own: 128, value: 128 };
}

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 7168, inner: 18_432, layers: 61, heads: 128, vocab: 129_280 },
    kv_heads: Some(128),
    max_positions: 4096,
    ..Defaults::LLAMA
};

const EXPERTS: experts::Defaults = experts::Defaults {
    count: Some(256),
    chosen: Some(8),
    shared: Some(1),
    inner: 2048,
    groups: (8, 4),
    normalised: true,
    scale: 2.5,
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = latent_like(keys, "deepseek_v3", (DEFAULTS, Latent::DEEPSEEK))?;
    let adjacent = keys.flag("rope_interleave", true)?;
    for layer in &mut model.blocks {
        layer.adjacent_pairs = adjacent;
    }
    let dense = keys.count("first_k_dense_replace", 3)?;
    set_experts(&mut model, deepseek(keys, &EXPERTS)?, |number| number >= dense);
    model.further = keys.count("num_nextn_predict_layers", 1)?;
    Ok(model)
}

/// A model with Llama's layers and multi-head latent attention. Every head has keys and values of its own.
pub(super) fn latent_like(
    keys: Keys<'_>,
    model_type: &'static str,
    (defaults, latent): (Defaults, Latent),
) -> Result<ModelConfig, ModelError> {
    // `head_dim` says how many channels are rotated, if it is there.
    let shared = keys.size("qk_rope_head_dim", Some(latent.rotated))?;
    let defaults = Defaults { head_dim: Some(shared), ..defaults };
    let mut model = llama_like(keys, model_type, defaults)?;
    let rank = keys.size("kv_lora_rank", Some(latent.rank))?;
    let query_rank = keys.size_or_null("q_lora_rank", Some(latent.query_rank))?;
    let head_dim = shared + keys.size("qk_nope_head_dim", Some(latent.own))?;
    let value_dim = keys.size("v_head_dim", Some(latent.value))?;
    let bias = keys.flag("attention_bias", false)?;
    let rope = RopeKeys::PLAIN.read(keys, shared, model.max_positions)?;
    let scale = (head_dim as f64).powf(-0.5) * RopeKeys::PLAIN.score_factor(keys)?;
    for layer in &mut model.blocks {
        let attention = &mut layer.attention;
        if attention.kv_heads != attention.heads {
            let expected = format!("{}, as many as there are query heads", attention.heads);
            return Err(invalid("num_key_value_heads", expected, attention.kv_heads));
        }
        (attention.head_dim, attention.value_dim) = (head_dim, value_dim);
        (attention.scale, attention.rope) = (scale, Some(rope.clone()));
        layer.latent = Some(LatentConfig { query_rank, rank, shared });
        (layer.qkv_bias, layer.output_bias) = (bias, bias);
    }
    Ok(model)
}
