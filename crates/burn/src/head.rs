//! Log-softmax of scored positions on the device. Logits stay there: what travels is one table of
//! two or three figures a position.

use burn_tensor::backend::Backend;
use burn_tensor::{DType, FloatDType, Int, Tensor, TensorData};
use strait_ops::{OpsError, SequenceScores};

use crate::product::{Factors, product};

/// Logits that are computed at a time, and kept for a reference.
pub(crate) const LOGITS_AT_A_TIME: usize = 64 << 20;

/// Logits `[rows, vocab]`, log-sum-exps `[rows, 1]` and most likely tokens `[rows, 1]` of a run of
/// scored positions.
pub(crate) struct Kept<B: Backend> {
    logits: Tensor<B, 2>,
    log_total: Tensor<B, 2>,
    highest: Tensor<B, 2>,
    top: Tensor<B, 2, Int>,
}

impl<B: Backend> Kept<B> {
    /// Logits of the rows `x`, at most `cap` if there is one, and all that follows from them, in f32.
    pub(crate) fn of(
        x: Tensor<B, 2>,
        head: &Tensor<B, 2>,
        cap: Option<f64>,
        factors: Factors,
    ) -> Kept<B> {
        let logits = product(x.cast(FloatDType::F32), head.clone().transpose(), factors);
        let logits = match cap {
            Some(cap) => (logits / cap).tanh() * cap,
            None => logits,
        };
        let (highest, top) = logits.clone().max_dim_with_indices(1);
        let total = (logits.clone() - highest.clone()).exp().sum_dim(1);
        Kept { logits, log_total: highest.clone() + total.log(), highest, top }
    }

    /// Negative log-likelihoods `[rows, 1]` of `targets`.
    pub(crate) fn nll(&self, targets: &[u32]) -> Tensor<B, 2> {
        let indices: Vec<i32> = targets.iter().map(|&target| target as i32).collect();
        let data = TensorData::new(indices, [targets.len(), 1]);
        let device = self.logits.device();
        let indices = Tensor::<B, 2, Int>::from_data(data, (&device, DType::I32));
        self.log_total.clone() - self.logits.clone().gather(1, indices)
    }

    /// Probability of the most likely token, `[rows, 1]`.
    fn top_probability(&self) -> Tensor<B, 2> {
        (self.highest.clone() - self.log_total.clone()).exp()
    }

    /// Divergence from `reference` and 1 where the most likely token is the same, `[rows, 1]` each.
    fn against(&self, reference: &Kept<B>) -> [Tensor<B, 2>; 2] {
        let p = (reference.logits.clone() - reference.log_total.clone()).exp();
        let mass = p.clone().sum_dim(1);
        let drift = (p * (reference.logits.clone() - self.logits.clone())).sum_dim(1);
        let kld = drift / mass + (self.log_total.clone() - reference.log_total.clone());
        let same = self.top.clone().equal(reference.top.clone()).float();
        [kld, same.cast(FloatDType::F32)]
    }

    /// Number of positions.
    pub(crate) fn rows(&self) -> usize {
        self.logits.dims()[0]
    }

    /// Logits `[1, vocab]` of one position.
    pub(crate) fn row(&self, row: usize) -> Tensor<B, 2> {
        self.logits.clone().narrow(0, row, 1)
    }

    /// Bytes of the logits.
    pub(crate) fn bytes(&self) -> usize {
        self.logits.shape().num_elements() * size_of::<f32>()
    }
}

/// What is read back of a sequence: a row for every scored position.
pub(crate) struct Figures<B: Backend> {
    runs: Vec<Tensor<B, 2>>,
    with_reference: bool,
}

impl<B: Backend> Figures<B> {
    /// No rows yet: likelihood, divergence and agreement, or likelihood and top probability.
    pub(crate) fn new(with_reference: bool) -> Figures<B> {
        Figures { runs: Vec::new(), with_reference }
    }

    /// Adds the rows of one run.
    pub(crate) fn add(&mut self, own: &Kept<B>, targets: &[u32], reference: Option<&Kept<B>>) {
        let mut columns = vec![own.nll(targets)];
        match reference {
            Some(reference) => columns.extend(own.against(reference)),
            None => columns.push(own.top_probability()),
        }
        self.runs.push(Tensor::cat(columns, 1));
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
        if with_reference {
            for &[nll, kld, same] in figures.as_chunks().0 {
                scores.nll.push(f64::from(nll));
                scores.kld.push(kld);
                scores.same_top.push(same > 0.5);
            }
        } else {
            for &[nll, top] in figures.as_chunks().0 {
                scores.nll.push(f64::from(nll));
                scores.top_probability.push(top);
                scores.same_top.push(true);
            }
        }
        Ok(scores)
    }
}
