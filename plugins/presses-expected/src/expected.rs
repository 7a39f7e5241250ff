//! expected-attention: attention that the next queries are expected to pay,
//! <https://arxiv.org/abs/2510.00636>.

use strait_codec_kit::scores::{norm, raise};
use strait_sdk::prelude::*;
use strait_sdk::press::abi::QUERIES;
use strait_sdk::press::softmax;

use crate::future::{future_queries, mean};

/// Parameters of expected-attention.
#[derive(Params, Debug)]
pub struct ExpectedParams {
    /// Tokens to come over whose positions the rotation is averaged.
    #[param(default = 512)]
    future: usize,
    /// Whether the spread of the queries counts, not their mean alone.
    #[param(default = true)]
    covariance: bool,
    /// Whether scores are multiplied by the length of the value.
    #[param(default = true)]
    value_norm: bool,
    /// What is added to a score before it is multiplied by the length of the value.
    #[param(default = 0.0, min = 0.0)]
    epsilon: f64,
}

/// Queries are taken as normal, with the mean `m` and the covariance `S` of the layer's queries
/// (without those of the sinks) turned by the mean rotation of the next positions. The score is the
/// softmax over entries of `k m c + k S k c^2 / 2`, where `c` is the factor of the attention; mean
/// over the heads of a group; times `|v|`. Sinks get the largest score plus 1.
#[derive(Debug)]
pub struct ExpectedAttention(ExpectedParams);

impl Press for ExpectedAttention {
    const INFO: PressInfo = PressInfo {
        id: "expected-attention",
        summary: "the entries that future queries are expected to attend to",
        paper: "https://arxiv.org/abs/2510.00636",
        side_information: &[QUERIES],
        sinks: 4,
        ..PressInfo::DEFAULT
    };
    type Params = ExpectedParams;

    fn open(params: ExpectedParams) -> Result<Self> {
        Ok(ExpectedAttention(params))
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
            let scored = head.len().saturating_sub(sinks);
            let keys = &keys[(head.len() - scored) * layer.head_dim()..];
            let mut row = vec![0.0; head.len()];
            for attention_head in kv_head * group..(kv_head + 1) * group {
                let queries = future_queries(layer, attention_head, &rotation)?;
                let mut expected = self.logits(layer, &queries, keys);
                softmax(&mut expected);
                let scored = row.iter_mut().skip(sinks).zip(expected);
                scored.for_each(|(mean, score)| *mean += score / group as f32);
            }
            if self.0.value_norm {
                for (score, value) in row.iter_mut().zip(head.values()) {
                    *score = (*score + self.0.epsilon as f32) * norm(value);
                }
            }
            scores.push(row);
        }
        raise(&mut scores, 1.0, |_, entry| entry < sinks);
        Ok(scores)
    }
}

impl ExpectedAttention {
    /// Logarithm of the expected `exp(q k c)` for each key, `[entries, head_dim]`.
    #[allow(clippy::cast_possible_truncation)]
    fn logits(&self, layer: &Layer<'_>, queries: &[Vec<f64>], keys: &[f32]) -> Vec<f32> {
        let dim = layer.head_dim();
        let scale = f64::from(layer.attention_scale());
        let mean = mean(queries, dim);
        let spread = if self.0.covariance { covariance(queries, &mean) } else { Vec::new() };
        let logit = |key: &[f32]| {
            let along: f64 = mean.iter().zip(key).map(|(m, k)| m * f64::from(*k)).sum();
            let form: f64 = spread
                .chunks_exact(dim)
                .zip(key)
                .map(|(row, k)| {
                    let product: f32 = row.iter().zip(key).map(|(s, k)| s * k).sum();
                    f64::from(product) * f64::from(*k)
                })
                .sum();
            (along * scale + form * scale * scale / 2.0) as f32
        };
        keys.chunks_exact(dim).map(logit).collect()
    }
}

/// The covariance of rows, `[dim, dim]`, divided by their number.
#[allow(clippy::cast_possible_truncation)]
fn covariance(rows: &[Vec<f64>], mean: &[f64]) -> Vec<f32> {
    let dim = mean.len();
    let mut sums = vec![0.0; dim * dim];
    for row in rows {
        let centred: Vec<f64> = row.iter().zip(mean).map(|(x, m)| x - m).collect();
        for (x, line) in centred.iter().zip(sums.chunks_exact_mut(dim)) {
            line.iter_mut().zip(&centred).for_each(|(sum, y)| *sum += x * y);
        }
    }
    let count = rows.len().max(1) as f64;
    sums.iter().map(|sum| (sum / count) as f32).collect()
}
