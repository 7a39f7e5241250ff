//! leverage: how far a key lies outside of what the others span.

use std::ops::Range;

use strait_codec_kit::scores::standardize;
use strait_codec_kit::{Cholesky, Random};
use strait_sdk::prelude::*;

/// Parameters of leverage.
#[derive(Params, Debug)]
pub struct LeverageParams {
    /// Random directions that keys are projected to.
    #[param(default = 48, min = 1)]
    sketch: usize,
}

/// Approximate leverage scores of the keys before rope, standardized over the layer.
#[derive(Debug)]
pub struct Leverage(LeverageParams);

impl Press for Leverage {
    const INFO: PressInfo = PressInfo {
        id: "leverage",
        summary: "the entries whose keys the other keys span least",
        paper: "https://arxiv.org/abs/2507.08143",
        ..PressInfo::DEFAULT
    };
    type Params = LeverageParams;

    fn open(params: LeverageParams) -> Result<Self> {
        Ok(Leverage(params))
    }

    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        scores(layer, self.0.sketch, |kv_head| 0..layer.heads()[kv_head].len())
    }
}

/// Standardized leverage of the entries `range(kv head)` of each head.
pub(crate) fn scores(
    layer: &Layer<'_>,
    sketch: usize,
    range: impl Fn(usize) -> Range<usize>,
) -> Result<Scores> {
    let dim = layer.head_dim();
    let mut scores = Vec::with_capacity(layer.heads().len());
    for kv_head in 0..layer.heads().len() {
        let mut random = Random::new(&[layer.seed(), layer.index() as u64, kv_head as u64]);
        let scale = 1.0 / (sketch as f64).sqrt();
        let directions: Vec<f64> = (0..dim * sketch).map(|_| random.normal() * scale).collect();
        let keys = layer.plain_keys(kv_head);
        let Range { start, end } = range(kv_head);
        scores.push(leverage(&keys[start * dim..end * dim], dim, &directions)?);
    }
    standardize(&mut scores);
    Ok(scores)
}

/// `diag(X (X^T X + 0.01 I)^-1 X^T)` of `X`: keys `[entries, dim]` less their mean, times random
/// directions `[dim, sketch]`. Negative rounding errors become 0.
///
/// # Errors
/// Keys that are not finite.
pub fn leverage(keys: &[f32], dim: usize, directions: &[f64]) -> Result<Vec<f32>> {
    let sketch = directions.len() / dim;
    let count = (keys.len() / dim).max(1) as f64;
    let mut mean = vec![0.0; dim];
    for key in keys.chunks_exact(dim) {
        mean.iter_mut().zip(key).for_each(|(mean, x)| *mean += f64::from(*x) / count);
    }
    let project = |key: &[f32]| {
        let mut row = vec![0.0; sketch];
        for ((x, mean), direction) in key.iter().zip(&mean).zip(directions.chunks_exact(sketch)) {
            let centred = f64::from(*x) - mean;
            row.iter_mut().zip(direction).for_each(|(sum, d)| *sum += centred * d);
        }
        row
    };
    let rows: Vec<Vec<f64>> = keys.chunks_exact(dim).map(project).collect();
    let mut gram = vec![0.0; sketch * sketch];
    for row in &rows {
        for (x, line) in row.iter().zip(gram.chunks_exact_mut(sketch)) {
            line.iter_mut().zip(row).for_each(|(sum, y)| *sum += x * y);
        }
    }
    // Makes the matrix definite when there are fewer keys than directions.
    (0..sketch).for_each(|i| gram[i * sketch + i] += 1e-2);
    let factored =
        Cholesky::new(sketch, gram).ok_or("keys: expected finite numbers, found others")?;
    #[allow(clippy::cast_possible_truncation)]
    let score = |row: &Vec<f64>| factored.inverse_form(row).max(0.0) as f32;
    Ok(rows.iter().map(score).collect())
}
