//! The description of a model, read from the keys of Hugging Face's `config.json`.

pub(crate) mod keys;
pub(crate) mod rope;
#[cfg(test)]
mod tests;
pub(crate) mod unread;

use serde_json::Value;
use strait_ops::{Activation, AttentionShape, NormKind, Routing, Shape};

use crate::error::ModelError;
use crate::families;
use crate::names::Names;

/// The description of a decoder: everything that its weights do not tell.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The family: `model_type` in `config.json`.
    pub model_type: &'static str,
    /// Sizes, and the properties that all layers share.
    pub shape: Shape,
    /// Number of layers.
    pub layers: usize,
    /// One description for each layer.
    pub blocks: Vec<LayerConfig>,
    /// Whether the head shares the embedding.
    pub tied_head: bool,
    /// Whether logits have a bias.
    pub head_bias: bool,
    /// Rows of the table of learned positions, if there is one.
    pub positions: Option<usize>,
    /// Rows of that table before the one of the first token.
    pub skipped_positions: usize,
    /// The longest sequence in tokens that the model was made for; longer ones cause a warning.
    pub max_positions: usize,
    /// The longest sequence in tokens that can be run, for models whose rotary positions depend on
    /// the length beyond it.
    pub longest: Option<usize>,
    /// Stored layers after the last one, which predict further tokens and are not read.
    pub further: usize,
    /// What the weights are changed by.
    pub folded: Folded,
    pub(crate) names: Names,
}

/// Arithmetic that is done on the weights as they are read, so that a backend need not know it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Folded {
    /// Factor of what blocks add to the stream: of their last projections. Blocks must not norm their output.
    pub blocks: f64,
    /// Divisor of the logits, which is that of the final norm.
    pub logits: f64,
    /// Added to the weights of all norms.
    pub norms: f64,
}

impl Folded {
    /// Weights as they are stored.
    pub const NONE: Folded = Folded { blocks: 1.0, logits: 1.0, norms: 0.0 };
}

/// The description of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerConfig {
    /// Heads, window and rotary positions.
    pub attention: AttentionShape,
    /// Norms of queries and keys, if the layer has them.
    pub head_norm: Option<HeadNorm>,
    /// The vectors that queries, keys and values come from, if not from the block's input itself.
    pub latent: Option<LatentConfig>,
    /// Whether the channels of a rotated pair are neighbours in the checkpoint. They are read in the order of
    /// [`RopeConfig`](strait_ops::RopeConfig).
    pub adjacent_pairs: bool,
    /// Whether the q, k and v projections have biases; those from a latent have none.
    pub qkv_bias: bool,
    /// Whether the output projection has a bias.
    pub output_bias: bool,
    /// The MLP.
    pub mlp: MlpConfig,
    /// Whether attention and MLP both read the layer's input.
    pub parallel: bool,
}

/// Multi-head latent attention: keys and values, and possibly queries, are projections of normed vectors of few
/// channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatentConfig {
    /// Channels of the queries' latent, if they have one.
    pub query_rank: Option<usize>,
    /// Channels of the latent of keys and values.
    pub rank: usize,
    /// Key channels that all heads share: the rotated ones.
    pub shared: usize,
}

/// The channels over which the norm of queries and keys is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadNorm {
    /// Each head separately.
    Each,
    /// All heads at once.
    All,
}

/// The description of an MLP.
#[derive(Debug, Clone, PartialEq)]
pub struct MlpConfig {
    /// Channels between the projections; for experts, those of one expert.
    pub inner: usize,
    /// The function between the projections.
    pub activation: Activation,
    /// Whether there is a gate beside the first projection.
    pub gated: bool,
    /// Whether the projections have biases.
    pub bias: bool,
    /// The experts, if there are any.
    pub experts: Option<Experts>,
}

/// The experts of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Experts {
    /// Number of experts that the router chooses from.
    pub count: usize,
    /// How it chooses.
    pub routing: Routing,
    /// Whether the choice has a correction, which shares do not have.
    pub correction: bool,
    /// The expert of all tokens, if there is one.
    pub shared: Option<SharedExpert>,
}

/// An expert that every token reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedExpert {
    /// Channels between its projections.
    pub inner: usize,
    /// Whether a gate weighs it.
    pub gate: bool,
}

impl Experts {
    /// Experts without corrections and shared ones.
    #[must_use]
    pub fn plain(count: usize, routing: Routing) -> Experts {
        Experts { count, routing, correction: false, shared: None }
    }
}

impl ModelConfig {
    /// Reads a configuration in the style of published checkpoints (`rope_theta`, `rope_scaling`)
    /// or in that of Transformers 5 (`rope_parameters`).
    ///
    /// # Errors
    /// When the family is unknown, or a key is missing or unusable.
    pub fn from_json(config: &Value) -> Result<ModelConfig, ModelError> {
        families::describe(config)
    }

    /// Number of parameters; a tied head counts once.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        let Shape { vocab, hidden, .. } = self.shape;
        let norm = if self.shape.norm.kind == NormKind::Layer { 2 * hidden } else { hidden };
        let norms = self.names.layer_norms().count() * norm;
        let layers: usize = self.blocks.iter().map(|layer| layer.parameters(hidden) + norms).sum();
        let tables = if self.tied_head { 1 } else { 2 };
        let positions = self.positions.map_or(0, |rows| rows + self.skipped_positions);
        let bias = if self.head_bias { vocab } else { 0 };
        (layers + (tables * vocab + positions) * hidden + norm + bias) as u64
    }
}

impl LayerConfig {
    /// Number of parameters without the norms before and after the blocks.
    fn parameters(&self, hidden: usize) -> usize {
        let AttentionShape { heads, kv_heads, head_dim, value_dim, .. } = self.attention;
        let (q, k, v) = (heads * head_dim, kv_heads * head_dim, kv_heads * value_dim);
        let output_bias = if self.output_bias { hidden } else { 0 };
        let head_norms = match self.head_norm {
            None => 0,
            Some(HeadNorm::Each) => 2 * head_dim,
            Some(HeadNorm::All) => q + k,
        };
        let (weights, biases) = match self.latent {
            None => (hidden * (q + k + v), q + k + v),
            Some(LatentConfig { query_rank, rank, shared }) => {
                let own = k - kv_heads * shared;
                let down = hidden * (rank + shared) + rank + rank * (own + v);
                let (query, bias) = match query_rank {
                    None => (hidden * q, 0),
                    Some(rank) => (hidden * rank + rank + rank * q, rank),
                };
                (down + query, rank + shared + bias)
            }
        };
        let qkv_bias = if self.qkv_bias { biases } else { 0 };
        let output = heads * value_dim * hidden;
        let attention = weights + qkv_bias + output + output_bias + head_norms;
        let MlpConfig { inner, gated, bias, .. } = self.mlp;
        let ups = if gated { 2 } else { 1 };
        let network = |inner| {
            let biases = if bias { ups * inner + hidden } else { 0 };
            (ups + 1) * hidden * inner + biases
        };
        let Some(Experts { count, correction, shared, .. }) = self.mlp.experts else {
            return attention + network(inner);
        };
        let correction = if correction { count } else { 0 };
        let shared =
            shared.map_or(0, |shared| network(shared.inner) + if shared.gate { hidden } else { 0 });
        attention + count * network(inner) + count * hidden + correction + shared
    }
}
