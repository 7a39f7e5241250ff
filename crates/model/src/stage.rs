//! A stage: consecutive layers of the model on one device.

use std::any::Any;
use std::ops::Range;

use strait_ops::{CacheContents, Hidden, ScoreRange, SequenceScores, Tap};

use crate::error::ModelError;
use crate::past::{CacheVisitor, StageCaches};

/// Consecutive layers on one device. The first stage also holds the embedding, the last one the final
/// norm and the head. Hidden states come from host memory and return there.
///
/// A sequence's results do not depend on which sequences are stacked with it; on the CPU this holds to
/// the last bit.
pub trait Stage: Send {
    /// The layers of this stage; empty when a cut lies after the last layer.
    fn layers(&self) -> Range<usize>;

    /// The device, such as `cpu` or `cuda:0`.
    fn device(&self) -> String;

    /// Bytes of its own memory that the device has allocated for this process, over all its stages;
    /// `None` if the model lives in host memory.
    fn reserved_bytes(&self) -> Option<u64>;

    /// Makes the device return memory that it has allocated but does not use.
    fn release_memory(&mut self);

    /// Sets the tap to call at the sites that it wants, or none; returns the previous one.
    fn set_tap(&mut self, tap: Option<Box<dyn Tap>>) -> Option<Box<dyn Tap>>;

    /// Runs tokens through the layers of this stage, without caches or attending to them.
    ///
    /// Without caches, a run ends before the layers of the last stage. Those run when the stage scores,
    /// because only the scored positions are needed there. For a model with one stage, that leaves the
    /// embedding. With caches nothing is left out: the states have been through all layers.
    ///
    /// # Errors
    /// When the input is not this stage's or does not fit the model, the last stage is given states
    /// without caches, the caches are another stage's, the visitor or the tap fails, or the device
    /// does.
    fn run(
        &mut self,
        input: RunInput<'_>,
        cached: Option<CachedRun<'_>>,
    ) -> Result<Hidden, ModelError>;

    /// On the last stage: takes `states` through what lies `ahead` of them, scores the baseline and
    /// keeps its logits. `score` has one range for each sequence; norm and head run on the scored
    /// positions only.
    ///
    /// # Errors
    /// When this is not the last stage, the ranges do not fit, or the tap or the device fails.
    fn reference(
        &mut self,
        states: &Hidden,
        ahead: Ahead,
        score: &[ScoreRange],
    ) -> Result<(Vec<SequenceScores>, Reference), ModelError>;

    /// On the last stage: takes `states` through what lies `ahead` of them, and scores them against a
    /// reference. Sequence `i` is compared with sequence `sequence_of[i]` of the reference; `score` has
    /// one range for each sequence, as long as the reference's.
    ///
    /// # Errors
    /// When this is not the last stage, the ranges do not fit, the reference is another stage's, or the
    /// tap or the device fails.
    fn score(
        &mut self,
        states: &Hidden,
        ahead: Ahead,
        score: &[ScoreRange],
        reference: &Reference,
        sequence_of: &[usize],
    ) -> Result<Vec<SequenceScores>, ModelError>;

    /// Empty caches for `sequences` sequences. Keys are stored rotated by their positions (RoPE), or,
    /// with `rotated = false`, as they are before rotation.
    fn open_caches(&mut self, sequences: usize, rotated: bool) -> StageCaches;

    /// Sets what a layer of this stage, given by its number in the model, keeps of one sequence.
    ///
    /// # Errors
    /// When there is no such layer or sequence, or the contents do not fit the block.
    fn fill_cache(
        &mut self,
        caches: &mut StageCaches,
        layer: usize,
        sequence: usize,
        contents: CacheContents,
    ) -> Result<(), ModelError>;

    /// On the last stage: the logits `[vocab]` for the token after the last one of the first sequence
    /// of `states`, which have been through all layers.
    ///
    /// # Errors
    /// When this is not the last stage, the states do not fit the model, or the device fails.
    fn next_logits(&mut self, states: &Hidden) -> Result<Vec<f32>, ModelError>;

    /// The logits `[vocab]` of scored position `row` of sequence `sequence` of a reference.
    ///
    /// # Errors
    /// When there is no such row, the reference is another stage's, or the device fails.
    fn logits(
        &mut self,
        reference: &Reference,
        sequence: usize,
        row: usize,
    ) -> Result<Vec<f32>, ModelError>;
}

/// The input of a stage.
#[derive(Debug, Clone, Copy)]
pub enum RunInput<'a> {
    /// Tokens, for the first stage.
    Tokens {
        /// The tokens of all sequences, concatenated.
        tokens: &'a [u32],
        /// Number of sequences, which are equally long.
        batch: usize,
    },
    /// Hidden states, as the previous stage returned them.
    Hidden(&'a Hidden),
}

/// How a run of tokens continues earlier ones: every token attends to the contents of the caches, to
/// which its own key and value are added first.
pub struct CachedRun<'a> {
    /// One cache for each layer and sequence, extended by the run's keys and values.
    pub caches: &'a mut StageCaches,
    /// Position of the run's first token.
    pub first_position: usize,
    /// Called with every layer's cache once the run has been through the layer.
    pub visitor: Option<&'a mut dyn CacheVisitor>,
}

/// The part of the last stage that hidden states still have to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ahead {
    /// The stage's layers and then the head, for states that came without caches.
    Layers,
    /// The head alone, for states that came with caches.
    Head,
}

/// The baseline's logits at the scored positions, kept where the last stage runs.
pub struct Reference {
    pub(crate) inner: Box<dyn Any + Send>,
    pub(crate) rows: Vec<usize>,
    pub(crate) bytes: usize,
}

impl Reference {
    /// Number of sequences.
    #[must_use]
    pub fn sequences(&self) -> usize {
        self.rows.len()
    }

    /// Size of the logits in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes
    }
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reference {{ rows: {:?}, bytes: {} }}", self.rows, self.bytes)
    }
}
