//! The routing of tokens to experts.

/// Keeps a sum of scores that are all 0 from dividing by 0; too small to change any other.
const LEAST_SUM: f32 = 1e-20;

/// How tokens are routed to experts: those with the highest scores, the first among equals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Routing {
    /// Number of experts per token.
    pub chosen: usize,
    /// What turns logits into scores.
    pub scoring: Scoring,
    /// The groups of experts among which a token chooses first, if there are any.
    pub groups: Option<Groups>,
    /// Whether the chosen scores are divided by their sum.
    pub normalised: bool,
    /// Factor applied to the chosen scores at the end.
    pub scale: f64,
    /// Whether the router computes in f32 whatever the model's dtype is.
    pub in_f32: bool,
    /// Whether a share is rounded to the model's dtype before it multiplies an expert's output.
    pub rounded_shares: bool,
}

/// What turns one token's logits into scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scoring {
    /// The softmax over all experts.
    Softmax,
    /// `1 / (1 + e^-logit)`, for each expert by itself.
    Sigmoid,
}

/// Groups of consecutive experts, equally large. Only experts of the best groups can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    /// Number of groups; divides the number of experts.
    pub count: usize,
    /// Number of groups that a token chooses from.
    pub chosen: usize,
    /// Number of a group's highest scores whose sum ranks the group.
    pub ranked_by: usize,
}

impl Routing {
    /// The softmax over all experts, with the highest `chosen` as shares.
    #[must_use]
    pub fn softmax(chosen: usize, normalised: bool) -> Routing {
        Routing {
            chosen,
            scoring: Scoring::Softmax,
            groups: None,
            normalised,
            scale: 1.0,
            in_f32: false,
            rounded_shares: false,
        }
    }

    /// The experts of one token, ascending, each with the factor for its output. `scores` has one value per
    /// expert; `correction`, if there is one, too, and counts for the choice only.
    #[must_use]
    pub fn choose(&self, scores: Vec<f32>, correction: Option<&[f32]>) -> Vec<(usize, f32)> {
        let mut ranks = scores.clone();
        if let Some(correction) = correction {
            ranks.iter_mut().zip(correction).for_each(|(rank, value)| *rank += value);
        }
        if let Some(groups) = self.groups {
            groups.leave_best(&mut ranks);
        }
        let chosen = self.chosen.min(scores.len());
        let mut routes: Vec<(usize, f32)> = (0..chosen)
            .map(|_| {
                let best = highest(&ranks);
                ranks[best] = f32::NEG_INFINITY;
                (best, scores[best])
            })
            .collect();
        if self.normalised {
            let sum: f32 = routes.iter().map(|(_, share)| share).sum();
            routes.iter_mut().for_each(|(_, share)| *share /= sum + LEAST_SUM);
        }
        if self.scale != 1.0 {
            routes.iter_mut().for_each(|(_, share)| *share *= self.scale as f32);
        }
        routes.sort_by_key(|(expert, _)| *expert);
        routes
    }
}

impl Groups {
    /// Removes the experts of all but the best groups from the choice.
    fn leave_best(self, ranks: &mut [f32]) {
        let size = (ranks.len() / self.count.max(1)).max(1);
        let rank = |group: &[f32]| {
            let mut group = group.to_vec();
            group.sort_by(|a, b| b.total_cmp(a));
            group.iter().take(self.ranked_by).sum::<f32>()
        };
        let mut of_groups: Vec<f32> = ranks.chunks(size).map(rank).collect();
        let mut left = vec![false; of_groups.len()];
        for _ in 0..self.chosen.min(of_groups.len()) {
            let best = highest(&of_groups);
            of_groups[best] = f32::NEG_INFINITY;
            left[best] = true;
        }
        for (group, left) in ranks.chunks_mut(size).zip(left) {
            if !left {
                group.fill(f32::NEG_INFINITY);
            }
        }
    }
}

/// The index of the highest value, the first among equals.
fn highest(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_probable_experts_are_chosen() {
        let mut routing = Routing::softmax(2, false);
        let probabilities = vec![0.125, 0.5, 0.125, 0.25];
        assert_eq!(routing.choose(probabilities.clone(), None), [(1, 0.5), (3, 0.25)]);
        routing.chosen = 3;
        routing.normalised = true;
        let expected = [(0, 0.125 / 0.875), (1, 0.5 / 0.875), (3, 0.25 / 0.875)];
        assert_eq!(routing.choose(probabilities.clone(), None), expected);
        routing.scale = 2.0;
        let doubled = expected.map(|(expert, share)| (expert, 2.0 * share));
        assert_eq!(routing.choose(probabilities, None), doubled);
    }

    #[test]
    fn a_correction_moves_the_choice_and_not_the_shares() {
        let routing = Routing { scoring: Scoring::Sigmoid, ..Routing::softmax(2, false) };
        let scores = vec![0.5, 0.25, 0.75, 0.125];
        let correction = [0.0, 1.0, -1.0, 0.0];
        assert_eq!(routing.choose(scores, Some(&correction)), [(0, 0.5), (1, 0.25)]);
        // All of them may be 0.
        let routing = Routing { normalised: true, ..routing };
        assert_eq!(routing.choose(vec![0.0; 3], None), [(0, 0.0), (1, 0.0)]);
    }

    #[test]
    fn experts_of_the_best_groups_alone_are_chosen() {
        let mut groups = Groups { count: 3, chosen: 1, ranked_by: 1 };
        let scores = vec![0.5, 0.5, 0.0, 0.75, 0.25, 0.125];
        let choose = |groups: Groups| {
            let routing = Routing { groups: Some(groups), ..Routing::softmax(2, false) };
            routing.choose(scores.clone(), None)
        };
        assert_eq!(choose(groups), [(2, 0.0), (3, 0.75)]);
        groups.ranked_by = 2;
        assert_eq!(choose(groups), [(0, 0.5), (1, 0.5)]);
        groups.chosen = 2;
        assert_eq!(choose(groups), [(0, 0.5), (3, 0.75)]);
    }
}
