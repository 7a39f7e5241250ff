//! What a converter did to a tensor on its way from Hugging Face's file into this one, so that it can be
//! undone.

use rayon::prelude::*;

/// Number of rows of the result that a task transposes at a time.
const ROWS_PER_TASK: usize = 16;

/// The changes to one tensor; by default none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Conversion {
    pub(crate) order: Order,
    pub(crate) adjust: Adjust,
}

/// How the values were rearranged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    #[default]
    AsStored,
    /// The first and second half of each head's rows are stored alternately; holds the number of heads.
    InterleavedHeads(usize),
    /// Query, key and value rows are wanted head by head, but all query rows are stored first, then all key
    /// rows; holds the number of heads.
    QueriesKeysValues(usize),
    /// The matrix is stored transposed.
    Transposed,
}

/// How the values were changed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Adjust {
    #[default]
    None,
    /// 1 was added to the values.
    MinusOne,
    /// The values were divided by a number that is stored elsewhere.
    Times(f32),
}

impl Order {
    /// Where row `row` of `rows` is stored.
    pub(super) fn stored_row(self, row: usize, rows: usize) -> usize {
        match self {
            Self::AsStored | Self::Transposed => row,
            Self::InterleavedHeads(heads) => {
                let head = rows / heads;
                let half = head / 2;
                let (first, within) = (row / head * head, row % head);
                first + 2 * (within % half) + within / half
            }
            Self::QueriesKeysValues(heads) => {
                let third = rows / 3;
                let head = third / heads;
                row / head % 3 * third + row / (3 * head) * head + row % head
            }
        }
    }
}

impl Adjust {
    #[inline]
    pub(super) fn apply(self, values: &mut [f32]) {
        match self {
            Self::None => {}
            Self::MinusOne => values.iter_mut().for_each(|value| *value -= 1.0),
            Self::Times(factor) => values.iter_mut().for_each(|value| *value *= factor),
        }
    }
}

/// The matrix `[rows, columns]` of which `stored` is the transpose.
pub(super) fn transposed(stored: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut data = vec![0.0; stored.len()];
    data.par_chunks_mut(ROWS_PER_TASK * columns).enumerate().for_each(|(task, out)| {
        let first = task * ROWS_PER_TASK;
        for (column, stored) in stored.chunks_exact(rows).enumerate() {
            for (out, value) in out[column..].iter_mut().step_by(columns).zip(&stored[first..]) {
                *out = *value;
            }
        }
    });
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_in_order() {
        let order = |order: Order, rows| -> Vec<usize> {
            (0..rows).map(|row| order.stored_row(row, rows)).collect()
        };
        // Two heads of four rows: row i*2+j of a head is stored at 2*j+i.
        assert_eq!(order(Order::InterleavedHeads(2), 8), [0, 2, 1, 3, 4, 6, 5, 7]);
        // Two heads of two rows: q q k k v v for each, stored as q q q q k k k k v v v v.
        let expected = [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11];
        assert_eq!(order(Order::QueriesKeysValues(2), 12), expected);
    }

    #[test]
    fn transposes_across_tasks() {
        let (rows, columns) = (37, 5);
        let stored: Vec<f32> = (0..rows * columns).map(|value| value as f32).collect();
        let wanted = transposed(&stored, rows, columns);
        for row in 0..rows {
            for column in 0..columns {
                assert_eq!(wanted[row * columns + column], stored[column * rows + row]);
            }
        }
    }
}
