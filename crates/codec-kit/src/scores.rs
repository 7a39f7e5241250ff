//! What scores of presses are made with: norms, means of groups, pooling, standard scores.

use strait_sdk::press::{Layer, Scores, dot};

/// The length of a vector.
pub fn norm(vector: &[f32]) -> f32 {
    dot(vector, vector).sqrt()
}

/// The mean of the rows of a kv head's attention heads: `row(head)` for each head of the group.
pub fn group_mean<'r>(
    layer: &Layer<'_>,
    kv_head: usize,
    row: impl Fn(usize) -> &'r [f32],
) -> Vec<f32> {
    let group = layer.group();
    let mut mean = vec![0.0; layer.heads()[kv_head].len()];
    for head in kv_head * group..(kv_head + 1) * group {
        mean.iter_mut().zip(row(head)).for_each(|(mean, value)| *mean += value);
    }
    mean.iter_mut().for_each(|mean| *mean /= group as f32);
    mean
}

/// The mean of each value and its neighbours within `kernel / 2`; what is beyond the ends counts as 0.
pub fn average_pool(values: &[f32], kernel: usize) -> Vec<f32> {
    let reach = kernel / 2;
    let mean = |i: usize| {
        let from = i.saturating_sub(reach);
        let to = (i + reach + 1).min(values.len());
        values[from..to].iter().sum::<f32>() / kernel as f32
    };
    (0..values.len()).map(mean).collect()
}

/// Moves and scales all scores of a layer to mean 0 and deviation 1; a deviation below 1e-6 counts as
/// that.
#[allow(clippy::cast_possible_truncation)]
pub fn standardize(scores: &mut Scores) {
    let all = || scores.iter().flatten().copied().map(f64::from);
    let count = all().count() as f64;
    let mean = all().sum::<f64>() / count.max(1.0);
    let squares: f64 = all().map(|score| (score - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0).max(1.0)).sqrt().max(1e-6);
    for score in scores.iter_mut().flatten() {
        *score = ((f64::from(*score) - mean) / deviation) as f32;
    }
}

/// Gives the chosen entries (kv head, entry) the largest of all other scores, plus `above`.
pub fn raise(scores: &mut Scores, above: f32, chosen: impl Fn(usize, usize) -> bool) {
    let mut most = f32::NEG_INFINITY;
    let rows = || scores.iter().enumerate();
    for (head, row) in rows() {
        let others = row.iter().enumerate().filter(|(entry, _)| !chosen(head, *entry));
        most = others.fold(most, |most, (_, score)| if *score > most { *score } else { most });
    }
    let most = if most == f32::NEG_INFINITY { 0.0 } else { most };
    for (head, row) in scores.iter_mut().enumerate() {
        let chosen = row.iter_mut().enumerate().filter(|(entry, _)| chosen(head, *entry));
        chosen.for_each(|(_, score)| *score = most + above);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooling_counts_what_is_beyond_the_ends() {
        assert_eq!(average_pool(&[3.0, 6.0, 9.0, 0.0], 3), [3.0, 6.0, 5.0, 3.0]);
        assert_eq!(average_pool(&[5.0], 5), [1.0]);
        assert_eq!(average_pool(&[], 5), [0.0; 0]);
    }

    #[test]
    fn scores_are_standardized_over_all_heads() {
        let mut scores = vec![vec![1.0, 2.0], vec![3.0]];
        standardize(&mut scores);
        assert_eq!(scores, [vec![-1.0, 0.0], vec![1.0]]);
        let mut same = vec![vec![4.0]];
        standardize(&mut same);
        assert_eq!(same, [[0.0]]);
        standardize(&mut vec![vec![]]);
    }

    #[test]
    fn chosen_entries_are_raised_above_all() {
        let mut scores = vec![vec![9.0, 2.0], vec![3.0, f32::NAN]];
        raise(&mut scores, 1.0, |head, entry| (head, entry) == (0, 0) || (head, entry) == (1, 1));
        assert_eq!(scores, [[4.0, 2.0], [3.0, 4.0]]);
        let mut all = vec![vec![9.0]];
        raise(&mut all, 1.0, |_, _| true);
        assert_eq!(all, [[1.0]]);
    }
}
