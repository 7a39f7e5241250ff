//! Queries of future tokens, as the queries so far let expect them.

use strait_sdk::prelude::*;

/// The queries of one attention head without those of the sinks, turned by the mean rotation of the
/// next tokens, in f64: `[tokens][head_dim]`.
pub(crate) fn future_queries(
    layer: &Layer<'_>,
    head: usize,
    rotation: &[(f32, f32)],
) -> Result<Vec<Vec<f64>>> {
    let queries = layer.queries()?;
    let turned = |query: &[f32]| {
        let mut query = query.to_vec();
        layer.rope().rotate_by(&mut query, rotation);
        query.into_iter().map(f64::from).collect()
    };
    let sinks = layer.sinks().saturating_sub(queries.first_position());
    Ok(queries.head(head).skip(sinks).map(turned).collect())
}

/// The mean of rows; 0 without rows.
pub(crate) fn mean(rows: &[Vec<f64>], dim: usize) -> Vec<f64> {
    let mut mean = vec![0.0; dim];
    let count = rows.len().max(1) as f64;
    for row in rows {
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x / count);
    }
    mean
}
