//! Log-softmax, NLL and KL divergence written plainly in `f64`: the reference for the fast versions
//! of other crates.

/// Natural log-probabilities of one position from its logits, over the whole vocabulary, with no
/// epsilon. A logit of −∞ has log-probability −∞; all logits −∞, or one NaN or +∞, give NaN.
///
/// # Shapes
/// `logits` `[vocabulary]` → `[vocabulary]`
#[must_use]
pub fn log_softmax_f64(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().fold(f64::NEG_INFINITY, |max, &x| max.max(f64::from(x)));
    let sum: f64 = logits.iter().map(|&x| (f64::from(x) - max).exp()).sum();
    let log_sum = sum.ln();
    logits.iter().map(|&x| f64::from(x) - max - log_sum).collect()
}

/// Negative log-likelihood in nats of token `target`; infinite for a token outside the vocabulary.
#[must_use]
pub fn nll_f64(logits: &[f32], target: usize) -> f64 {
    log_softmax_f64(logits).get(target).map_or(f64::INFINITY, |log_p| -log_p)
}

/// KL(reference ‖ model) in nats at one position, `Σ p·(ln p − ln q)` over the whole vocabulary.
/// Infinite where the model gives probability 0 to a token that the reference considers possible,
/// and for vocabularies of different size.
///
/// # Shapes
/// `reference_logits` and `logits` `[vocabulary]`
#[must_use]
pub fn kld_f64(reference_logits: &[f32], logits: &[f32]) -> f64 {
    if reference_logits.len() != logits.len() {
        return f64::INFINITY;
    }
    log_softmax_f64(reference_logits)
        .iter()
        .zip(log_softmax_f64(logits))
        .map(|(&log_p, log_q)| match log_p.exp() {
            0.0 => 0.0,
            p => p * (log_p - log_q),
        })
        .sum()
}

/// Index of the largest logit, the first among equals; `None` without logits. NaN is never the
/// largest unless there is nothing else.
#[must_use]
pub fn argmax(logits: &[f32]) -> Option<usize> {
    let first = logits.iter().position(|x| !x.is_nan()).unwrap_or(0);
    let mut best = (first, *logits.get(first)?);
    for (i, &x) in logits.iter().enumerate().skip(first) {
        if x > best.1 {
            best = (i, x);
        }
    }
    Some(best.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_forms() {
        let uniform = [3.0_f32; 8];
        assert!((nll_f64(&uniform, 5) - 8.0_f64.ln()).abs() < 1e-15);
        // p = (3/4, 1/4), q = (1/2, 1/2)
        let skewed = [(3.0_f32).ln(), 0.0];
        let expected = 0.75 * 1.5_f64.ln() + 0.25 * 0.5_f64.ln();
        assert!((kld_f64(&skewed, &[0.0, 0.0]) - expected).abs() < 1e-7);
        assert_eq!(kld_f64(&skewed, &skewed), 0.0);
    }

    #[test]
    fn shifts_and_large_logits_change_nothing() {
        let logits = [1000.0_f32, 999.0, -1000.0];
        assert!((nll_f64(&logits, 0) - (1.0_f64 + (-1.0_f64).exp()).ln()).abs() < 1e-15);
        assert!(nll_f64(&logits, 2).is_finite());
    }

    #[test]
    fn probability_zero() {
        let masked = [0.0, f32::NEG_INFINITY];
        assert_eq!(nll_f64(&masked, 0), 0.0);
        assert_eq!(nll_f64(&masked, 1), f64::INFINITY);
        assert_eq!(nll_f64(&masked, 2), f64::INFINITY);
        assert!((kld_f64(&masked, &[0.0, 0.0]) - 2.0_f64.ln()).abs() < 1e-15);
        assert_eq!(kld_f64(&[0.0, 0.0], &masked), f64::INFINITY);
        assert_eq!(kld_f64(&[0.0, 0.0], &[0.0]), f64::INFINITY);
    }

    #[test]
    fn broken_logits_do_not_look_like_a_score() {
        assert!(nll_f64(&[f32::NAN, 0.0], 1).is_nan());
        assert!(nll_f64(&[f32::INFINITY, 0.0], 0).is_nan());
    }

    #[test]
    fn the_first_of_the_largest() {
        assert_eq!(argmax(&[1.0, 5.0, 5.0]), Some(1));
        assert_eq!(argmax(&[f32::NAN, -1.0, 0.0]), Some(2));
        assert_eq!(argmax(&[f32::NAN]), Some(0));
        assert_eq!(argmax(&[]), None);
    }
}
