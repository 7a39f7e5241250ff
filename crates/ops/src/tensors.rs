//! Weights on their way to a backend, as f32 values in host memory.

use crate::routing::Routing;
use crate::shape::{Activation, AttentionShape};

/// A weight `[outputs, inputs]`, row-major, with its bias `[outputs]`.
#[derive(Debug, Clone)]
pub struct LinearTensors {
    /// `[outputs, inputs]`.
    pub weight: Vec<f32>,
    /// `[outputs]`.
    pub bias: Option<Vec<f32>>,
    /// Rows of the weight.
    pub outputs: usize,
    /// Columns of the weight.
    pub inputs: usize,
}

/// The weights of a norm.
#[derive(Debug, Clone)]
pub struct NormTensors {
    /// One weight for each channel, as stored.
    pub weight: Vec<f32>,
    /// One bias for each channel, if there are any.
    pub bias: Option<Vec<f32>>,
    /// What is added to the mean square, if not the same as in the model's other norms.
    pub eps: Option<f64>,
}

/// The weights of an attention block.
#[derive(Debug, Clone)]
pub struct AttentionTensors {
    /// What the block computes.
    pub shape: AttentionShape,
    /// The norm before the block.
    pub norm_in: Option<NormTensors>,
    /// What makes queries, keys and values of the block's input.
    pub projections: Projections,
    /// Norms of queries and keys before their rotation.
    pub head_norms: Option<HeadNorms>,
    /// Output projection, `[hidden, heads * value_dim]`.
    pub output: LinearTensors,
    /// The norm of the block's output.
    pub norm_out: Option<NormTensors>,
}

/// What makes queries, keys and values of a block's input.
#[derive(Debug, Clone)]
pub enum Projections {
    /// One projection each.
    Direct {
        /// `[heads * head_dim, hidden]`.
        query: LinearTensors,
        /// `[kv_heads * head_dim, hidden]`.
        key: LinearTensors,
        /// `[kv_heads * value_dim, hidden]`.
        value: LinearTensors,
    },
    /// Keys and values, and possibly queries, come from normed vectors of few channels.
    Latent(Box<LatentTensors>),
}

/// Multi-head latent attention: `latent = norm(down(x))`, and every head's keys and values are projections of
/// it, except the key channels that all heads share.
#[derive(Debug, Clone)]
pub struct LatentTensors {
    /// The projection to the queries' own latent `[query rank, hidden]`, and its norm, if there are any.
    pub query_down: Option<(LinearTensors, NormTensors)>,
    /// `[heads * head_dim, query rank]`, or `[heads * head_dim, hidden]` if queries have no latent.
    pub query: LinearTensors,
    /// `[rank + shared, hidden]`: the latent, then the key channels that all heads share.
    pub down: LinearTensors,
    /// The norm of the latent.
    pub norm: NormTensors,
    /// `[heads * (head_dim - shared), rank]`: a head's key channels after the shared ones.
    pub key: LinearTensors,
    /// `[heads * value_dim, rank]`.
    pub value: LinearTensors,
}

/// Norms of queries and keys. Each applies to consecutive groups of as many channels as it has
/// weights: `head_dim` for a norm per head, all channels for one norm over all heads.
#[derive(Debug, Clone)]
pub struct HeadNorms {
    /// The norm of the queries.
    pub query: NormTensors,
    /// The norm of the keys.
    pub key: NormTensors,
}

/// A feed-forward network: `down(act(gate(x)) * up(x))`, or `down(act(up(x)))` without a gate.
#[derive(Debug, Clone)]
pub struct FeedForwardTensors {
    /// The function between the projections.
    pub activation: Activation,
    /// `[inner, hidden]`.
    pub gate: Option<LinearTensors>,
    /// `[inner, hidden]`.
    pub up: LinearTensors,
    /// `[hidden, inner]`.
    pub down: LinearTensors,
}

/// An MLP block whose networks `F` are already prepared, so that a block of experts need not be in
/// memory twice.
#[derive(Debug, Clone)]
pub struct MlpTensors<F> {
    /// The norm before the block.
    pub norm_in: Option<NormTensors>,
    /// One network, or many experts.
    pub network: Network<F>,
    /// The norm of the block's output.
    pub norm_out: Option<NormTensors>,
}

/// The network or networks of an MLP block.
#[derive(Debug, Clone)]
pub enum Network<F> {
    /// One network for all tokens.
    Dense(F),
    /// Each token is routed to some of many networks.
    Experts {
        /// Router weights, `[experts, hidden]`.
        router: LinearTensors,
        /// How the router chooses.
        routing: Routing,
        /// What is added to the experts' scores for the choice, `[experts]`.
        correction: Option<Vec<f32>>,
        /// One network for each row of the router.
        experts: Vec<F>,
        /// The expert of all tokens, if there is one; its result is added last.
        shared: Option<Box<Shared<F>>>,
    },
}

/// An expert that every token reads.
#[derive(Debug, Clone)]
pub struct Shared<F> {
    /// Its network.
    pub network: F,
    /// `[1, hidden]`: the sigmoid of this projection multiplies the result.
    pub gate: Option<LinearTensors>,
}
