//! The operations that a decoder is made of.

use crate::error::OpsError;
use crate::hidden::Hidden;
use crate::score::{ScoreRange, SequenceScores};

/// Operations on the residual stream of one stage's device.
pub trait Ops: Send + 'static {
    /// Hidden states `[batch, tokens, hidden]` on the device.
    type Stream: Send;
    /// An attention block's weights, prepared.
    type Attention: Send;
    /// An MLP block's weights, prepared.
    type Mlp: Send;
    /// A table `[vocab, hidden]`: embedding, head, or both.
    type Table: Send + Sync;
    /// The final norm's weight, prepared.
    type Norm: Send;
    /// The baseline's logits of one sequence.
    type Logits: Send + 'static;

    /// The device's name, such as `cpu` or `cuda:0`.
    fn device(&self) -> String;

    /// Brings an attention block's weights to the device.
    fn prepare_attention(&self, tensors: AttentionTensors) -> Self::Attention;
    /// Brings an MLP block's weights to the device.
    fn prepare_mlp(&self, tensors: MlpTensors) -> Self::Mlp;
    /// Brings a table `[vocab, hidden]` to the device.
    fn prepare_table(&self, weight: Vec<f32>) -> Self::Table;
    /// Brings the final norm's weight `[hidden]` to the device.
    fn prepare_norm(&self, weight: Vec<f32>) -> Self::Norm;

    /// Brings hidden states to the device.
    fn upload(&self, hidden: &Hidden) -> Self::Stream;
    /// Brings hidden states back to the host.
    ///
    /// # Errors
    /// When the device fails.
    fn download(&self, stream: Self::Stream) -> Result<Hidden, OpsError>;

    /// Rows of the embedding for `batch` sequences of equal length.
    fn embed(&self, table: &Self::Table, tokens: &[u32], batch: usize) -> Self::Stream;

    /// `x + output(attention(rope(project(norm(x)))))`.
    ///
    /// Nobody looks at positions before `wanted` of the result, of any sequence: they may hold
    /// anything finite.
    fn attention(
        &mut self,
        x: Self::Stream,
        weights: &Self::Attention,
        wanted: usize,
    ) -> Self::Stream;

    /// `x + down(silu(gate(norm(x))) * up(norm(x)))`; `wanted` as in [`Ops::attention`].
    fn mlp(&mut self, x: Self::Stream, weights: &Self::Mlp, wanted: usize) -> Self::Stream;

    /// Norm, head and log-softmax on the scored positions of sequence `sequence`. Without a
    /// reference the logits are returned to be one.
    ///
    /// # Errors
    /// When the device fails.
    fn score(
        &mut self,
        x: &Self::Stream,
        sequence: usize,
        head: (&Self::Norm, &Self::Table),
        range: &ScoreRange,
        reference: Option<&Self::Logits>,
    ) -> Result<(SequenceScores, Option<Self::Logits>), OpsError>;

    /// Bytes of kept logits.
    fn logits_bytes(logits: &Self::Logits) -> usize;
}

/// A weight `[out, in]`, row-major, with its bias `[out]`.
#[derive(Debug, Clone)]
pub struct LinearTensors {
    /// `[out, in]`.
    pub weight: Vec<f32>,
    /// `[out]`.
    pub bias: Option<Vec<f32>>,
    /// Rows of the weight.
    pub outputs: usize,
    /// Columns of the weight.
    pub inputs: usize,
}

/// The weights of an attention block.
#[derive(Debug, Clone)]
pub struct AttentionTensors {
    /// Weight of the norm before the block, `[hidden]`.
    pub norm: Vec<f32>,
    /// `[heads * head_dim, hidden]`.
    pub query: LinearTensors,
    /// `[kv_heads * head_dim, hidden]`.
    pub key: LinearTensors,
    /// `[kv_heads * head_dim, hidden]`.
    pub value: LinearTensors,
    /// `[hidden, heads * head_dim]`.
    pub output: LinearTensors,
}

/// The weights of an MLP block.
#[derive(Debug, Clone)]
pub struct MlpTensors {
    /// Weight of the norm before the block, `[hidden]`.
    pub norm: Vec<f32>,
    /// `[intermediate, hidden]`.
    pub gate: LinearTensors,
    /// `[intermediate, hidden]`.
    pub up: LinearTensors,
    /// `[hidden, intermediate]`.
    pub down: LinearTensors,
}
