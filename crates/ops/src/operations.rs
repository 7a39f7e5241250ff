//! The operations that a decoder is made of.

use crate::cache::{CacheContents, Past, ProbeRequest, ProbeResult};
use crate::error::OpsError;
use crate::hidden::Hidden;
use crate::layer_tap::LayerTap;
use crate::score::{ScoreRange, SequenceScores};
use crate::shape::AttentionShape;
use crate::tap::Site;
use crate::tensors::{AttentionTensors, FeedForwardTensors, MlpTensors, NormTensors};

/// Operations on the residual stream of one stage's device.
pub trait Ops: Send + 'static {
    /// Hidden states `[batch, tokens, hidden]` on the device.
    type Stream: Send;
    /// An attention block, prepared for the device.
    type Attention: Send;
    /// The weights of a feed-forward network, prepared for the device.
    type FeedForward: Send;
    /// An MLP block, prepared for the device.
    type Mlp: Send;
    /// A table `[vocab, hidden]`: embedding, head, or both.
    type Table: Send + Sync;
    /// A table of learned positions `[positions, hidden]`.
    type Positions: Send;
    /// The weights of the final norm, prepared for the device.
    type Norm: Send;
    /// Keys and values of one sequence in one attention block.
    type Cache: Send + 'static;
    /// The baseline's logits of one sequence.
    type Logits: Send + 'static;

    /// The device's name, such as `cpu` or `cuda:0`.
    fn device(&self) -> String;

    /// Bytes of the device's own memory that its pool has allocated from the driver; `None` where the model
    /// lives in host memory. The pool grows to the peak demand and shrinks only in
    /// [`release_memory`](Ops::release_memory).
    fn reserved_bytes(&self) -> Option<u64> {
        None
    }

    /// Returns unused memory of the device's pool to the driver.
    fn release_memory(&mut self) {}

    /// Brings an attention block to the device.
    fn prepare_attention(&mut self, tensors: AttentionTensors) -> Self::Attention;
    /// Brings a feed-forward network to the device.
    fn prepare_feed_forward(&mut self, tensors: FeedForwardTensors) -> Self::FeedForward;
    /// Brings the rest of an MLP block to the device.
    fn prepare_mlp(&mut self, tensors: MlpTensors<Self::FeedForward>) -> Self::Mlp;
    /// Brings a table `[vocab, hidden]` to the device, with the bias `[vocab]` of logits if it is a head that
    /// has one.
    fn prepare_table(&mut self, weight: Vec<f32>, bias: Option<Vec<f32>>) -> Self::Table;
    /// Brings learned positions `[positions, hidden]` to the device.
    fn prepare_positions(&mut self, weight: Vec<f32>) -> Self::Positions;
    /// Brings the final norm to the device.
    fn prepare_norm(&mut self, tensors: NormTensors) -> Self::Norm;

    /// Brings hidden states to the device.
    fn upload(&self, hidden: &Hidden) -> Self::Stream;
    /// Brings hidden states back to the host.
    ///
    /// # Errors
    /// When the device fails.
    fn download(&self, stream: Self::Stream) -> Result<Hidden, OpsError>;

    /// Another stream with the same values.
    fn copy(&self, stream: &Self::Stream) -> Self::Stream;

    /// Scaled embedding rows for `batch` sequences of equal length that begin at position `first_position`,
    /// plus learned positions where the model has them.
    fn embed(
        &self,
        table: &Self::Table,
        positions: Option<&Self::Positions>,
        tokens: &[u32],
        batch: usize,
        first_position: usize,
    ) -> Self::Stream;

    /// The attention block's contribution to the stream:
    /// `norm_out(output(attention(rope(head_norms(project(norm_in(x)))))))`.
    ///
    /// Positions of the result before `wanted`, in any sequence, are never read: they may hold anything finite.
    /// With a past, keys and values are appended to its caches, and every token attends to their contents.
    /// `tap` is called at [`Site::Keys`] and [`Site::Values`], and at [`Site::AttentionOutput`] if it wants
    /// partial sums.
    ///
    /// # Errors
    /// When the tap or the device fails.
    fn attention(
        &mut self,
        x: &Self::Stream,
        weights: &Self::Attention,
        wanted: usize,
        past: Option<Past<'_, Self::Cache>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<Self::Stream, OpsError>;

    /// The MLP block's contribution to the stream: `norm_out(network(norm_in(x)))`; `wanted` is as in
    /// [`Ops::attention`]. `tap` is called at [`Site::ExpertDispatch`] and [`Site::ExpertCombine`], and at
    /// [`Site::MlpOutput`] if it wants partial sums.
    ///
    /// # Errors
    /// When the tap or the device fails.
    fn mlp(
        &mut self,
        x: &Self::Stream,
        weights: &Self::Mlp,
        wanted: usize,
        tap: &mut LayerTap<'_>,
    ) -> Result<Self::Stream, OpsError>;

    /// `x + y`, in the model's dtype.
    fn add(&mut self, x: Self::Stream, y: Self::Stream) -> Self::Stream;

    /// Computes `x + attention(x)` for layers whose block outputs are not tapped. A backend that can fuse the
    /// addition into the block's last product does so.
    ///
    /// # Errors
    /// As for [`Ops::attention`].
    fn add_attention(
        &mut self,
        x: Self::Stream,
        weights: &Self::Attention,
        wanted: usize,
        past: Option<Past<'_, Self::Cache>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<Self::Stream, OpsError> {
        let attended = self.attention(&x, weights, wanted, past, tap)?;
        Ok(self.add(x, attended))
    }

    /// Computes `x + mlp(x)`, like [`Ops::add_attention`].
    ///
    /// # Errors
    /// As for [`Ops::mlp`].
    fn add_mlp(
        &mut self,
        x: Self::Stream,
        weights: &Self::Mlp,
        wanted: usize,
        tap: &mut LayerTap<'_>,
    ) -> Result<Self::Stream, OpsError> {
        let given = self.mlp(&x, weights, wanted, tap)?;
        Ok(self.add(x, given))
    }

    /// Computes `x + (mlp(x) + attention(x))`, like [`Ops::add_attention`].
    ///
    /// # Errors
    /// As for [`Ops::attention`] and [`Ops::mlp`].
    fn add_parallel(
        &mut self,
        x: Self::Stream,
        (attention, mlp): (&Self::Attention, &Self::Mlp),
        wanted: usize,
        past: Option<Past<'_, Self::Cache>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<Self::Stream, OpsError> {
        let attended = self.attention(&x, attention, wanted, past, tap)?;
        let given = self.mlp(&x, mlp, wanted, tap)?;
        let given = self.add(given, attended);
        Ok(self.add(x, given))
    }

    /// Passes `x` through `tap` at `site`.
    ///
    /// # Errors
    /// When the tap or the device fails.
    fn tapped(
        &self,
        x: Self::Stream,
        site: Site,
        tap: &mut LayerTap<'_>,
    ) -> Result<Self::Stream, OpsError> {
        // The block has already shown its partial sums to the tap.
        if !tap.wants(site) || tap.ranks(site).is_some() {
            return Ok(x);
        }
        let left = tap.whole(site, self.download(x)?)?;
        Ok(self.upload(&left))
    }

    /// An empty cache for one sequence in a block of this shape. With `rotated`, keys are stored rotated by
    /// their positions (RoPE); otherwise as they are before rotation.
    fn open_cache(&self, shape: &AttentionShape, rotated: bool) -> Self::Cache;
    /// The contents of a cache.
    ///
    /// # Errors
    /// When the device fails.
    fn cache_contents(&self, cache: &Self::Cache) -> Result<CacheContents, OpsError>;
    /// Replaces the contents of a cache; `contents` must fit the block.
    fn set_cache(&mut self, cache: &mut Self::Cache, contents: CacheContents);

    /// Answers `request` about the attention of sequence `sequence` of `x`, the input of the block, whose
    /// tokens begin at `first_position`. The cache already holds their keys and values.
    ///
    /// # Errors
    /// When the device fails.
    fn probe(
        &mut self,
        x: &Self::Stream,
        sequence: usize,
        weights: &Self::Attention,
        past: (&Self::Cache, usize),
        request: &ProbeRequest,
    ) -> Result<ProbeResult, OpsError>;

    /// Norm, head and log-softmax on the scored positions of sequence `sequence`. Without a reference, the
    /// logits are returned so that they can serve as one.
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

    /// Norm and head on one position of a sequence: its logits, `[vocab]`.
    ///
    /// # Errors
    /// When the device fails.
    fn logits(
        &mut self,
        x: &Self::Stream,
        sequence: usize,
        head: (&Self::Norm, &Self::Table),
        position: usize,
    ) -> Result<Vec<f32>, OpsError> {
        // The logits do not depend on the target, so any target will do.
        let range = ScoreRange { first_position: position, targets: vec![0] };
        let (_, kept) = self.score(x, sequence, head, &range, None)?;
        let kept = kept.ok_or_else(|| OpsError::size("kept logits", 1, 0))?;
        self.logits_row(&kept, 0)
    }

    /// The logits kept for scored position `row`, `[vocab]`.
    ///
    /// # Errors
    /// When the device fails.
    fn logits_row(&self, logits: &Self::Logits, row: usize) -> Result<Vec<f32>, OpsError>;

    /// Size of kept logits in bytes.
    fn logits_bytes(logits: &Self::Logits) -> usize;
}
