//! What a backend needs to know about a whole model and each of its blocks, besides the weights.
//!
//! Nothing here names a family of models: a family is one way to fill in these types.

use crate::rope::RopeConfig;

/// Sizes of a decoder, and the properties that all its blocks share.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Size of the vocabulary.
    pub vocab: usize,
    /// Hidden size.
    pub hidden: usize,
    /// The norm that the whole model uses.
    pub norm: Norm,
    /// Factor applied to the rows of the embedding, rounded to the model's dtype.
    pub embedding_scale: f64,
    /// Logits become `cap * tanh(logits / cap)`.
    pub logit_cap: Option<f64>,
}

/// How the norms of a model compute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    /// The formula.
    pub kind: NormKind,
    /// Added to the mean square, or to the variance.
    pub eps: f64,
}

/// A norm's formula. All are computed in f32; they differ in where a half type is rounded, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// `x / rms(x) * weight`, rounded before the weight and after it.
    Rms,
    /// `x / rms(x) * weight`, rounded at the end.
    RmsOnce,
    /// `x / rms(x) * (1 + weight)`, rounded at the end.
    RmsPlusOne,
    /// `(x - mean(x)) / deviation(x) * weight + bias`, rounded at the end.
    Layer,
}

/// An attention block without its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`. Query head `h` reads key head `h / (heads / kv_heads)`.
    pub kv_heads: usize,
    /// Channels of one head's queries and keys.
    pub head_dim: usize,
    /// Channels of one head's values.
    pub value_dim: usize,
    /// Factor applied to the products of queries and keys.
    pub scale: f64,
    /// Scores, which are those products times `scale`, become `cap * tanh(score / cap)`.
    pub cap: Option<f64>,
    /// Keys that a query attends to, its own included; `None` for all before it.
    pub window: Option<usize>,
    /// Rotary positions, if the block has them.
    pub rope: Option<RopeConfig>,
}

/// The activation function between the projections of an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + e^-x)`.
    Silu,
    /// `x (1 + erf(x / sqrt 2)) / 2`.
    Gelu,
    /// `x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2`, rounded at the end.
    GeluTanh,
    /// The function of `GeluTanh`; in a half type every step is rounded: `x^3`, `0.044715 _`, `x +
    /// _`, and so on.
    GeluNew,
    /// The function of `GeluTanh`; in a half type every step of `x sqrt(2/pi) (1 + 0.044715 x x)`
    /// is rounded.
    GeluFast,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)^2`, rounded at the end.
    ReluSquared,
}
