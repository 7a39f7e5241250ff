//! Two cells window by window: tokens of one window depend on one another, so whole windows are what is paired.

use strait_schema::WindowSums;

/// What a cell loses, by which two of them are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Negative log-likelihood, of which perplexity is the exponential.
    Likelihood,
    /// Divergence from the baseline.
    Divergence,
}

/// Whether both went through the same windows, of which there is one at least.
pub(crate) fn match_up(a: &[WindowSums], b: &[WindowSums]) -> bool {
    let same = |(a, b): (&WindowSums, &WindowSums)| (a.index, a.scored) == (b.index, b.scored);
    !a.is_empty() && a.len() == b.len() && a.iter().zip(b).all(same)
}

/// Of each window what `b` loses above `a`, in nats, and its scored tokens.
pub(crate) fn differences(a: &[WindowSums], b: &[WindowSums], loss: Loss) -> Vec<(f64, f64)> {
    // Beside the same baseline a difference of sums loses no digits that the difference of the two `d`
    // keeps. Models with baselines of their own leave nothing but their own sums.
    let beside = a.iter().zip(b).all(|(a, b)| a.sums.b == b.sums.b);
    let sum: fn(&WindowSums) -> f64 = match loss {
        Loss::Divergence => |w| w.kld_sum,
        Loss::Likelihood if beside => |w| w.sums.d,
        Loss::Likelihood => |w| w.sums.a,
    };
    differences_of(a, b, sum)
}

/// The same of any sum.
pub(crate) fn differences_of(
    a: &[WindowSums],
    b: &[WindowSums],
    sum: fn(&WindowSums) -> f64,
) -> Vec<(f64, f64)> {
    a.iter().zip(b).map(|(a, b)| (sum(b) - sum(a), a.scored as f64)).collect()
}

/// The difference per token.
pub(crate) fn mean(each: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (d, n) = each.fold((0.0, 0.0), |(d, n), (x, y)| (d + x, n + y));
    d / n
}

/// The standard error of that mean; `None` with fewer than two windows. Windows are clusters of unequal size, so the
/// mean is a ratio and its error that of a ratio (Cochran, Sampling Techniques, 3rd edition, section 6.3).
pub(crate) fn error(each: &[(f64, f64)], mean: f64) -> Option<f64> {
    if each.len() < 2 {
        return None;
    }
    let windows = each.len() as f64;
    let tokens: f64 = each.iter().map(|(_, n)| n).sum();
    let squares: f64 = each.iter().map(|(d, n)| (d - mean * n).powi(2)).sum();
    Some((windows / (windows - 1.0) * squares).sqrt() / tokens)
}
