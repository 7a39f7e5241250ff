//! The next token: the most likely one, or one drawn at random.

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Divisor of the logits; 0 takes the most likely token.
    pub temperature: f64,
    /// If set, only this many of the most likely tokens are drawn from.
    pub top_k: Option<usize>,
    /// If set, only the most likely tokens that together have this probability are drawn from.
    pub top_p: Option<f64>,
    /// Seed of the draws: the same seed draws the same tokens.
    pub seed: u64,
}

impl Sampling {
    /// Always chooses the most likely token.
    pub const GREEDY: Sampling = Sampling { temperature: 0.0, top_k: None, top_p: None, seed: 0 };
}

/// Chooses one token after another.
#[derive(Debug)]
pub(crate) struct Sampler {
    sampling: Sampling,
    state: u64,
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling) -> Sampler {
        Sampler { sampling, state: sampling.seed }
    }

    /// Chooses a token by `logits`, which has one value per token.
    pub(crate) fn choose(&mut self, logits: &[f32]) -> u32 {
        let Sampling { temperature, top_k, top_p, .. } = self.sampling;
        if temperature <= 0.0 {
            return most_likely(logits);
        }
        // Most likely first, and lower ids first among equals, so that the order is unique.
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        let rank =
            |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
        if let Some(count) = top_k.filter(|&count| count > 0 && count < order.len()) {
            order.select_nth_unstable_by(count - 1, rank);
            order.truncate(count);
        }
        order.sort_unstable_by(rank);
        let highest = order.first().map_or(0.0, |&token| f64::from(logits[token as usize]));
        let share =
            |&token: &u32| ((f64::from(logits[token as usize]) - highest) / temperature).exp();
        let mut shares: Vec<f64> = order.iter().map(share).collect();
        if let Some(top_p) = top_p {
            let enough = top_p * shares.iter().sum::<f64>();
            let mut sum = 0.0;
            let count = shares.iter().position(|share| {
                sum += share;
                sum >= enough
            });
            shares.truncate(count.map_or(shares.len(), |count| count + 1));
        }
        let mut left = self.uniform() * shares.iter().sum::<f64>();
        let drawn = shares.iter().position(|share| {
            left -= share;
            left < 0.0
        });
        order[drawn.unwrap_or(shares.len().saturating_sub(1))]
    }

    /// A number in [0, 1): the top 53 bits of SplitMix64 (Steele, Lea and Flood 2014, "Fast
    /// splittable pseudorandom number generators").
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The first token with the highest logit.
fn most_likely(logits: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, &logit) in logits.iter().enumerate() {
        if logit > best.1 {
            best = (token, logit);
        }
    }
    best.0 as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, 3.0, -1.0, 2.0];

    fn draws(sampling: Sampling) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling);
        (0..4000).map(|_| sampler.choose(&LOGITS)).collect()
    }

    #[test]
    fn greedy_takes_the_first_of_the_highest() {
        assert_eq!(Sampler::new(Sampling::GREEDY).choose(&LOGITS), 1);
    }

    #[test]
    fn shares_are_those_of_the_softmax_and_a_seed_repeats_them() {
        let sampling = Sampling { temperature: 2.0, seed: 7, ..Sampling::GREEDY };
        let drawn = draws(sampling);
        let total: f64 = LOGITS.iter().map(|&logit| (f64::from(logit) / 2.0).exp()).sum();
        for (token, &logit) in LOGITS.iter().enumerate() {
            let expected = (f64::from(logit) / 2.0).exp() / total;
            let found = drawn.iter().filter(|&&drawn| drawn as usize == token).count();
            let found = found as f64 / drawn.len() as f64;
            assert!((found - expected).abs() < 0.03, "{token}: {found} {expected}");
        }
        assert_eq!(drawn, draws(sampling));
        assert_ne!(drawn, draws(Sampling { seed: 8, ..sampling }));
    }

    #[test]
    fn few_tokens_are_left_by_count_and_by_probability() {
        let sampling = Sampling { temperature: 1.0, top_k: Some(3), ..Sampling::GREEDY };
        let mut drawn = draws(sampling);
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn, [1, 2, 4]);
        // The two highest have 0.78 of the probability together.
        let sampling = Sampling { temperature: 1.0, top_p: Some(0.7), ..Sampling::GREEDY };
        let mut drawn = draws(sampling);
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn, [1, 2]);
    }
}
