//! Qwen3-MoE: Qwen3 with experts in some layers or all.

use serde_json::Value;
use strait_ops::Routing;

use super::llama::{Defaults, Sizes};
use super::mixtral::check_chosen;
use super::{qwen2, qwen3};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
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
    let routing = Routing {
        chosen: check_chosen(keys, 8, count)?,
        normalised: keys.flag("norm_topk_prob", false)?,
        rounded_shares: true,
    };
    let step = keys.size("decoder_sparse_step", Some(1))?;
    let dense = dense_layers(keys)?;
    for (number, layer) in model.blocks.iter_mut().enumerate() {
        if (number + 1).is_multiple_of(step) && !dense.contains(&(number as u64)) {
            layer.mlp.experts = Some((count, routing));
            layer.mlp.inner = inner;
        }
    }
    Ok(model)
}

fn dense_layers(keys: Keys<'_>) -> Result<Vec<u64>, ModelError> {
    let Some(list) = keys.value("mlp_only_layers") else { return Ok(Vec::new()) };
    let list = list.as_array().and_then(|list| list.iter().map(Value::as_u64).collect());
    list.ok_or_else(|| keys.invalid("mlp_only_layers", "a list of layer numbers"))
}
