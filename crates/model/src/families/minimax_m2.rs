//! MiniMax-M2: Llama with partial rotation, norms over all queries and all keys, and experts that sigmoids choose.

use serde_json::Value;
use strait_ops::{Routing, Scoring};

use super::experts::{check_chosen, set_experts};
use super::llama::{Defaults, Sizes, llama_like};
use super::mixtral;
use crate::config::keys::Keys;
use crate::config::rope::RopeKeys;
use crate::config::{Experts, HeadNorm, ModelConfig};
use crate::error::ModelError;
use crate::names::{Correction, Names};

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 3072, inner: 1536, layers: 62, heads: 48, vocab: 200_064 },
    kv_heads: Some(8),
    head_dim: Some(128),
    max_positions: 196_608,
    ..Defaults::LLAMA
};

const NAMES: Names = Names {
    correction: Correction { name: "block_sparse_moe.e_score_correction_bias", row: false },
    ..mixtral::NAMES
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    keys.only("use_qk_norm", &Value::Bool(true))?;
    keys.only("qk_norm_type", &Value::from("per_layer"))?;
    keys.only("scoring_func", &Value::from("sigmoid"))?;
    keys.only("use_routing_bias", &Value::Bool(true))?;
    keys.only("shared_intermediate_size", &Value::from(0))?;
    let head_dim = keys.size("head_dim", DEFAULTS.head_dim)?;
    let rotated = keys.size("rotary_dim", Some(head_dim))?;
    let share = Some(("partial_rotary_factor", rotated as f64 / head_dim as f64));
    let rope = RopeKeys { theta: ("rope_theta", 5e6), share, ..RopeKeys::PLAIN };
    let mut model = llama_like(keys, "minimax_m2", Defaults { rope, ..DEFAULTS })?;
    model.names = NAMES;
    for layer in &mut model.blocks {
        layer.head_norm = Some(HeadNorm::All);
    }
    let count = keys.size("num_local_experts", Some(256))?;
    let chosen = check_chosen(keys, 8, count)?;
    let routing = Routing { scoring: Scoring::Sigmoid, ..Routing::softmax(chosen, true) };
    let experts = Experts { correction: true, ..Experts::plain(count, routing) };
    let inner = keys.size("intermediate_size", Some(DEFAULTS.sizes.inner))?;
    set_experts(&mut model, (experts, inner), |_| true);
    Ok(model)
}
