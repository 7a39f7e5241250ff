//! ERNIE 4.5 with experts: Llama whose rotated pairs are adjacent channels, a softmax with a correction of the choice,
//! and experts that all tokens share.

use serde_json::Value;
use strait_ops::Routing;

use super::ernie4_5::ernie_like;
use super::experts::{check_chosen_at, checked, set_experts};
use super::llama::{Defaults, Sizes};
use crate::config::keys::{Keys, invalid};
use crate::config::rope::RopeKeys;
use crate::config::{Experts, ModelConfig, SharedExpert};
use crate::error::ModelError;
use crate::names::{Correction, Names};

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 2560, inner: 12_288, layers: 28, heads: 20, vocab: 103_424 },
    kv_heads: Some(4),
    eps: ("rms_norm_eps", 1e-5),
    tied_head: true,
    max_positions: 131_072,
    rope: RopeKeys { theta: ("rope_theta", 500_000.0), ..RopeKeys::PLAIN },
    ..Defaults::LLAMA
};

const NAMES: Names = Names {
    correction: Correction { name: "mlp.moe_statics.e_score_correction_bias", row: true },
    ..Names::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    // It would give everything but the experts biases.
    keys.only("use_bias", &Value::Bool(false))?;
    let mut model = ernie_like(keys, "ernie4_5_moe", DEFAULTS)?;
    model.names = NAMES;
    let count = keys.size("moe_num_experts", Some(64))?;
    let chosen = check_chosen_at(keys, "moe_k", Some(6), count)?;
    let routing = Routing { in_f32: true, rounded_shares: true, ..Routing::softmax(chosen, true) };
    let inner = keys.size("moe_intermediate_size", Some(1536))?;
    let shared = match keys.count("moe_num_shared_experts", 2)? {
        0 => None,
        shared => Some(SharedExpert { inner: checked(inner, shared)?, gate: false }),
    };
    let experts = Experts { count, routing, correction: true, shared };
    set_experts(&mut model, (experts, inner), layers_with_experts(keys)?);
    Ok(model)
}

/// Which layers have experts: those between two indices, at every interval.
fn layers_with_experts(keys: Keys<'_>) -> Result<impl Fn(usize) -> bool, ModelError> {
    let interval = keys.size("moe_layer_interval", Some(1))?;
    let start = keys.count("moe_layer_start_index", 1)?;
    let key = "moe_layer_end_index";
    let end = match keys.value(key).map_or(Some(-1), Value::as_i64) {
        Some(-1) => usize::MAX,
        Some(end) if end >= 0 => end as usize,
        _ => {
            return Err(invalid(key, "the number of a layer, or -1 for the last", "another value"));
        }
    };
    Ok(move |number: usize| {
        (number + 1).is_multiple_of(interval) && number >= start && number <= end
    })
}
