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
    /// One for each channel, as stored.
    pub weight: Vec<f32>,
    /// One for each channel.
    pub bias: Option<Vec<f32>>,
}

/// An attention block.
#[derive(Debug, Clone)]
pub struct AttentionTensors {
    /// What the block computes.
    pub shape: AttentionShape,
    /// The norm before the block.
    pub norm_in: Option<NormTensors>,
    /// `[heads * head_dim, hidden]`.
    pub query: LinearTensors,
    /// `[kv_heads * head_dim, hidden]`.
    pub key: LinearTensors,
    /// `[kv_heads * head_dim, hidden]`.
    pub value: LinearTensors,
    /// Norms of queries and keys before their rotation.
    pub head_norms: Option<HeadNorms>,
    /// `[hidden, heads * head_dim]`.
    pub output: LinearTensors,
    /// The norm of the block's result.
    pub norm_out: Option<NormTensors>,
}

/// Norms of queries and keys. Each is applied to every run of as many channels as it has weights:
/// `head_dim` for a norm of each head, all for a norm over all heads at once.
#[derive(Debug, Clone)]
pub struct HeadNorms {
    /// Of queries.
    pub query: NormTensors,
    /// Of keys.
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

/// An MLP block, its networks `F` already prepared: a block of experts need not be in memory twice.
#[derive(Debug, Clone)]
pub struct MlpTensors<F> {
    /// The norm before the block.
    pub norm_in: Option<NormTensors>,
    /// One network or many.
    pub network: Network<F>,
    /// The norm of the block's result.
    pub norm_out: Option<NormTensors>,
}

/// What stands in an MLP block.
#[derive(Debug, Clone)]
pub enum Network<F> {
    /// One network for all tokens.
    Dense(F),
    /// Each token goes to some of many networks.
    Experts {
        /// `[experts, hidden]`.
        router: LinearTensors,
        /// How it chooses.
        routing: Routing,
        /// One for each row of the router.
        experts: Vec<F>,
    },
}
