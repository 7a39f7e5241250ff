//! The routing of tokens to experts.

/// How tokens are routed to experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routing {
    /// Number of experts per token: those of the highest probability, the first among equals.
    pub chosen: usize,
    /// Whether the chosen probabilities are divided by their sum.
    pub normalised: bool,
    /// Whether a share is rounded to the model's dtype before it multiplies an expert's output.
    pub rounded_shares: bool,
}

impl Routing {
    /// The experts of one token, ascending, each with the factor for its output. `probabilities`
    /// has one value per expert.
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
