//! Log-softmax of scored positions on the device. Logits stay there; only one table of three
//! figures per position is transferred.

use burn_tensor::{FloatDType, Int, Tensor};
use strait_ops::{OpsError, SequenceScores};

use crate::kernels::Kernels;

/// Number of logits that are computed at a time, and kept for a reference.
pub(crate) const LOGITS_AT_A_TIME: usize = 64 << 20;

/// Logits `[rows, vocab]`, log-sum-exps `[rows, 1]` and most likely tokens `[rows, 1]` of a run of
/// scored positions.
pub(crate) struct Kept<B: Kernels> {
    pub(crate) logits: Tensor<B, 2>,
    pub(crate) log_total: Tensor<B, 2>,
    pub(crate) top: Tensor<B, 2, Int>,
}

/// A table `[vocab, hidden]`, and the bias `[1, vocab]` of logits in f32 if it is a head that has one.
pub(crate) struct Table<B: Kernels> {
    pub(crate) rows: Tensor<B, 2>,
    pub(crate) bias: Option<Tensor<B, 2>>,
}

/// Logits `[rows, vocab]` in f32 of normed rows `x`, at most `cap` if there is one.
pub(crate) fn logits<B: Kernels>(
    x: Tensor<B, 2>,
    head: &Table<B>,
    cap: Option<f64>,
) -> Tensor<B, 2> {
    let mut logits = B::product(x, head.rows.clone().transpose(), FloatDType::F32);
    if let Some(bias) = &head.bias {
        logits = logits + bias.clone();
    }
    match cap {
        Some(cap) => (logits / cap).tanh() * cap,
        None => logits,
    }
}

impl<B: Kernels> Kept<B> {
    /// Number of positions.
    pub(crate) fn rows(&self) -> usize {
        self.logits.dims()[0]
    }

    /// Logits `[1, vocab]` of one position.
    pub(crate) fn row(&self, row: usize) -> Tensor<B, 2> {
        self.logits.clone().narrow(0, row, 1)
    }

    /// Size of the logits in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.logits.shape().num_elements() * size_of::<f32>()
    }
}

/// What is read back for a sequence: one row per scored position.
pub(crate) struct Figures<B: Kernels> {
    runs: Vec<Tensor<B, 2>>,
    with_reference: bool,
}

impl<B: Kernels> Figures<B> {
    /// An empty table: likelihood, divergence and agreement, or likelihood and top probability.
    pub(crate) fn new(with_reference: bool) -> Figures<B> {
        Figures { runs: Vec::new(), with_reference }
    }

    /// Scores the logits of one run of positions, and returns what they need to serve as a
    /// reference.
    pub(crate) fn add(
        &mut self,
        logits: Tensor<B, 2>,
        targets: &[u32],
        reference: Option<&Kept<B>>,
    ) -> Kept<B> {
        let targets = targets.iter().map(|&target| target as i32).collect();
        let targets = B::indices(targets, &logits.device());
        let (kept, figures) = B::compare(logits, targets, reference);
        self.runs.push(figures);
        kept
    }

    /// Reads all rows, at once.
    pub(crate) fn read(
        self,
        read: impl FnOnce(Tensor<B, 2>) -> Result<Vec<f32>, OpsError>,
    ) -> Result<SequenceScores, OpsError> {
        if self.runs.is_empty() {
            return Ok(SequenceScores::default());
        }
        let with_reference = self.with_reference;
        let figures = read(Tensor::cat(self.runs, 0))?;
        let mut scores = SequenceScores::default();
        for &[nll, second, same] in figures.as_chunks().0 {
            scores.nll.push(f64::from(nll));
            scores.same_top.push(same > 0.5);
            if with_reference {
                scores.kld.push(second);
            } else {
                scores.top_probability.push(second);
            }
        }
        Ok(scores)
    }
}
