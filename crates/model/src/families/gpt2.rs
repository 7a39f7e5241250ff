//! GPT-2: LayerNorm, learned positions, fused projections, weights stored as `[in, out]`.

use serde_json::Value;
use strait_ops::{AttentionShape, Norm, NormKind, Shape};

use super::llama::head_dim;
use crate::config::keys::Keys;
use crate::config::{Folded, LayerConfig, MlpConfig, ModelConfig};
use crate::error::ModelError;
use crate::names::{Names, Network, Projections, Up};

pub(super) const NAMES: Names = Names {
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

/// Keys of the sizes of GPT-2 and its like, with the values for absent ones.
pub(super) struct GptKeys {
    pub(super) hidden: (&'static str, usize),
    pub(super) heads: (&'static str, usize),
    pub(super) layers: (&'static str, usize),
    pub(super) positions: (&'static str, usize),
    /// Four times the hidden size if it is absent.
    pub(super) inner: &'static str,
}

pub(super) const KEYS: GptKeys = GptKeys {
    hidden: ("n_embd", 768),
    heads: ("n_head", 12),
    layers: ("n_layer", 12),
    positions: ("n_positions", 1024),
    inner: "n_inner",
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    keys.only("scale_attn_weights", &Value::Bool(true))?;
    keys.only("scale_attn_by_inverse_layer_idx", &Value::Bool(false))?;
    keys.only("add_cross_attention", &Value::Bool(false))?;
    gpt2_like(keys, "gpt2", &KEYS, "gelu_new")
}

/// A model with GPT-2's layers and names; `activation` is its default.
pub(super) fn gpt2_like(
    keys: Keys<'_>,
    model_type: &'static str,
    names: &GptKeys,
    activation: &str,
) -> Result<ModelConfig, ModelError> {
    let size = |(key, default): (&str, usize)| keys.size(key, Some(default));
    let (hidden, heads) = (size(names.hidden)?, size(names.heads)?);
    let head_dim = head_dim(hidden, heads, names.heads.0)?;
    let positions = size(names.positions)?;
    let layer = LayerConfig {
        attention: AttentionShape {
            heads,
            kv_heads: heads,
            head_dim,
            value_dim: head_dim,
            scale: (head_dim as f64).powf(-0.5),
            cap: None,
            window: None,
            rope: None,
        },
        head_norm: None,
        latent: None,
        adjacent_pairs: false,
        qkv_bias: true,
        output_bias: true,
        mlp: MlpConfig {
            inner: keys.size(names.inner, Some(4 * hidden))?,
            activation: keys.activation("activation_function", activation)?,
            gated: false,
            bias: true,
            experts: None,
        },
        parallel: false,
    };
    let layers = keys.layers(names.layers.0, names.layers.1)?;
    let eps = keys.number("layer_norm_epsilon", Some(1e-5))?;
    Ok(ModelConfig {
        model_type,
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
        head_bias: false,
        positions: Some(positions),
        skipped_positions: 0,
        max_positions: positions,
        longest: None,
        further: 0,
        folded: Folded::NONE,
        names: NAMES,
    })
}
