//! Phi-1 and Phi-2: LayerNorm, biases everywhere, the head's included, partial rotation, and parallel blocks
//! that read one norm.

use serde_json::Value;
use strait_ops::NormKind;

use super::llama::{Defaults, Sizes, llama_like};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::config::rope::RopeKeys;
use crate::error::ModelError;
use crate::names::{Names, Network, Up};

const DEFAULTS: Defaults = Defaults {
    sizes: Sizes { hidden: 2048, inner: 8192, layers: 24, heads: 32, vocab: 51_200 },
    eps: ("layer_norm_eps", 1e-5),
    activation: ("hidden_act", "gelu_new"),
    rope: RopeKeys { share: Some(("partial_rotary_factor", 0.5)), ..RopeKeys::PLAIN },
    ..Defaults::LLAMA
};

const NAMES: Names = Names {
    final_norm: "final_layernorm",
    mlp_in: Some("input_layernorm"),
    output: "self_attn.dense",
    network: Network { up: Up::Plain("mlp.fc1"), down: "mlp.fc2" },
    ..Names::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    keys.only("qk_layernorm", &Value::Bool(false))?;
    let mut model = llama_like(keys, "phi", DEFAULTS)?;
    model.names = NAMES;
    model.shape.norm.kind = NormKind::Layer;
    model.head_bias = true;
    for layer in &mut model.blocks {
        (layer.qkv_bias, layer.output_bias, layer.mlp.bias) = (true, true, true);
        (layer.mlp.gated, layer.parallel) = (false, true);
    }
    Ok(model)
}
