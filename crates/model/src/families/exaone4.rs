//! EXAONE 4: norms after the blocks and of each head; with windows, only the layers that have one have
//! rotary positions.

use super::llama::{Defaults, Sizes, llama_like};
use super::olmo2;
use super::qwen2::layer_types;
use crate::config::keys::Keys;
use crate::config::{HeadNorm, ModelConfig};
use crate::error::ModelError;

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { inner: 16_384, vocab: 102_400, ..Defaults::LLAMA.sizes },
    kv_heads: Some(32),
    eps: ("rms_norm_eps", 1e-5),
    ..Defaults::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, "exaone4", DEFAULTS)?;
    model.names = olmo2::NAMES;
    for layer in &mut model.blocks {
        layer.head_norm = Some(HeadNorm::Each);
    }
    let Some(window) = keys.size_or_null("sliding_window", Some(4096))? else { return Ok(model) };
    let slides = match layer_types(keys, model.layers)? {
        Some(types) => types,
        None => {
            let pattern = keys.size("sliding_window_pattern", Some(4))?;
            (1..=model.layers).map(|layer| !layer.is_multiple_of(pattern)).collect()
        }
    };
    for (layer, slides) in model.blocks.iter_mut().zip(slides) {
        let attention = &mut layer.attention;
        attention.window = Some(window).filter(|_| slides);
        attention.rope = attention.rope.take().filter(|_| slides);
    }
    Ok(model)
}
