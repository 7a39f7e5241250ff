//! Llama 1 to 3.x, and what other families inherit from it.

use strait_ops::{AttentionShape, Norm, NormKind, Shape};

use crate::config::keys::{Keys, invalid};
use crate::config::rope::RopeKeys;
use crate::config::{Folded, LayerConfig, MlpConfig, ModelConfig};
use crate::error::ModelError;
use crate::names::Names;

/// Values for absent keys: those of Transformers, whose configurations omit values equal to the
/// default.
pub(super) struct Defaults {
    /// Values of `hidden_size`, `intermediate_size`, `num_hidden_layers`, `num_attention_heads` and
    /// `vocab_size`.
    pub(super) sizes: Sizes,
    /// Value of `num_key_value_heads`; `None` for as many as query heads.
    pub(super) kv_heads: Option<usize>,
    /// Value of `head_dim`; `None` for the hidden size divided by the heads.
    pub(super) head_dim: Option<usize>,
    /// Key of the norms' epsilon, and its value.
    pub(super) eps: (&'static str, f64),
    /// Value of `tie_word_embeddings`.
    pub(super) tied_head: bool,
    /// Value of `max_position_embeddings`.
    pub(super) max_positions: usize,
    /// Key of the activation, and its default name.
    pub(super) activation: (&'static str, &'static str),
    pub(super) rope: RopeKeys<'static>,
}

/// The sizes of a family's first model.
pub(super) struct Sizes {
    pub(super) hidden: usize,
    pub(super) inner: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) vocab: usize,
}

impl Defaults {
    pub(super) const LLAMA: Defaults = Defaults {
        sizes: Sizes { hidden: 4096, inner: 11_008, layers: 32, heads: 32, vocab: 32_000 },
        kv_heads: None,
        head_dim: None,
        eps: ("rms_norm_eps", 1e-6),
        tied_head: false,
        max_positions: 2048,
        activation: ("hidden_act", "silu"),
        rope: RopeKeys::PLAIN,
    };
}

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    with_biases(keys, "llama", Defaults::LLAMA)
}

/// Llama with the biases that `attention_bias` and `mlp_bias` ask for.
pub(super) fn with_biases(
    keys: Keys<'_>,
    model_type: &'static str,
    defaults: Defaults,
) -> Result<ModelConfig, ModelError> {
    let mut model = llama_like(keys, model_type, defaults)?;
    let (attention, mlp) = (keys.flag("attention_bias", false)?, keys.flag("mlp_bias", false)?);
    for layer in &mut model.blocks {
        (layer.qkv_bias, layer.output_bias, layer.mlp.bias) = (attention, attention, mlp);
    }
    Ok(model)
}

/// A model with Llama's layers, all alike and without biases or windows, and with Llama's names.
pub(super) fn llama_like(
    keys: Keys<'_>,
    model_type: &'static str,
    defaults: Defaults,
) -> Result<ModelConfig, ModelError> {
    let sizes = defaults.sizes;
    let hidden = keys.size("hidden_size", Some(sizes.hidden))?;
    let heads = keys.size("num_attention_heads", Some(sizes.heads))?;
    let kv_heads = keys.size_or_null("num_key_value_heads", defaults.kv_heads)?.unwrap_or(heads);
    let head_dim = match (keys.value("head_dim"), defaults.head_dim) {
        (None, None) => head_dim(hidden, heads, "num_attention_heads")?,
        (_, default) => keys.size("head_dim", default)?,
    };
    if !heads.is_multiple_of(kv_heads) {
        return Err(invalid("num_key_value_heads", format!("a divisor of {heads}"), kv_heads));
    }
    let max_positions = keys.size("max_position_embeddings", Some(defaults.max_positions))?;
    let (activation, name) = defaults.activation;
    let layer = LayerConfig {
        attention: AttentionShape {
            heads,
            kv_heads,
            head_dim,
            value_dim: head_dim,
            scale: (head_dim as f64).powf(-0.5),
            cap: None,
            window: None,
            rope: Some(defaults.rope.read(keys, head_dim, max_positions)?),
        },
        head_norm: None,
        latent: None,
        adjacent_pairs: false,
        qkv_bias: false,
        output_bias: false,
        mlp: MlpConfig {
            inner: keys.size("intermediate_size", Some(sizes.inner))?,
            activation: keys.activation(activation, name)?,
            gated: true,
            bias: false,
            experts: None,
        },
        parallel: false,
    };
    let layers = keys.layers("num_hidden_layers", sizes.layers)?;
    let (eps, default) = defaults.eps;
    let eps = keys.number(eps, Some(default))?;
    Ok(ModelConfig {
        model_type,
        shape: Shape {
            vocab: keys.size("vocab_size", Some(sizes.vocab))?,
            hidden,
            norm: Norm { kind: NormKind::Rms, eps },
            embedding_scale: 1.0,
            logit_cap: None,
        },
        layers,
        blocks: vec![layer; layers],
        tied_head: keys.flag("tie_word_embeddings", defaults.tied_head)?,
        head_bias: false,
        positions: None,
        skipped_positions: 0,
        max_positions,
        longest: defaults.rope.longest(keys, max_positions)?,
        further: 0,
        folded: Folded::NONE,
        names: Names::LLAMA,
    })
}

/// Number of channels per head if the heads share the hidden size.
pub(super) fn head_dim(hidden: usize, heads: usize, key: &str) -> Result<usize, ModelError> {
    if hidden.is_multiple_of(heads) {
        Ok(hidden / heads)
    } else {
        Err(invalid(key, format!("a divisor of the hidden size {hidden}"), heads))
    }
}
