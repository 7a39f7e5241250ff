//! Earlier rows of a sequence as the decoder has them, and references to them.

use std::ops::Range;

/// An earlier row and the weight that it predicts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// How many rows ago, from 1.
    pub(crate) age: usize,
    /// Index of the weight, below 16.
    pub(crate) weight: u32,
}

impl Reference {
    /// Weights are eighths, from -3/8 to 12/8.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn weight_value(weight: u32) -> f32 {
        ((weight & 15) as f32 - 3.0) / 8.0
    }

    /// Index of the weight that is nearest to `value`.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(crate) fn weight_index(value: f32) -> u32 {
        ((value * 8.0).round() + 3.0).clamp(0.0, 15.0) as u32
    }
}

/// The latest rows, in a ring.
#[derive(Clone, Debug)]
pub(crate) struct History {
    width: usize,
    limit: usize,
    rows: Vec<f32>,
    pushed: usize,
}

impl History {
    /// Keeps the latest `limit` rows of `width` values.
    pub(crate) fn new(width: usize, limit: usize) -> History {
        History { width, limit, rows: Vec::new(), pushed: 0 }
    }

    /// Rows that can be referred to: ages from 1 to this.
    pub(crate) fn len(&self) -> usize {
        self.pushed.min(self.limit)
    }

    /// The row of this age, if there is one.
    #[inline]
    pub(crate) fn get(&self, age: usize) -> Option<&[f32]> {
        if age == 0 || age > self.len() {
            return None;
        }
        self.rows.get(self.place((self.pushed - age) % self.limit))
    }

    /// All rows with their ages, in no particular order.
    pub(crate) fn slots(&self) -> (&[f32], impl Fn(usize) -> usize) {
        let (pushed, limit) = (self.pushed, self.limit.max(1));
        // The slot that the next row goes to holds the oldest one.
        (&self.rows, move |slot| {
            let age = (pushed % limit + limit - slot - 1) % limit + 1;
            if pushed < limit { pushed - slot } else { age }
        })
    }

    pub(crate) fn push(&mut self, row: &[f32]) {
        if self.limit == 0 {
            return;
        }
        if self.pushed < self.limit {
            self.rows.extend_from_slice(row);
        } else {
            let place = self.place(self.pushed % self.limit);
            if let Some(slot) = self.rows.get_mut(place) {
                slot.copy_from_slice(row);
            }
        }
        self.pushed += 1;
    }

    fn place(&self, slot: usize) -> Range<usize> {
        slot * self.width..(slot + 1) * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_hold_while_the_ring_turns() {
        let mut history = History::new(2, 5);
        assert_eq!(history.get(1), None);
        for row in 0..13_u8 {
            history.push(&[f32::from(row), 0.0]);
            for age in 1..=history.len() {
                let expected = f32::from(row) - (age as f32 - 1.0);
                assert_eq!(history.get(age).unwrap()[0], expected);
            }
            let (rows, age) = history.slots();
            for (slot, values) in rows.chunks(2).enumerate() {
                assert_eq!(history.get(age(slot)).unwrap(), values);
            }
            assert_eq!(history.get(0), None);
            assert_eq!(history.get(6), None);
        }
        let mut none = History::new(2, 0);
        none.push(&[1.0, 2.0]);
        assert_eq!((none.len(), none.get(1)), (0, None));
    }

    #[test]
    fn weights_round_to_eighths() {
        for weight in 0..16 {
            assert_eq!(Reference::weight_index(Reference::weight_value(weight)), weight);
        }
        assert_eq!(Reference::weight_value(Reference::weight_index(0.9)), 0.875);
        assert_eq!(Reference::weight_value(Reference::weight_index(7.0)), 1.5);
    }
}
