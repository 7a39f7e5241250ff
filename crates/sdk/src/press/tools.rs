//! What scores are made with: norms, pooling, standard scores, random numbers, linear equations.

use super::{Layer, Scores, dot};

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

/// Reproducible random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers that depend on each of these.
    pub fn new(seeds: &[u64]) -> Self {
        let mut random = Random(0x5851_f42d_4c95_7f2d);
        for seed in seeds {
            random.0 ^= *seed;
            random.0 = random.bits();
        }
        random
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Even in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Normal, of mean 0 and deviation 1.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// A symmetric positive definite matrix `[size, size]`, factored: `L L^T`.
#[derive(Clone, Debug)]
pub struct Cholesky {
    size: usize,
    lower: Vec<f64>,
}

impl Cholesky {
    /// Factors a matrix, of which the lower half is read; `None` when it is not positive definite.
    pub fn new(size: usize, mut matrix: Vec<f64>) -> Option<Self> {
        for row in 0..size {
            for column in 0..=row {
                let (above, below) = (&matrix[column * size..], &matrix[row * size..]);
                let sum: f64 = above[..column].iter().zip(below).map(|(a, b)| a * b).sum();
                let rest = matrix[row * size + column] - sum;
                matrix[row * size + column] = match row == column {
                    true if rest > 0.0 => rest.sqrt(),
                    true => return None,
                    false => rest / matrix[column * size + column],
                };
            }
        }
        Some(Cholesky { size, lower: matrix })
    }

    /// `x^T A^-1 x`.
    pub fn inverse_form(&self, x: &[f64]) -> f64 {
        // |L^-1 x|^2
        let mut solved: Vec<f64> = Vec::with_capacity(self.size);
        for (row, x) in x.iter().enumerate() {
            let lower = &self.lower[row * self.size..][..=row];
            let sum: f64 = lower.iter().zip(&solved).map(|(l, y)| l * y).sum();
            solved.push((x - sum) / lower[row]);
        }
        solved.iter().map(|y| y * y).sum()
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

    #[test]
    fn random_numbers_have_their_moments_and_depend_on_every_seed() {
        let mut random = Random::new(&[1, 2]);
        let normal: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = normal.iter().sum::<f64>() / 20_000.0;
        let square = normal.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.05, "{mean} {square}");
        let first = |seeds: &[u64]| Random::new(seeds).bits();
        assert_eq!(first(&[1, 2]), first(&[1, 2]));
        assert!(first(&[1, 2]) != first(&[2, 1]) && first(&[1, 2]) != first(&[1, 3]));
    }

    #[test]
    fn equations_are_solved() {
        let matrix = vec![4.0, 0.0, 2.0, 3.0];
        let form = Cholesky::new(2, matrix).unwrap().inverse_form(&[1.0, 2.0]);
        // The inverse of [[4, 2], [2, 3]] is [[3, -2], [-2, 4]] / 8.
        assert!((form - (3.0 - 8.0 + 16.0) / 8.0).abs() < 1e-12, "{form}");
        assert!(Cholesky::new(2, vec![1.0, 0.0, 2.0, 1.0]).is_none());
        assert!(Cholesky::new(1, vec![f64::NAN]).is_none());
    }
}
