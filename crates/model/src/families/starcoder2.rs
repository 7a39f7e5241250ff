//! StarCoder2: Llama with LayerNorm, biases everywhere, and an MLP without a gate.

use strait_ops::NormKind;

use super::llama::{Defaults, Sizes, llama_like};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::ModelError;
use crate::names::{Names, Network, Up};

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 3072, inner: 12_288, layers: 30, heads: 24, vocab: 49_152 },
    kv_heads: Some(2),
    eps: ("norm_epsilon", 1e-5),
    tied_head: true,
    max_positions: 4096,
    activation: ("hidden_act", "gelu_pytorch_tanh"),
    ..Defaults::LLAMA
};

const NAMES: Names =
    Names { network: Network { up: Up::Plain("mlp.c_fc"), down: "mlp.c_proj" }, ..Names::LLAMA };

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, "starcoder2", DEFAULTS)?;
    model.names = NAMES;
    model.shape.norm.kind = NormKind::Layer;
    let window = keys.size_or_null("sliding_window", None)?;
    let bias = keys.flag("use_bias", true)?;
    for layer in &mut model.blocks {
        layer.attention.window = window;
        (layer.qkv_bias, layer.output_bias, layer.mlp.bias) = (bias, bias, bias);
        layer.mlp.gated = false;
    }
    Ok(model)
}
