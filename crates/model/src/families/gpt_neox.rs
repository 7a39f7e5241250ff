//! GPT-NeoX (Pythia): LayerNorm, fused projections, partial rotation, parallel blocks.

use strait_ops::{AttentionShape, Norm, NormKind, Shape};

use super::llama::head_dim;
use crate::config::keys::Keys;
use crate::config::rope::RopeKeys;
use crate::config::{Folded, LayerConfig, MlpConfig, ModelConfig};
use crate::error::ModelError;
use crate::names::{Names, Network, Projections, Up};

const ROPE: RopeKeys<'static> = RopeKeys {
    theta: ("rotary_emb_base", 10_000.0),
    share: Some(("rotary_pct", 0.25)),
    ..RopeKeys::PLAIN
};

const NAMES: Names = Names {
    prefixes: &["gpt_neox.", ""],
    embedding: "embed_in",
    final_norm: "final_layer_norm",
    head: &["embed_out", "lm_head"],
    layer: "layers.",
    projections: Projections::ByHead("attention.query_key_value"),
    output: "attention.dense",
    network: Network { up: Up::Plain("mlp.dense_h_to_4h"), down: "mlp.dense_4h_to_h" },
    ..Names::LLAMA
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let hidden = keys.size("hidden_size", Some(6144))?;
    let heads = keys.size("num_attention_heads", Some(64))?;
    let head_dim = head_dim(hidden, heads, "num_attention_heads")?;
    let max_positions = keys.size("max_position_embeddings", Some(2048))?;
    let bias = keys.flag("attention_bias", true)?;
    let layer = LayerConfig {
        attention: AttentionShape {
            heads,
            kv_heads: heads,
            head_dim,
            value_dim: head_dim,
            scale: (head_dim as f64).powf(-0.5),
            cap: None,
            window: None,
            rope: Some(ROPE.read(keys, head_dim, max_positions)?),
        },
        head_norm: None,
        latent: None,
        adjacent_pairs: false,
        qkv_bias: bias,
        output_bias: bias,
        mlp: MlpConfig {
            inner: keys.size("intermediate_size", Some(24_576))?,
            activation: keys.activation("hidden_act", "gelu")?,
            gated: false,
            bias: true,
            experts: None,
        },
        parallel: keys.flag("use_parallel_residual", true)?,
    };
    let layers = keys.layers("num_hidden_layers", 44)?;
    let eps = keys.number("layer_norm_eps", Some(1e-5))?;
    Ok(ModelConfig {
        model_type: "gpt_neox",
        shape: Shape {
            vocab: keys.size("vocab_size", Some(50_432))?,
            hidden,
            norm: Norm { kind: NormKind::Layer, eps },
            embedding_scale: 1.0,
            logit_cap: None,
        },
        layers,
        blocks: vec![layer; layers],
        tied_head: keys.flag("tie_word_embeddings", false)?,
        head_bias: false,
        positions: None,
        skipped_positions: 0,
        max_positions,
        longest: ROPE.longest(keys, max_positions)?,
        further: 0,
        folded: Folded::NONE,
        names: NAMES,
    })
}
