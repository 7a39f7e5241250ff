//! The hot operations of a decoder, once for burn's backends and once for the CPU.
//!
//! [`plain`] is written in burn's tensor operations and runs wherever burn does; CUDA takes it.
//! [`cpu`] is written by hand and is what `cpu` means. Everything outside this module is the same
//! for both.

pub(crate) mod cpu;
pub(crate) mod cuda;
pub(crate) mod plain;

use crate::error::ModelError;
use crate::hidden::Hidden;
use crate::stage::{ScoreRange, SequenceScores};

/// A weight `[out, in]`, row-major, with its bias `[out]`.
pub(crate) struct LinearTensors {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
}

/// The weights of an attention block.
pub(crate) struct AttentionTensors {
    pub(crate) norm: Vec<f32>,
    pub(crate) query: LinearTensors,
    pub(crate) key: LinearTensors,
    pub(crate) value: LinearTensors,
    pub(crate) output: LinearTensors,
}

/// The weights of an MLP block.
pub(crate) struct MlpTensors {
    pub(crate) norm: Vec<f32>,
    pub(crate) gate: LinearTensors,
    pub(crate) up: LinearTensors,
    pub(crate) down: LinearTensors,
}

/// Operations on the residual stream of one stage's device.
pub(crate) trait Ops: Send + 'static {
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

    fn device(&self) -> String;

    fn prepare_attention(&self, tensors: AttentionTensors) -> Self::Attention;
    fn prepare_mlp(&self, tensors: MlpTensors) -> Self::Mlp;
    fn prepare_table(&self, weight: Vec<f32>) -> Self::Table;
    fn prepare_norm(&self, weight: Vec<f32>) -> Self::Norm;

    fn upload(&self, hidden: &Hidden) -> Self::Stream;
    fn download(&self, stream: Self::Stream) -> Result<Hidden, ModelError>;

    /// Rows of the embedding for `batch` sequences of equal length.
    fn embed(&self, table: &Self::Table, tokens: &[u32], batch: usize) -> Self::Stream;

    /// `x + output(attention(rope(project(norm(x)))))`.
    fn attention(&mut self, x: Self::Stream, weights: &Self::Attention) -> Self::Stream;

    /// `x + down(silu(gate(norm(x))) * up(norm(x)))`.
    fn mlp(&mut self, x: Self::Stream, weights: &Self::Mlp) -> Self::Stream;

    /// Norm, head and log-softmax on the scored positions of sequence `sequence`. Without a
    /// reference the logits are returned to be one.
    fn score(
        &mut self,
        x: &Self::Stream,
        sequence: usize,
        head: (&Self::Norm, &Self::Table),
        range: &ScoreRange,
        reference: Option<&Self::Logits>,
    ) -> Result<(SequenceScores, Option<Self::Logits>), ModelError>;

    /// Bytes of kept logits.
    fn logits_bytes(logits: &Self::Logits) -> usize;
}
