//! cur: approximate leverage of keys and values, as in CurDKV, <https://arxiv.org/abs/2509.15038>.

use strait_codec_kit::Random;
use strait_sdk::prelude::*;
use strait_sdk::press::{Head, dot};

/// Parameters of cur.
#[derive(Params, Debug)]
pub struct CurParams {
    /// What the score is made of.
    #[param(default = "kv_product")]
    leverage: Leverage,
    /// Entries over which squares are divided by their sum; 0 for all entries.
    #[param(default = 16)]
    window: usize,
    /// Whether keys and values are projected to 20 random directions first.
    #[param(default = false)]
    random_projection: bool,
}

/// What the score is made of.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leverage {
    /// The squared length of the key.
    Key,
    /// The squared length of the value.
    Value,
    /// The mean of both.
    KvAvg,
    /// Their product.
    KvProduct,
}

/// Squared lengths of key and value, each as a share of its window; sinks get 1.
#[derive(Debug)]
pub struct Cur(CurParams);

/// Directions of the random projection.
const DIRECTIONS: usize = 20;

impl Press for Cur {
    const INFO: PressInfo = PressInfo {
        id: "cur",
        summary: "the entries with the longest keys and values of their neighbourhood",
        paper: "https://arxiv.org/abs/2509.15038",
        sinks: 4,
        ..PressInfo::DEFAULT
    };
    type Params = CurParams;

    fn open(params: CurParams) -> Result<Self> {
        Ok(Cur(params))
    }

    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        let head = |head: &Head<'_>| {
            let keys = self.shares(layer, head.keys(), 0);
            let values = self.shares(layer, head.values(), 1);
            let pairs = keys.iter().zip(&values);
            let mut scores: Vec<f32> = match self.0.leverage {
                Leverage::Key => keys,
                Leverage::Value => values,
                Leverage::KvAvg => pairs.map(|(k, v)| (k + v) / 2.0).collect(),
                Leverage::KvProduct => pairs.map(|(k, v)| k * v).collect(),
            };
            divide_by_sum(&mut scores);
            scores.iter_mut().take(layer.sinks()).for_each(|score| *score = 1.0);
            scores
        };
        Ok(layer.heads().iter().map(head).collect())
    }
}

impl Cur {
    /// Squared lengths as shares of their window, or as they are without windows.
    fn shares<'r>(
        &self,
        layer: &Layer<'_>,
        rows: impl Iterator<Item = &'r [f32]>,
        stream: u64,
    ) -> Vec<f32> {
        let mut projection = Vec::new();
        let square = |row: &[f32]| {
            if !self.0.random_projection {
                return dot(row, row);
            }
            if projection.is_empty() {
                let mut random = Random::new(&[layer.seed(), layer.index() as u64, stream]);
                let scale = 1.0 / (DIRECTIONS as f64).sqrt();
                let count = DIRECTIONS * row.len();
                #[allow(clippy::cast_possible_truncation)]
                projection.extend((0..count).map(|_| (random.normal() * scale) as f32));
            }
            projection.chunks_exact(row.len()).map(|direction| dot(direction, row).powi(2)).sum()
        };
        let mut squares: Vec<f32> = rows.map(square).collect();
        if self.0.window > 0 {
            squares.chunks_mut(self.0.window).for_each(divide_by_sum);
        }
        squares
    }
}

fn divide_by_sum(values: &mut [f32]) {
    let sum: f32 = values.iter().sum();
    if sum > 0.0 {
        values.iter_mut().for_each(|value| *value /= sum);
    }
}
