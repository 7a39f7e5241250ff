//! DeepSeek-V2 and its Lite version: multi-head latent attention, and experts chosen by a softmax, from groups that are
//! ranked by their highest probability.

use serde_json::Value;
use strait_ops::Routing;

use super::deepseek_v3::{Latent, latent_like};
use super::experts::{check_chosen_at, checked, groups, set_experts};
use super::llama::{Defaults, Sizes};
use crate::config::keys::Keys;
use crate::config::{Experts, ModelConfig, SharedExpert};
use crate::error::ModelError;

const DEFAULTS: Defaults =
    Defaults { sizes: Sizes { vocab: 102_400, ..Defaults::LLAMA.sizes }, ..Defaults::LLAMA };

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    keys.only("scoring_func", &Value::from("softmax"))?;
    keys.only("moe_layer_freq", &Value::from(1))?;
    // Transformers reads neither; no published model has them.
    keys.only("norm_topk_prob", &Value::Bool(false))?;
    keys.only("mlp_bias", &Value::Bool(false))?;
    let mut model = latent_like(keys, "deepseek_v2", (DEFAULTS, Latent::DEEPSEEK))?;
    for layer in &mut model.blocks {
        layer.adjacent_pairs = true;
        if let Some(rope) = &mut layer.attention.rope {
            rope.rounded_once = true;
        }
    }
    let count = keys.size("n_routed_experts", Some(64))?;
    let routing = Routing {
        groups: match keys.value("topk_method").map_or(Some("greedy"), Value::as_str) {
            Some("greedy") => None,
            Some("group_limited_greedy") => groups(keys, count, (1, 1), 1)?,
            _ => {
                let known = "\"greedy\" or \"group_limited_greedy\"";
                return Err(keys.invalid("topk_method", known));
            }
        },
        scale: keys.number("routed_scaling_factor", Some(1.0))?,
        in_f32: true,
        ..Routing::softmax(check_chosen_at(keys, "num_experts_per_tok", None, count)?, false)
    };
    let inner = keys.size("moe_intermediate_size", Some(1407))?;
    let shared = keys.size("n_shared_experts", Some(2))?;
    let shared = Some(SharedExpert { inner: checked(inner, shared)?, gate: false });
    let experts = Experts { shared, ..Experts::plain(count, routing) };
    let dense = keys.count("first_k_dense_replace", 0)?;
    set_experts(&mut model, (experts, inner), |number| number >= dense);
    Ok(model)
}
