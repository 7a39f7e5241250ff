//! A stage: consecutive layers of the model on one device.

use std::any::Any;
use std::ops::Range;

use strait_ops::{CacheContents, Hidden, ScoreRange, SequenceScores, Tap};

use crate::error::ModelError;
use crate::noise::Noise;
use crate::past::{CacheVisitor, RunInput, StageCaches};

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

    /// [`set_tap`](Stage::set_tap) with noise, or without a tap.
    fn disturb(&mut self, noise: Option<Noise>) {
        self.set_tap(noise.map(|noise| Box::new(noise) as Box<dyn Tap>));
    }

    /// First stage: embeds `batch` sequences of `tokens.len() / batch` tokens and, unless it is the
    /// last stage too, runs its layers.
    ///
    /// # Errors
    /// When this is not the first stage, a token is not in the vocabulary, `tokens` does not
    /// divide into `batch` sequences, or the device fails.
    fn embed(&mut self, tokens: &[u32], batch: usize) -> Result<Hidden, ModelError>;

    /// Runs the layers of this stage. The last one runs its layers when it scores, because there
    /// only the scored positions are wanted.
    ///
    /// # Errors
    /// When this is the last stage, the hidden states do not fit the model, or the device fails.
    fn forward(&mut self, hidden: Hidden) -> Result<Hidden, ModelError>;

    /// Last stage: runs its layers on `hidden`, scores the baseline and keeps its logits. `score`
    /// has one range for each sequence of `hidden`; norm and head run on the scored positions only.
    ///
    /// # Errors
    /// When this is not the last stage, the ranges do not fit, or the device fails.
    fn reference(
        &mut self,
        hidden: &Hidden,
        score: &[ScoreRange],
    ) -> Result<(Vec<SequenceScores>, Reference), ModelError>;

    /// Last stage: runs its layers on `hidden` and scores against a reference. Sequence `i` of `hidden` is compared with
    /// sequence `sequence_of[i]` of the reference; `score` has one range for each sequence of
    /// `hidden`, as long as the reference's.
    ///
    /// # Errors
    /// When this is not the last stage, the ranges do not fit, the reference is another stage's,
    /// or the device fails.
    fn score(
        &mut self,
        hidden: &Hidden,
        score: &[ScoreRange],
        reference: &Reference,
        sequence_of: &[usize],
    ) -> Result<Vec<SequenceScores>, ModelError>;

    /// Empty caches for `sequences` sequences. Keys are kept turned by their positions, or with
    /// `turned = false` as they are before.
    fn open_caches(&mut self, sequences: usize, turned: bool) -> StageCaches;

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

    /// Runs the layers of this stage on a run of tokens that begins at `first_position`, of as many
    /// sequences as there are caches. Every token attends to what the caches hold, to which its own
    /// key and value are added first. Nothing is left out: what the last stage gives has been through all layers.
    ///
    /// # Errors
    /// When the input does not fit, the caches are another stage's, the visitor fails, or the device
    /// does.
    fn run(
        &mut self,
        input: RunInput<'_>,
        caches: &mut StageCaches,
        first_position: usize,
        visitor: Option<&mut dyn CacheVisitor>,
    ) -> Result<Hidden, ModelError>;

    /// Last stage: [`reference`](Stage::reference) of states that have been through all layers.
    ///
    /// # Errors
    /// As there.
    fn reference_of(
        &mut self,
        states: &Hidden,
        score: &[ScoreRange],
    ) -> Result<(Vec<SequenceScores>, Reference), ModelError>;

    /// Last stage: [`score`](Stage::score) of states that have been through all layers.
    ///
    /// # Errors
    /// As there.
    fn score_of(
        &mut self,
        states: &Hidden,
        score: &[ScoreRange],
        reference: &Reference,
        sequence_of: &[usize],
    ) -> Result<Vec<SequenceScores>, ModelError>;

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
