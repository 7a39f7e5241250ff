//! A stage: consecutive layers of the model on one device.

use std::any::Any;
use std::ops::Range;

use strait_ops::{CacheContents, Hidden, ScoreRange, SequenceScores, Tap};

use crate::error::ModelError;
use crate::past::{CacheVisitor, StageCaches};

/// Consecutive layers on one device. The first stage also holds the embedding, the last one the
/// final norm and the head. Hidden states come from host memory and go back there.
///
/// A sequence's results do not depend on which sequences are stacked with it, on the CPU to the
/// last bit.
pub trait Stage: Send {
    /// The layers of this stage; empty when a cut lies behind the last layer.
    fn layers(&self) -> Range<usize>;

    /// The device, such as `cpu` or `cuda:0`.
    fn device(&self) -> String;

    /// Bytes of its own memory that the device has taken for this process, of all its stages there;
    /// `None` where the model's memory is the host's.
    fn reserved_bytes(&self) -> Option<u64>;

    /// Has the device give back what it has taken and does not use.
    fn release_memory(&mut self);

    /// From now on calls `tap` at the sites that it wants, or no tap; gives the one before back.
    fn set_tap(&mut self, tap: Option<Box<dyn Tap>>) -> Option<Box<dyn Tap>>;

    /// Runs tokens through the layers of this stage, on their own or attending to caches.
    ///
    /// On its own a run ends before the layers of the last stage: those run when it scores, because
    /// there only the scored positions are wanted. Of a model with one stage that leaves the
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

    /// Last stage: takes `states` through what is `ahead` of them, scores the baseline and keeps its
    /// logits. `score` has one range for each sequence; norm and head run on the scored positions
    /// only.
    ///
    /// # Errors
    /// When this is not the last stage, the ranges do not fit, or the tap or the device fails.
    fn reference(
        &mut self,
        states: &Hidden,
        ahead: Ahead,
        score: &[ScoreRange],
    ) -> Result<(Vec<SequenceScores>, Reference), ModelError>;

    /// Last stage: takes `states` through what is `ahead` of them, and scores against a reference.
    /// Sequence `i` is compared with sequence `sequence_of[i]` of the reference; `score` has one
    /// range for each sequence, as long as the reference's.
    ///
    /// # Errors
    /// When this is not the last stage, the ranges do not fit, the reference is another stage's, or
    /// the tap or the device fails.
    fn score(
        &mut self,
        states: &Hidden,
        ahead: Ahead,
        score: &[ScoreRange],
        reference: &Reference,
        sequence_of: &[usize],
    ) -> Result<Vec<SequenceScores>, ModelError>;

    /// Empty caches for `sequences` sequences. Keys are kept rotated by their positions (RoPE), or with
    /// `rotated = false` as they are before.
    fn open_caches(&mut self, sequences: usize, rotated: bool) -> StageCaches;

    /// Gives a layer of this stage, by its number in the model, what it keeps of one sequence.
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

    /// Last stage: logits `[vocab]` of what follows the last token of the first sequence of `states`,
    /// which have been through all layers.
    ///
    /// # Errors
    /// When this is not the last stage, the states do not fit the model, or the device fails.
    fn next_logits(&mut self, states: &Hidden) -> Result<Vec<f32>, ModelError>;

    /// Logits `[vocab]` of scored position `row` of sequence `sequence` of a reference.
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

/// What goes into a stage.
#[derive(Debug, Clone, Copy)]
pub enum RunInput<'a> {
    /// Tokens, for the first stage.
    Tokens {
        /// Those of all sequences, one sequence behind the other.
        tokens: &'a [u32],
        /// Number of sequences, which are equally long.
        batch: usize,
    },
    /// What the stage before gave.
    Hidden(&'a Hidden),
}

/// How a run of tokens goes on from earlier ones: every token attends to what the caches hold, to
/// which its own key and value are added first.
pub struct CachedRun<'a> {
    /// One cache for each layer and sequence; gets the run's keys and values.
    pub caches: &'a mut StageCaches,
    /// Position of the run's first token.
    pub first_position: usize,
    /// Called with every layer's cache once the run has been through the layer.
    pub visitor: Option<&'a mut dyn CacheVisitor>,
}

/// What hidden states still have to go through in the last stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ahead {
    /// Its layers, and then the head: of states that came without caches.
    Layers,
    /// The head alone: of states that came with caches.
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

    /// Bytes that the logits take.
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
