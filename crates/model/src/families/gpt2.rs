//! GPT-2: LayerNorm, learned positions, fused projections, weights stored as `[in, out]`.

use serde_json::Value;
use strait_ops::{AttentionShape, Norm, NormKind, Shape};

use super::llama::head_dim;
use crate::config::keys::Keys;
use crate::config::{LayerConfig, MlpConfig, ModelConfig};
use crate::error::ModelError;
use crate::names::{Names, Network, Projections, Up};

const NAMES: Names = Names {
    prefixes: &["", "transformer."],
    embedding: "wte",
    positions: "wpe",
    final_norm: "ln_f",
    head: &["lm_head"],
    layer: "h.",
    attention_in: Some("ln_1"),
    mlp_in: Some("ln_2"),
    projections: Projections::Stacked("attn.c_attn"),
    output: "attn.c_proj",
    network: Network { up: Up::Plain("mlp.c_fc"), down: "mlp.c_proj" },
    transposed: true,
    ..Names::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    keys.only("scale_attn_weights", &Value::Bool(true))?;
    keys.only("scale_attn_by_inverse_layer_idx", &Value::Bool(false))?;
    keys.only("add_cross_attention", &Value::Bool(false))?;
    let (hidden, heads) = (keys.size("n_embd", Some(768))?, keys.size("n_head", Some(12))?);
    let head_dim = head_dim(hidden, heads, "n_head")?;
    let positions = keys.size("n_positions", Some(1024))?;
    let layer = LayerConfig {
        attention: AttentionShape {
            heads,
            kv_heads: heads,
            head_dim,
            scale: (head_dim as f64).powf(-0.5),
            window: None,
            rope: None,
        },
        head_norm: None,
        qkv_bias: true,
        output_bias: true,
        mlp: MlpConfig {
            inner: keys.size("n_inner", Some(4 * hidden))?,
            activation: keys.activation("activation_function", "gelu_new")?,
            gated: false,
            bias: true,
            experts: None,
        },
        parallel: false,
    };
    let layers = keys.layers("n_layer", 12)?;
    let eps = keys.number("layer_norm_epsilon", Some(1e-5))?;
    Ok(ModelConfig {
        model_type: "gpt2",
        shape: Shape {
            vocab: keys.size("vocab_size", Some(50_257))?,
            hidden,
            norm: Norm { kind: NormKind::Layer, eps },
            embedding_scale: 1.0,
            logit_cap: None,
        },
        layers,
        blocks: vec![layer; layers],
        tied_head: keys.flag("tie_word_embeddings", true)?,
        positions: Some(positions),
        max_positions: positions,
        longest: None,
        names: NAMES,
    })
}
