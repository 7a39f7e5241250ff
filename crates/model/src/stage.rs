//! A stage: consecutive layers of the model on one device.

use std::any::Any;
use std::ops::Range;

use crate::error::ModelError;
use crate::hidden::Hidden;

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

    /// First stage: embeds `batch` sequences of `tokens.len() / batch` tokens and runs its layers.
    ///
    /// # Errors
    /// When this is not the first stage, a token is not in the vocabulary, `tokens` does not
    /// divide into `batch` sequences, or the device fails.
    fn embed(&mut self, tokens: &[u32], batch: usize) -> Result<Hidden, ModelError>;

    /// Runs the layers of this stage.
    ///
    /// # Errors
    /// When the hidden states do not fit the model, or the device fails.
    fn forward(&mut self, hidden: Hidden) -> Result<Hidden, ModelError>;

    /// Last stage: scores the baseline and keeps its logits. `score` has one range for each
    /// sequence of `hidden`; norm and head run on the scored positions only.
    ///
    /// # Errors
    /// When this is not the last stage, the ranges do not fit, or the device fails.
    fn reference(
        &mut self,
        hidden: &Hidden,
        score: &[ScoreRange],
    ) -> Result<(Vec<SequenceScores>, Reference), ModelError>;

    /// Last stage: scores `hidden` against a reference. Sequence `i` of `hidden` is compared with
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
}

/// The scored positions of one sequence: `targets[i]` is predicted at `first_position + i`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoreRange {
    /// Position (in the sequence) whose logits predict the first target.
    pub first_position: usize,
    /// The tokens to predict.
    pub targets: Vec<u32>,
}

/// Scores of one sequence, one value for each target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SequenceScores {
    /// Negative log-likelihood of the target in nats.
    pub nll: Vec<f64>,
    /// Kullback-Leibler divergence from the baseline's distribution in nats; empty for the
    /// baseline itself.
    pub kld: Vec<f32>,
    /// Whether the most likely token is the baseline's; empty for the baseline itself.
    pub same_top: Vec<bool>,
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
