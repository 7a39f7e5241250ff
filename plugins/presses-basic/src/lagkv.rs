//! lagkv: how a token's key and value stand out against the tokens after it,
//! <https://arxiv.org/abs/2504.04704>.

use strait_sdk::prelude::*;
use strait_sdk::press::{Head, softmax};

/// Parameters of lagkv.
#[derive(Params, Debug)]
pub struct LagKvParams {
    /// Entries of a partition; each is measured against the next one.
    #[param(default = 128, min = 1)]
    lag: usize,
    /// Whether scores of different partitions are compared; otherwise ranks within each are. Equal ranks of
    /// several partitions are divided by position, where kvpress leaves it to `torch.topk`.
    #[param(default = false)]
    cross: bool,
}

/// Entries after the sinks form partitions. Each value is scaled by the extent of its channel in the
/// next partition, `(x - min) / (max - min)`; a token's score is the deviation over channels, softmax
/// over the partition, mean of key and value. Sinks, the last partition and what is left over get 1.
/// With fewer than two partitions, scores are recency.
///
/// A channel that is constant in the next partition counts as 0.
#[derive(Debug)]
pub struct LagKv(LagKvParams);

impl Press for LagKv {
    const INFO: PressInfo = PressInfo {
        id: "lagkv",
        summary: "the entries that stand out against the entries after them",
        paper: "https://arxiv.org/abs/2504.04704",
        sinks: 4,
        ..PressInfo::DEFAULT
    };
    type Params = LagKvParams;

    fn open(params: LagKvParams) -> Result<Self> {
        Ok(LagKv(params))
    }

    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        Ok(layer.heads().iter().map(|head| self.head(head, layer.sinks())).collect())
    }
}

impl LagKv {
    fn head(&self, head: &Head<'_>, sinks: usize) -> Vec<f32> {
        let (lag, entries) = (self.0.lag, head.len());
        let rest = entries.saturating_sub(sinks);
        let mut scores = vec![1.0; entries];
        if rest < 2 * lag {
            for (i, score) in scores.iter_mut().skip(sinks).enumerate() {
                *score = i as f32 / rest as f32;
            }
            return scores;
        }
        for partition in 0..rest / lag - 1 {
            let begin = sinks + partition * lag;
            let keys = part(head.all_keys(), entries, begin, lag);
            let values = part(head.all_values(), entries, begin, lag);
            let mut part: Vec<f32> = keys.iter().zip(&values).map(|(k, v)| (k + v) / 2.0).collect();
            if !self.0.cross {
                part = ranks(&part);
            }
            scores[begin..begin + lag].copy_from_slice(&part);
        }
        scores
    }
}

/// Scores of the entries `begin..begin + lag` of keys or values against the `lag` entries after them.
fn part(all: &[f32], entries: usize, begin: usize, lag: usize) -> Vec<f32> {
    let channels = all.len() / entries;
    let row = |entry: usize| &all[entry * channels..][..channels];
    let mut low = vec![f32::INFINITY; channels];
    let mut high = vec![f32::NEG_INFINITY; channels];
    for entry in begin + lag..begin + 2 * lag {
        for (channel, value) in row(entry).iter().enumerate() {
            low[channel] = low[channel].min(*value);
            high[channel] = high[channel].max(*value);
        }
    }
    let mut scores: Vec<f32> = (begin..begin + lag)
        .map(|entry| {
            let scaled = row(entry).iter().enumerate().map(|(channel, value)| {
                let extent = high[channel] - low[channel];
                if extent > 0.0 { f64::from((value - low[channel]) / extent) } else { 0.0 }
            });
            deviation(&scaled.collect::<Vec<f64>>())
        })
        .collect();
    softmax(&mut scores);
    scores
}

#[allow(clippy::cast_possible_truncation)]
fn deviation(values: &[f64]) -> f32 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (count - 1.0).max(1.0)).sqrt() as f32
}

/// The rank of each score among all, as a share; the later of equals is the higher.
fn ranks(scores: &[f32]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let mut ranks = vec![0.0; scores.len()];
    for (rank, entry) in order.into_iter().enumerate() {
        ranks[entry] = rank as f32 / scores.len() as f32;
    }
    ranks
}
