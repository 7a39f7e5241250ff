//! OPT: GPT-2 with ReLU, other names, and a table of positions that begins with the third row.

use serde_json::Value;

use super::gpt2::{GptKeys, gpt2_like};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::ModelError;
use crate::names::{Names, Network, Up};

const KEYS: GptKeys = GptKeys {
    hidden: ("hidden_size", 768),
    heads: ("num_attention_heads", 12),
    layers: ("num_hidden_layers", 12),
    positions: ("max_position_embeddings", 2048),
    inner: "ffn_dim",
};

const NAMES: Names = Names {
    prefixes: &["model.decoder.", "decoder.", ""],
    positions: "embed_positions",
    final_norm: "final_layer_norm",
    attention_in: Some("self_attn_layer_norm"),
    mlp_in: Some("final_layer_norm"),
    output: "self_attn.out_proj",
    network: Network { up: Up::Plain("fc1"), down: "fc2" },
    ..Names::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let yes = Value::Bool(true);
    // OPT-350M norms after its blocks and has projections around the decoder.
    keys.only("do_layer_norm_before", &yes)?;
    keys.only("enable_bias", &yes)?;
    keys.only("layer_norm_elementwise_affine", &yes)?;
    keys.only("_remove_final_layer_norm", &Value::Bool(false))?;
    let mut model = gpt2_like(keys, "opt", &KEYS, "relu")?;
    keys.only("word_embed_proj_dim", &Value::from(model.shape.hidden))?;
    model.names = NAMES;
    model.shape.vocab = keys.size("vocab_size", Some(50_272))?;
    model.skipped_positions = 2;
    Ok(model)
}
