//! SmolLM3: Llama with some layers that have no rotary positions.

use serde_json::Value;

use super::llama::{Defaults, Sizes, with_biases};
use super::qwen2::layer_types;
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::config::rope::RopeKeys;
use crate::error::ModelError;

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 2048, inner: 11_008, layers: 36, heads: 16, vocab: 128_256 },
    kv_heads: Some(4),
    tied_head: true,
    max_positions: 32_768,
    rope: RopeKeys { theta: ("rope_theta", 2e6), ..RopeKeys::PLAIN },
    ..Defaults::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = with_biases(keys, "smollm3", DEFAULTS)?;
    let turns = layers_that_turn(keys, model.layers)?;
    let windows = keys.flag("use_sliding_window", false)?;
    let window = keys.size_or_null("sliding_window", None)?.filter(|_| windows);
    let slides = match layer_types(keys, model.layers)? {
        Some(types) => types,
        None => turns.iter().map(|turns| !turns).collect(),
    };
    for ((layer, turns), slides) in model.blocks.iter_mut().zip(turns).zip(slides) {
        let attention = &mut layer.attention;
        attention.rope = attention.rope.take().filter(|_| turns);
        attention.window = window.filter(|_| slides);
    }
    Ok(model)
}

/// Whether each layer has rotary positions, for which `no_rope_layers` has a 1.
fn layers_that_turn(keys: Keys<'_>, layers: usize) -> Result<Vec<bool>, ModelError> {
    let key = "no_rope_layers";
    let Some(list) = keys.value(key) else {
        let interval = keys.size("no_rope_layer_interval", Some(4))?;
        return Ok((1..=layers).map(|layer| !layer.is_multiple_of(interval)).collect());
    };
    let turns = |flag: &Value| flag.as_u64().filter(|flag| *flag < 2).map(|flag| flag == 1);
    let list: Option<Vec<bool>> =
        list.as_array().and_then(|list| list.iter().take(layers).map(turns).collect());
    list.filter(|list| list.len() == layers)
        .ok_or_else(|| keys.invalid(key, format!("{layers} times 1 or 0")))
}
