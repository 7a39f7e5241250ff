//! Scored positions and their scores.

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
    /// Probability of the most likely token; empty unless this is the baseline.
    pub top_probability: Vec<f32>,
    /// Whether the most likely token equals the baseline's; empty for the baseline itself.
    pub same_top: Vec<bool>,
}
