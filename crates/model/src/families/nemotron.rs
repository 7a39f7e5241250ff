//! Nemotron: Arcee with `1 + weight` in its LayerNorm, and partial rotation.

use strait_ops::NormKind;

use super::arcee;
use super::llama::{Defaults, Sizes, with_biases};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::config::rope::RopeKeys;
use crate::error::ModelError;

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 6144, inner: 24_576, layers: 32, heads: 48, vocab: 256_000 },
    eps: ("norm_eps", 1e-5),
    max_positions: 4096,
    activation: ("hidden_act", "relu2"),
    rope: RopeKeys { share: Some(("partial_rotary_factor", 0.5)), ..RopeKeys::PLAIN },
    ..Defaults::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = with_biases(keys, "nemotron", DEFAULTS)?;
    model.names = arcee::NAMES;
    model.shape.norm.kind = NormKind::Layer;
    model.folded.norms = 1.0;
    for layer in &mut model.blocks {
        layer.mlp.gated = false;
    }
    Ok(model)
}
