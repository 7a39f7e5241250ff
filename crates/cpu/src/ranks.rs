//! Tensor parallelism: which inputs of a block's last projection belong to a rank, and how the ranks'
//! sums become the block's output.

use std::ops::Range;

use pulp::Simd;
use rayon::prelude::*;
use strait_ops::{Hidden, OpsError};

use crate::CpuOps;
use crate::amx::STEP;
use crate::kernel::{Task, dispatch, panel_tokens};
use crate::norm::Norm;
use crate::panels::Panels;
use crate::rules::Rules;

/// Some inputs of a projection, and the whole steps of the tile unit that contain them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Columns {
    /// The first input of the first step.
    pub(crate) first: usize,
    /// Number of inputs in all steps, without padding beyond the projection's inputs.
    pub(crate) count: usize,
    /// Whether the sums over these inputs get the bias.
    pub(crate) with_bias: bool,
    own_start: usize,
    own_end: usize,
    /// The rank, and the number of ranks.
    rank: (usize, usize),
}

impl Columns {
    /// All `inputs` inputs.
    pub(crate) fn all(inputs: usize) -> Columns {
        let (own_start, own_end) = (0, inputs);
        Columns { first: 0, count: inputs, with_bias: true, own_start, own_end, rank: (0, 1) }
    }

    /// The share of rank `rank` of `ranks` in `units` units of `size` inputs each; there are at least as
    /// many units as ranks.
    pub(crate) fn of_rank(rank: usize, ranks: usize, units: usize, size: usize) -> Columns {
        let (start, end) = (units * rank / ranks * size, units * (rank + 1) / ranks * size);
        let first = start / STEP * STEP;
        let count = end.next_multiple_of(STEP).min(units * size) - first;
        let (own_start, own_end) = (start, end);
        let rank = (rank, ranks);
        Columns { first, count, with_bias: rank.0 == 0, own_start, own_end, rank }
    }

    /// The same rank's share of another projection's inputs.
    pub(crate) fn within(self, inputs: usize) -> Columns {
        Columns::of_rank(self.rank.0, self.rank.1, inputs, 1)
    }

    /// All inputs of the steps.
    pub(crate) fn steps(self) -> Range<usize> {
        self.first..self.first + self.count
    }

    /// Zeros the values in `rows`, which begin at input `from`, that are not the rank's own: zeros do
    /// not change a sum.
    #[inline(always)]
    pub(crate) fn keep_own<const NR: usize>(self, from: usize, rows: &mut [[f32; NR]]) {
        if from >= self.own_start && from + rows.len() <= self.own_end {
            return;
        }
        for (input, row) in (from..).zip(rows) {
            if input < self.own_start || input >= self.own_end {
                *row = [0.0; NR];
            }
        }
    }
}

/// Rejects more ranks than there are parts `what` of a block.
pub(crate) fn check_degree(ranks: usize, parts: usize, what: &str) -> Result<(), OpsError> {
    if ranks > parts {
        let expected = format!("at most {parts}, the {what} of a block");
        return Err(OpsError::size("degree of tensor parallelism", expected, ranks));
    }
    Ok(())
}

impl CpuOps {
    /// The output of a block, from `sum`, the sum over all ranks.
    pub(crate) fn end_of_sums(&self, sum: &Hidden, norm: Option<&Norm>) -> Panels {
        let (mut y, rules) = (Panels::from_hidden(sum), self.rules);
        let size = (y.channels * panel_tokens()).max(1);
        y.data.par_chunks_mut(size).for_each(|y| dispatch(SumsTask { y, norm, rules }));
        y
    }
}

/// Rounds and norms one panel of sums.
struct SumsTask<'a> {
    y: &'a mut [f32],
    norm: Option<&'a Norm>,
    rules: Rules,
}

impl Task for SumsTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let SumsTask { y, norm, rules } = self;
        rules.dtype.round(y);
        if let Some(norm) = norm {
            norm.replace(simd, y.as_chunks_mut::<NR>().0, rules);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_have_every_input_once() {
        for (ranks, units, size) in [(1, 9, 64), (2, 3, 8), (3, 100, 1), (2, 2, 64), (8, 1536, 1)] {
            let mut owners = vec![0; units * size];
            for rank in 0..ranks {
                let columns = Columns::of_rank(rank, ranks, units, size);
                assert!(columns.first.is_multiple_of(STEP));
                let mut rows = vec![[1.0f32]; columns.count];
                columns.keep_own(columns.first, &mut rows);
                for (owner, row) in owners[columns.steps()].iter_mut().zip(&rows) {
                    *owner += row[0] as usize;
                }
            }
            assert!(owners.iter().all(|&count| count == 1), "{ranks} ranks: {owners:?}");
        }
    }

    #[test]
    fn all_inputs_are_one_rank_of_one() {
        assert_eq!(Columns::all(100), Columns::of_rank(0, 1, 100, 1));
    }
}
