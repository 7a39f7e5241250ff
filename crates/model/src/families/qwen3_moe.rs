//! Qwen3-MoE: Qwen3 with experts in some layers or all.

use serde_json::Value;
use strait_ops::Routing;

use super::experts::{by_step, check_chosen, set_experts};
use super::llama::{Defaults, Sizes};
use super::{qwen2, qwen3};
use crate::config::keys::Keys;
use crate::config::{Experts, ModelConfig};
use crate::error::ModelError;

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 2048, inner: 6144, layers: 24, ..qwen2::DEFAULTS.sizes },
    kv_heads: Some(4),
    ..qwen2::DEFAULTS
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = qwen3::qwen3_like(keys, "qwen3_moe", DEFAULTS)?;
    let windows = keys.flag("use_sliding_window", false)?;
    let window = keys.size_or_null("sliding_window", Some(4096))?.filter(|_| windows);
    for layer in &mut model.blocks {
        layer.attention.window = window;
    }
    let key =
        ["num_experts", "num_local_experts"].into_iter().find(|key| keys.value(key).is_some());
    let key = key.unwrap_or("num_experts");
    if keys.value(key) == Some(&Value::from(0)) {
        return Ok(model);
    }
    let count = keys.size(key, Some(128))?;
    let inner = keys.size("moe_intermediate_size", Some(768))?;
    let chosen = check_chosen(keys, 8, count)?;
    let normalised = keys.flag("norm_topk_prob", false)?;
    let routing = Routing { rounded_shares: true, ..Routing::softmax(chosen, normalised) };
    set_experts(&mut model, (Experts::plain(count, routing), inner), by_step(keys)?);
    Ok(model)
}
