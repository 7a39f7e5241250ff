//! How tokens find their experts.

/// How tokens find their experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routing {
    /// Experts that a token goes to: those of the highest probability, of equal ones the first.
    pub chosen: usize,
    /// Whether the chosen probabilities are divided by their sum.
    pub normalised: bool,
    /// Whether a share is rounded to the model's dtype before it multiplies an expert's result.
    pub rounded_shares: bool,
}

impl Routing {
    /// One token's experts, rising, and what their results are multiplied by; `probabilities` has
    /// one for each expert.
    #[must_use]
    pub fn choose(&self, mut probabilities: Vec<f32>) -> Vec<(usize, f32)> {
        let chosen = self.chosen.min(probabilities.len());
        let mut routes: Vec<(usize, f32)> = (0..chosen)
            .map(|_| {
                let mut best = 0;
                for (expert, probability) in probabilities.iter().enumerate() {
                    if *probability > probabilities[best] {
                        best = expert;
                    }
                }
                (best, std::mem::replace(&mut probabilities[best], f32::NEG_INFINITY))
            })
            .collect();
        if self.normalised {
            let sum: f32 = routes.iter().map(|(_, share)| share).sum();
            routes.iter_mut().for_each(|(_, share)| *share /= sum);
        }
        routes.sort_by_key(|(expert, _)| *expert);
        routes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_probable_experts_are_chosen() {
        let mut routing = Routing { chosen: 2, normalised: false, rounded_shares: false };
        let probabilities = vec![0.125, 0.5, 0.125, 0.25];
        assert_eq!(routing.choose(probabilities.clone()), [(1, 0.5), (3, 0.25)]);
        routing.chosen = 3;
        routing.normalised = true;
        let expected = [(0, 0.125 / 0.875), (1, 0.5 / 0.875), (3, 0.25 / 0.875)];
        assert_eq!(routing.choose(probabilities), expected);
    }
}
