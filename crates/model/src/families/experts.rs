//! What families with experts have in common: which layers have them, and how tokens are routed.

use serde_json::Value;
use strait_ops::{Groups, Routing, Scoring};

use crate::config::keys::{Keys, invalid};
use crate::config::{Experts, ModelConfig, SharedExpert};
use crate::error::ModelError;

/// Checks the number of experts per token.
pub(super) fn check_chosen(
    keys: Keys<'_>,
    default: usize,
    count: usize,
) -> Result<usize, ModelError> {
    check_chosen_at(keys, "num_experts_per_tok", Some(default), count)
}

/// The same under another key; without a default, the key must be present.
pub(super) fn check_chosen_at(
    keys: Keys<'_>,
    key: &str,
    default: Option<usize>,
    count: usize,
) -> Result<usize, ModelError> {
    let chosen = keys.size(key, default)?;
    if chosen <= count {
        Ok(chosen)
    } else {
        Err(invalid(key, format!("at most {count}, the number of experts"), chosen))
    }
}

/// Values of DeepSeek's keys where they are absent.
pub(super) struct Defaults {
    /// Value of `n_routed_experts`.
    pub(super) count: Option<usize>,
    /// Value of `num_experts_per_tok`.
    pub(super) chosen: Option<usize>,
    /// Value of `n_shared_experts`.
    pub(super) shared: Option<usize>,
    /// Value of `moe_intermediate_size`.
    pub(super) inner: usize,
    /// Values of `n_group` and `topk_group`.
    pub(super) groups: (usize, usize),
    /// Value of `norm_topk_prob`.
    pub(super) normalised: bool,
    /// Value of `routed_scaling_factor`.
    pub(super) scale: f64,
}

/// The experts that DeepSeek-V3 has, and the channels of each: sigmoids, corrected for the choice, and groups that are
/// ranked by their two highest scores.
pub(super) fn deepseek(
    keys: Keys<'_>,
    defaults: &Defaults,
) -> Result<(Experts, usize), ModelError> {
    keys.only("scoring_func", &Value::from("sigmoid"))?;
    keys.only("topk_method", &Value::from("noaux_tc"))?;
    keys.only("moe_layer_freq", &Value::from(1))?;
    let count = keys.size("n_routed_experts", defaults.count)?;
    let inner = keys.size("moe_intermediate_size", Some(defaults.inner))?;
    let routing = Routing {
        scoring: Scoring::Sigmoid,
        groups: groups(keys, count, defaults.groups, 2)?,
        normalised: keys.flag("norm_topk_prob", defaults.normalised)?,
        scale: keys.number("routed_scaling_factor", Some(defaults.scale))?,
        in_f32: true,
        ..Routing::softmax(
            check_chosen_at(keys, "num_experts_per_tok", defaults.chosen, count)?,
            false,
        )
    };
    let shared = keys.size("n_shared_experts", defaults.shared)?;
    let shared = SharedExpert { inner: checked(inner, shared)?, gate: false };
    Ok((Experts { count, routing, correction: true, shared: Some(shared) }, inner))
}

/// The channels of shared experts in one network.
pub(super) fn checked(inner: usize, shared: usize) -> Result<usize, ModelError> {
    let too_many = || invalid("n_shared_experts", "experts that fit into memory", shared);
    inner.checked_mul(shared).filter(|&product| product <= i32::MAX as usize).ok_or_else(too_many)
}

/// The groups of `count` experts, if there are several.
pub(super) fn groups(
    keys: Keys<'_>,
    count: usize,
    (all, chosen): (usize, usize),
    ranked_by: usize,
) -> Result<Option<Groups>, ModelError> {
    let all = keys.size("n_group", Some(all))?;
    let chosen = keys.size("topk_group", Some(chosen))?;
    if !count.is_multiple_of(all) || count / all < ranked_by {
        let expected =
            format!("groups of at least {ranked_by} among {count} experts, equally large");
        return Err(invalid("n_group", expected, all));
    }
    if chosen > all {
        return Err(invalid("topk_group", format!("at most {all}, the number of groups"), chosen));
    }
    let (held, wanted) = (chosen * (count / all), keys.count("num_experts_per_tok", 0)?);
    if wanted > held {
        let expected = format!("at most {held}, which {chosen} of {all} groups hold");
        return Err(invalid("num_experts_per_tok", expected, wanted));
    }
    Ok((chosen < all).then_some(Groups { count: all, chosen, ranked_by }))
}

/// Gives the layers that `has` selects these experts of `inner` channels.
pub(super) fn set_experts(
    model: &mut ModelConfig,
    (experts, inner): (Experts, usize),
    has: impl Fn(usize) -> bool,
) {
    let layers = model.blocks.iter_mut().enumerate();
    for (_, layer) in layers.filter(|(number, _)| has(*number)) {
        layer.mlp.experts = Some(experts);
        layer.mlp.inner = inner;
    }
}

/// Which layers `decoder_sparse_step` and `mlp_only_layers` give experts.
pub(super) fn by_step(keys: Keys<'_>) -> Result<impl Fn(usize) -> bool, ModelError> {
    let step = keys.size("decoder_sparse_step", Some(1))?;
    let dense = dense_layers(keys)?;
    Ok(move |number: usize| (number + 1).is_multiple_of(step) && !dense.contains(&(number as u64)))
}

fn dense_layers(keys: Keys<'_>) -> Result<Vec<u64>, ModelError> {
    let Some(list) = keys.value("mlp_only_layers") else { return Ok(Vec::new()) };
    let list = list.as_array().and_then(|list| list.iter().map(Value::as_u64).collect());
    list.ok_or_else(|| keys.invalid("mlp_only_layers", "a list of layer numbers"))
}
