//! How alike two layers are: in the order of their tokens, in the distribution of their values, and in
//! direction.

/// Ranks from 1 upwards, smallest value first; equal values share the mean of their ranks. NaN is the
/// largest.
#[must_use]
pub fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let same = |at: &&usize| values[**at] == values[order[start]];
        let length = order[start..].iter().take_while(same).count().max(1);
        let rank = start as f64 + (length as f64 + 1.0) / 2.0;
        order[start..start + length].iter().for_each(|&at| ranks[at] = rank);
        start += length;
    }
    ranks
}

/// Spearman's correlation: Pearson's correlation of the ranks. NaN if either side has fewer than two
/// different values.
#[must_use]
pub fn spearman(a: &[f32], b: &[f32]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let mut sums = [0.0; 3];
    for (x, y) in a.iter().zip(&b) {
        let (x, y) = (x - mean, y - mean);
        sums = [sums[0] + x * y, sums[1] + x * x, sums[2] + y * y];
    }
    sums[0] / (sums[1] * sums[2]).sqrt()
}

/// Jaccard's index of the sets of the `count` largest values, the first of equals first: the size of the
/// intersection divided by that of the union.
#[must_use]
pub fn jaccard_of_largest(a: &[f32], b: &[f32], count: usize) -> f64 {
    let largest = |values: &[f32]| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
        let mut chosen = vec![false; values.len()];
        order.iter().take(count).for_each(|&at| chosen[at] = true);
        chosen
    };
    let (a, b) = (largest(a), largest(b));
    let both = a.iter().zip(&b).filter(|(a, b)| **a && **b).count();
    let either = a.iter().zip(&b).filter(|(a, b)| **a || **b).count();
    both as f64 / either as f64
}

/// Wasserstein distance of order 1 between two samples of the same size, each sorted.
#[must_use]
pub fn wasserstein_sorted(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).sum();
    sum / a.len() as f64
}

/// KL(a ‖ b) in nats between the histograms of two sorted samples. There are `bins` equal bins between
/// the lower of their 0.1 % quantiles and the higher of their 99.9 % quantiles, one bin below and one
/// above. Every bin counts one extra value, so that none is empty.
#[must_use]
pub fn histogram_divergence_sorted(a: &[f32], b: &[f32], bins: usize) -> f64 {
    let quantile = |values: &[f32], share: f64| {
        let at = (share * (values.len() as f64 - 1.0)).round() as usize;
        values.get(at).map_or(0.0, |x| f64::from(*x))
    };
    let low = quantile(a, 0.001).min(quantile(b, 0.001));
    let high = quantile(a, 0.999).max(quantile(b, 0.999));
    let width = (high - low) / bins as f64;
    let histogram = |values: &[f32]| {
        let mut counts = vec![1.0_f64; bins + 2];
        for x in values.iter().map(|x| f64::from(*x)) {
            let bin = match x {
                x if x < low => 0,
                x if x > high => bins + 1,
                _ if width > 0.0 => 1 + (((x - low) / width) as usize).min(bins - 1),
                _ => 1,
            };
            counts[bin] += 1.0;
        }
        let total: f64 = counts.iter().sum();
        counts.into_iter().map(|count| count / total).collect::<Vec<f64>>()
    };
    histogram(a).iter().zip(histogram(b)).map(|(p, q)| p * (p / q).ln()).sum()
}

/// Cosine of the angle between two vectors; NaN if either is zero.
#[must_use]
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0; 3];
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (f64::from(*x), f64::from(*y));
        sums = [sums[0] + x * y, sums[1] + x * x, sums[2] + y * y];
    }
    sums[0] / (sums[1] * sums[2]).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Reference values from scipy.stats 1.17: rankdata, spearmanr, wasserstein_distance.
    const A: [f32; 6] = [1.0, 2.0, 2.0, 5.0, -1.0, 3.0];
    const B: [f32; 6] = [0.5, 4.0, 1.0, 4.0, 2.0, 8.0];

    #[test]
    fn orders() {
        assert_eq!(ranks(&A), [2.0, 3.5, 3.5, 6.0, 1.0, 5.0]);
        assert!((spearman(&A, &B) - 0.661_764_705_882_352_9).abs() < 1e-12, "{}", spearman(&A, &B));
        assert_eq!(spearman(&A, &A), 1.0);
        assert!(spearman(&A, &[1.0; 6]).is_nan());
        // The largest two are {3, 5} in A and {5, 1} in B.
        assert_eq!(jaccard_of_largest(&A, &B, 2), 1.0 / 3.0);
    }

    #[test]
    fn distributions() {
        let sorted = |mut values: [f32; 6]| {
            values.sort_by(f32::total_cmp);
            values
        };
        let (a, b) = (sorted(A), sorted(B));
        assert!((wasserstein_sorted(&a, &b) - 1.25).abs() < 1e-12);
        assert_eq!(histogram_divergence_sorted(&a, &a, 4), 0.0);
        // Two bins between 0 and 4 with nothing outside: counts (3, 2) and (2, 3) of 5, plus one in each
        // bin.
        let (a, b) = ([0.0, 1.0, 1.0, 3.0, 4.0], [0.0, 1.0, 3.0, 3.0, 4.0]);
        let expected = 4.0 / 9.0 * (4.0_f64 / 3.0).ln() + 3.0 / 9.0 * (3.0_f64 / 4.0).ln();
        assert!((histogram_divergence_sorted(&a, &b, 2) - expected).abs() < 1e-12);
        assert!((cosine(&[1.0, 0.0], &[1.0, 1.0]) - 0.5_f64.sqrt()).abs() < 1e-12);
    }
}
