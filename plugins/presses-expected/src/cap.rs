//! cap: values that the other values span least, weighed by how much queries look at them,
//! <https://arxiv.org/abs/2604.25975>.

use strait_codec_kit::Cholesky;
use strait_codec_kit::scores::{norm, raise};
use strait_sdk::prelude::*;
use strait_sdk::press::abi::QUERIES;

use crate::future::{future_queries, mean};

/// Parameters of cap.
#[derive(Params, Debug)]
pub struct CapParams {
    /// How sharply entries are weighed by their likeness to the queries.
    #[param(default = 5.0, min = 0.0)]
    tau: f64,
    /// Tokens to come over whose positions the rotation is averaged.
    #[param(default = 512)]
    future: usize,
    /// What is added to a weight in the matrix.
    #[param(default = 1e-6, min = 0.0)]
    epsilon: f64,
}

/// For each attention head, `w = exp(tau (cos(k, m) - largest))` with the mean `m` of the queries
/// (without those of the sinks) turned by the mean rotation of the next positions, and
/// `A = I + sum (w + epsilon) v v^T`; the score is `w v^T A^-1 v`, mean over the heads of a group.
/// Sinks get the largest score plus 1.
#[derive(Debug)]
pub struct Cap(CapParams);

impl Press for Cap {
    const INFO: PressInfo = PressInfo {
        id: "cap",
        summary: "the entries whose values the others span least, by likeness to the queries",
        paper: "https://arxiv.org/abs/2604.25975",
        side_information: &[QUERIES],
        sinks: 4,
        ..PressInfo::DEFAULT
    };
    type Params = CapParams;

    fn open(params: CapParams) -> Result<Self> {
        Ok(Cap(params))
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::AllQueries]
    }

    #[allow(clippy::cast_possible_truncation)]
    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        let (group, sinks) = (layer.group(), layer.sinks());
        let rotation = layer.rope().mean_rotation(layer.tokens_seen(), self.0.future);
        let mut scores: Scores = Vec::with_capacity(layer.heads().len());
        for (kv_head, head) in layer.heads().iter().enumerate() {
            let keys = layer.rotated_keys(kv_head);
            let keys: Vec<&[f32]> = keys.chunks_exact(layer.head_dim()).skip(sinks).collect();
            let values: Vec<Vec<f64>> = head
                .values()
                .skip(sinks)
                .map(|value| value.iter().copied().map(f64::from).collect())
                .collect();
            let mut row = vec![0.0; head.len()];
            for attention_head in kv_head * group..(kv_head + 1) * group {
                let queries = future_queries(layer, attention_head, &rotation)?;
                let weights = self.weights(&mean(&queries, layer.head_dim()), &keys);
                let spanned = self.capacity(&weights, &values, head.value_dim())?;
                let scored = weights.iter().zip(&values).zip(row.iter_mut().skip(sinks));
                for ((weight, value), score) in scored {
                    *score += (weight * spanned.inverse_form(value) / group as f64) as f32;
                }
            }
            scores.push(row);
        }
        raise(&mut scores, 1.0, |_, entry| entry < sinks);
        Ok(scores)
    }
}

impl Cap {
    fn weights(&self, anchor: &[f64], keys: &[&[f32]]) -> Vec<f64> {
        let length = anchor.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
        let cosine = |key: &&[f32]| {
            let product: f64 = anchor.iter().zip(*key).map(|(m, k)| m * f64::from(*k)).sum();
            (product / (length * f64::from(norm(key)).max(1e-12))).clamp(-1.0, 1.0)
        };
        let cosines: Vec<f64> = keys.iter().map(cosine).collect();
        let most = cosines.iter().copied().fold(-1.0, f64::max);
        cosines.iter().map(|cosine| (self.0.tau * (cosine - most)).exp()).collect()
    }

    /// `I + sum (w + epsilon) v v^T`, factored.
    fn capacity(&self, weights: &[f64], values: &[Vec<f64>], dim: usize) -> Result<Cholesky> {
        let mut matrix = vec![0.0; dim * dim];
        for (weight, value) in weights.iter().zip(values) {
            for (row, x) in value.iter().enumerate() {
                let scaled = (weight + self.0.epsilon) * x;
                let line = &mut matrix[row * dim..][..=row];
                line.iter_mut().zip(value).for_each(|(sum, y)| *sum += scaled * y);
            }
        }
        (0..dim).for_each(|i| matrix[i * dim + i] += 1.0);
        Cholesky::new(dim, matrix).ok_or_else(|| "values: expected finite numbers".into())
    }
}
