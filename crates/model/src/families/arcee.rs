//! Arcee: Llama with an MLP without a gate, whose activation is squared.

use super::llama::{Defaults, Sizes, with_biases};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::ModelError;
use crate::names::{Names, Network, Up};

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 2560, inner: 18_432, ..Defaults::LLAMA.sizes },
    eps: ("rms_norm_eps", 1e-5),
    max_positions: 4096,
    activation: ("hidden_act", "relu2"),
    ..Defaults::LLAMA
};

pub(super) const NAMES: Names = Names {
    network: Network { up: Up::Plain("mlp.up_proj"), down: "mlp.down_proj" },
    ..Names::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = with_biases(keys, "arcee", DEFAULTS)?;
    model.names = NAMES;
    for layer in &mut model.blocks {
        layer.mlp.gated = false;
    }
    Ok(model)
}
