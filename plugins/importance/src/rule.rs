//! Which tokens are low.

use strait_sdk::prelude::*;

/// What a token's importance is.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// The host's side information of this name.
    Side,
    /// The Euclidean norm of the hidden state.
    Norm,
}

/// How it is decided which tokens are low.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The least important `fraction` of the tokens.
    Fraction,
    /// All but the most important tokens that reach `share` of the total importance.
    Share,
    /// As few as keep the payload within `bits` per value.
    Bits,
}

/// The tokens in ascending order of importance, the first of equals first.
pub(crate) fn ascending(importances: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..importances.len()).collect();
    order.sort_by(|a, b| importances[*a].total_cmp(&importances[*b]));
    order
}

/// How many tokens of `count` the fraction takes.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(crate) fn of_fraction(fraction: f64, count: usize) -> usize {
    ((fraction * count as f64).floor() as usize).min(count)
}

/// How many of the ascending tokens are beyond the share: the others, from the top, just reach it.
pub(crate) fn beyond_share(share: f64, importances: &[f32], ascending: &[usize]) -> usize {
    let total: f64 = importances.iter().map(|x| f64::from(*x)).sum();
    let mut reached = 0.0;
    for (low, token) in ascending.iter().enumerate().rev() {
        if reached >= share * total {
            return low + 1;
        }
        reached += f64::from(importances[*token]);
    }
    0
}

/// Judges tokens one by one, by those of the sequence that came before.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// Importances so far, ascending.
    sorted: Vec<f32>,
    total: f64,
}

impl Judge {
    pub(crate) fn reset(&mut self) {
        self.sorted.clear();
        self.total = 0.0;
    }

    /// Whether the least important `fraction` of the tokens up to this one has it.
    pub(crate) fn within_fraction(&mut self, importance: f32, fraction: f64) -> bool {
        let rank = self.insert(importance);
        rank < of_fraction(fraction, self.sorted.len())
    }

    /// Whether the tokens so far that are more important reach `share` of the total without this one.
    pub(crate) fn beyond_share(&mut self, importance: f32, share: f64) -> bool {
        let rank = self.insert(importance);
        let above: f64 = self.sorted[rank + 1..].iter().map(|x| f64::from(*x)).sum();
        above >= share * self.total
    }

    /// The place among the tokens so far; after its equals, which came earlier and are lower.
    fn insert(&mut self, importance: f32) -> usize {
        let rank = self.sorted.partition_point(|x| x.total_cmp(&importance).is_le());
        self.sorted.insert(rank, importance);
        self.total += f64::from(importance);
        rank
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_fractions() {
        let importances = [4.0, 1.0, 3.0, 2.0];
        let order = ascending(&importances);
        assert_eq!(order, [1, 3, 2, 0]);
        assert_eq!(of_fraction(0.5, 5), 2);
        // From the top: 4, 7, 9, 10 of 10.
        for (share, low) in [(0.0, 4), (0.3, 3), (0.4, 3), (0.41, 2), (0.7, 2), (0.9, 1), (1.0, 0)]
        {
            assert_eq!(beyond_share(share, &importances, &order), low, "{share}");
        }
        assert_eq!(beyond_share(0.5, &[], &[]), 0);
    }

    #[test]
    fn a_judge_knows_only_the_past() {
        let mut judge = Judge::default();
        let importances = [4.0, 1.0, 3.0, 2.0, 9.0];
        let low: Vec<bool> = importances.iter().map(|x| judge.within_fraction(*x, 0.5)).collect();
        assert_eq!(low, [false, true, false, true, false]);
        judge.reset();
        let low: Vec<bool> = importances.iter().map(|x| judge.beyond_share(*x, 0.75)).collect();
        assert_eq!(low, [false, true, false, false, false]);
    }
}
