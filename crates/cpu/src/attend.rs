//! Causal attention of one head, without a matrix of scores.

use pulp::Simd;
use strait_ops::Dtype;

use crate::attention::Attention;
use crate::cache::{KEY_STEP, KeysValues};
use crate::head::capped;
use crate::kernel::Task;
use crate::math::{exp, exp_nonpositive};
use crate::panels::{Scratch, grow};
use crate::product::{ROWS, Right};
use crate::rules::Rules;

/// Number of keys that are scored at a time; a multiple of `KEY_STEP`.
const KEY_BLOCK: usize = 256;

/// The initial highest score of a query: below every score, but finite, because a query that sees no key
/// of the first blocks would otherwise subtract infinity from infinity.
const LOWEST: f32 = -1e30;

/// Causal attention of one head for one panel of queries; `out` is `[value, NR]`.
///
/// Keys are processed in blocks with an online softmax, so that memory does not grow with the length.
pub(crate) struct AttendTask<'a> {
    pub(crate) projected: &'a [f32],
    pub(crate) cache: &'a KeysValues,
    pub(crate) out: &'a mut [f32],
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) weights: &'a Attention,
    /// Index of the panel among all, panels per sequence, and the head.
    pub(crate) panel: usize,
    pub(crate) panels: usize,
    pub(crate) head: usize,
    pub(crate) tokens: usize,
    /// Position of the first query.
    pub(crate) first_position: usize,
    /// Positions of the keys of every sequence and key head, if they differ from those of the
    /// queries.
    pub(crate) positions: Option<&'a [&'a [u32]]>,
    pub(crate) rules: Rules,
}

impl Task for AttendTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let AttendTask { projected, cache, out, weights, panel, panels, head, tokens, .. } = self;
        let Rules { unit, dtype, .. } = self.rules;
        let Attention { heads, scale, cap, window, .. } = *weights;
        let Scratch { scores, sums, queries: query_pairs, weights: pairs, .. } = self.scratch;
        let (dim, value_dim) = (heads.dim, heads.value);
        let width = heads.width();
        let at = panel * width + head * dim;
        let queries = &projected.as_chunks::<NR>().0[at..at + dim];
        let owner = panel / panels * heads.keys + head / (heads.queries / heads.keys);
        let blocks = value_dim.div_ceil(ROWS);
        let first_query = self.first_position + panel % panels * NR;
        let positions = self.positions.map(|positions| positions[owner]);
        let (start, end) = match (positions, window) {
            (None, None) => (0, (first_query + NR).min(tokens)),
            // Padding queries of the panel attend to a key, too.
            (None, Some(window)) => ((first_query + 1).saturating_sub(window), first_query + NR),
            (Some(positions), window) => {
                let outside = |&p: &u32| window.is_some_and(|w| p as usize + w <= first_query);
                let end = positions.partition_point(|&p| (p as usize) < first_query + NR);
                (positions.partition_point(outside), end)
            }
        };
        // Blocks begin at multiples of their size, wherever a panel does, so that what a query
        // attends to is summed in the same steps in every run of tokens.
        let (start, end) = (start / KEY_BLOCK * KEY_BLOCK, end.next_multiple_of(KEY_STEP));
        // No query attends to padding keys.
        let position = |key: usize| match positions {
            None => key,
            Some(positions) => positions.get(key).map_or(usize::MAX / 2, |&p| p as usize),
        };

        let ready = unit.start();
        let query = Right::new(unit, queries, query_pairs);
        let scores = grow(scores, KEY_BLOCK * NR).as_chunks_mut::<NR>().0;
        let sums = grow(sums, blocks * ROWS * NR).as_chunks_mut::<NR>().0;
        let sums = sums.as_chunks_mut::<ROWS>().0;
        sums.as_flattened_mut().as_flattened_mut().fill(0.0);
        let mut maxima = [f32::NEG_INFINITY; NR];
        let mut totals = [0.0f32; NR];
        for from in (start..end).step_by(KEY_BLOCK) {
            let count = KEY_BLOCK.min(end - from);
            let scores = &mut scores[..count];
            for (block, out) in scores.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
                let keys = cache.keys(owner, from, block);
                ready.product::<S, NR, false>(simd, keys, query, out);
            }
            if let Some(cap) = cap {
                // The scale is applied to what is capped, later.
                capped(scores.as_flattened_mut(), cap / scale);
            }
            for (key, row) in (from..).zip(scores.iter_mut()) {
                let key = position(key);
                if key > first_query {
                    row[..NR.min(key - first_query)].fill(f32::NEG_INFINITY);
                }
            }
            if let Some(window) = window {
                for (key, row) in (from..).zip(scores.iter_mut()) {
                    let past = (position(key) + window).saturating_sub(first_query);
                    row[NR.min(past)..].fill(f32::NEG_INFINITY);
                }
            }
            // Totals and sums are relative to the highest score so far: a higher one shrinks them.
            let highest = highest(scores, &maxima);
            let mut shrink = [0.0f32; NR];
            for t in 0..NR {
                shrink[t] = exp((maxima[t] - highest[t]) * scale);
                totals[t] *= shrink[t];
            }
            maxima = highest;
            exponentials(scores, &maxima, scale, &mut totals, dtype);
            let shares = Right::new(unit, scores, pairs);
            for (block, sums) in sums.iter_mut().enumerate() {
                for sum in sums.iter_mut() {
                    for (sum, shrink) in sum.iter_mut().zip(&shrink) {
                        *sum *= shrink;
                    }
                }
                let values = cache.values(owner, value_dim, block, from, count);
                ready.product::<S, NR, true>(simd, values, shares, sums);
            }
        }
        let out = out.as_chunks_mut::<NR>().0;
        for (out, sum) in out.iter_mut().zip(sums.as_flattened()) {
            for t in 0..NR {
                out[t] = sum[t] / totals[t];
            }
            dtype.round(out);
        }
    }
}

/// The highest score of every query, starting from `maxima`.
#[inline(always)]
fn highest<const NR: usize>(scores: &[[f32; NR]], maxima: &[f32; NR]) -> [f32; NR] {
    let mut highest = maxima.map(|highest| highest.max(LOWEST));
    for row in scores {
        for (highest, score) in highest.iter_mut().zip(row) {
            *highest = if *score > *highest { *score } else { *highest };
        }
    }
    highest
}

/// Turns scores into `exp((score - highest) * scale)`, rounded, and adds the unrounded values to
/// `totals`.
#[inline(always)]
fn exponentials<const NR: usize>(
    scores: &mut [[f32; NR]],
    highest: &[f32; NR],
    scale: f32,
    totals: &mut [f32; NR],
    dtype: Dtype,
) {
    let offset = highest.map(|highest| highest * scale);
    for row in scores {
        for (score, offset) in row.iter_mut().zip(&offset) {
            *score = exp_nonpositive(score.mul_add(scale, -offset));
        }
        for (total, value) in totals.iter_mut().zip(row.iter()) {
            *total += value;
        }
        dtype.round(row);
    }
}
