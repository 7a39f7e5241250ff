//! OLMo-3: OLMo-2 with windows in most layers, whose rotary positions are not scaled.

use super::llama::Defaults;
use super::olmo2;
use super::qwen2::layer_types;
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::config::rope::RopeKeys;
use crate::error::ModelError;

const DEFAULTS: Defaults = Defaults {
    rope: RopeKeys {
        theta: ("rope_theta", 500_000.0),
        part: Some(("full_attention", true)),
        ..RopeKeys::PLAIN
    },
    ..olmo2::DEFAULTS
};

const LOCAL_ROPE: RopeKeys<'static> =
    RopeKeys { part: Some(("sliding_attention", false)), ..DEFAULTS.rope };

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = olmo2::olmo2_like(keys, "olmo3", DEFAULTS)?;
    let window = keys.size_or_null("sliding_window", Some(4096))?;
    let slides = match layer_types(keys, model.layers)? {
        Some(types) => types,
        None => (1..=model.layers).map(|layer| !layer.is_multiple_of(4)).collect(),
    };
    for (layer, _) in model.blocks.iter_mut().zip(slides).filter(|(_, slides)| *slides) {
        let attention = &mut layer.attention;
        attention.window = window;
        let mut local = LOCAL_ROPE.read(keys, attention.head_dim, model.max_positions)?;
        local.rounded_once = true;
        attention.rope = Some(local);
    }
    Ok(model)
}
