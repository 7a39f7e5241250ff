//! The order in which entries stay: a class first, then the score; never left to chance.

use std::cmp::Ordering;

/// Where an entry stands. The greatest stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rank {
    class: u8,
    score: f32,
}

/// Class of entries that their score alone decides about.
pub(super) const SCORED: u8 = 0;
/// Class of what a first stage has chosen already.
pub(super) const CHOSEN: u8 = 1;
/// Class of the last entries, which stay whatever their scores.
pub(super) const RECENT: u8 = 2;
/// Class of the first entries, which stay before all others.
pub(super) const SINK: u8 = 3;

impl Rank {
    /// An entry of this class; NaN is the lowest score.
    pub(super) fn new(class: u8, score: f32) -> Self {
        let lowest = f32::NAN.copysign(-1.0);
        // Adding 0 turns -0 into 0, which is the same score.
        Rank { class, score: if score.is_nan() { lowest } else { score + 0.0 } }
    }

    pub(super) fn class(self) -> u8 {
        self.class
    }

    /// The same score in this class, if that is higher.
    pub(super) fn at_least(self, class: u8) -> Self {
        Rank { class: self.class.max(class), ..self }
    }

    /// The same class with another score.
    pub(super) fn with_score(self, score: f32) -> Self {
        Rank::new(self.class, score)
    }

    pub(super) fn score(self) -> f32 {
        self.score
    }

    pub(super) fn order(self, other: Rank) -> Ordering {
        self.class.cmp(&other.class).then(self.score.total_cmp(&other.score))
    }
}

/// Ranks of `count` entries: the first `sinks` and the last `recent` of `whole` entries have their
/// own classes. `indices` are the entries' places among the whole.
pub(super) fn ranks(
    scores: &[f32],
    indices: impl Iterator<Item = usize>,
    whole: usize,
    sinks: usize,
    recent: usize,
) -> Vec<Rank> {
    let rank = |(score, index): (&f32, usize)| {
        if index < sinks {
            Rank::new(SINK, -(index as f32))
        } else if index + recent >= whole {
            Rank::new(RECENT, index as f32)
        } else {
            Rank::new(SCORED, *score)
        }
    };
    scores.iter().zip(indices).map(rank).collect()
}

/// Indices of the `count` greatest, ascending; of equals the later ones.
pub(super) fn top(ranks: &[Rank], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..ranks.len()).collect();
    let count = count.min(order.len());
    if count == 0 {
        return Vec::new();
    }
    order.select_nth_unstable_by(count - 1, |a, b| ranks[*b].order(ranks[*a]).then(b.cmp(a)));
    order.truncate(count);
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_come_before_scores_and_nan_goes_first() {
        let scores = [f32::NAN, 5.0, f32::INFINITY, -1.0, f32::NEG_INFINITY, 0.0];
        let ranks = ranks(&scores, 0..6, 6, 1, 1);
        assert_eq!(top(&ranks, 1), [0]);
        assert_eq!(top(&ranks, 2), [0, 5]);
        assert_eq!(top(&ranks, 4), [0, 1, 2, 5]);
        assert_eq!(top(&ranks, 9), [0, 1, 2, 3, 4, 5]);
        assert_eq!(top(&ranks, 0), [0; 0]);
        let plain: Vec<_> = scores.iter().map(|score| Rank::new(SCORED, *score)).collect();
        assert_eq!(top(&plain, 5), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn of_equals_the_later_stay() {
        let same = [Rank::new(SCORED, 0.0), Rank::new(SCORED, -0.0), Rank::new(SCORED, 0.0)];
        assert_eq!(top(&same, 2), [1, 2]);
        assert_eq!(top(&ranks(&[0.0; 5], 0..5, 5, 3, 3), 4), [0, 1, 2, 4]);
    }
}
