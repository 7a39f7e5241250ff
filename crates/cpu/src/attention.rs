//! The attention block: projections with rotary positions, causal attention, output.

use pulp::Simd;
use strait_ops::Dtype;

use crate::blocks::Blocks;
use crate::kernel::{Task, panel_tokens};
use crate::math::{exp, exp_nonpositive};
use crate::mlp::add_products;
use crate::norm::{add_bias, norm};
use crate::panels::{Scratch, grow, per_sequence};
use crate::product::{Left, ROWS, Right, Rights, Unit};

/// Keys that are scored at a time; a multiple of `KEY_STEP`.
const KEY_BLOCK: usize = 256;
/// Keys are filled up to a multiple of this, so that every unit takes them in whole steps.
const KEY_STEP: usize = 32;

/// Weights of an attention block; `project` is query, key and value, one below the other.
pub struct Attention {
    pub(crate) norm: Vec<f32>,
    pub(crate) project: Blocks,
    pub(crate) output: Blocks,
}

/// Sizes of the heads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) dim: usize,
}

/// Cosines and sines `[panels, dim / 2, panel_tokens]`.
#[derive(Default)]
pub(crate) struct RopePanels {
    pub(crate) cos: Vec<f32>,
    pub(crate) sin: Vec<f32>,
}

/// Writes the rotated queries and keys, and the values, of a run of panels:
/// `out` is `[panels, (queries + 2 * keys) * dim, NR]`.
pub(crate) struct ProjectTask<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) out: &'a mut [f32],
    pub(crate) weights: &'a Attention,
    pub(crate) heads: Heads,
    pub(crate) rope: &'a RopePanels,
    pub(crate) scratch: &'a mut Scratch,
    /// Index of the run's first panel, and panels of one sequence.
    pub(crate) first: usize,
    pub(crate) panels: usize,
    /// Panels of a sequence before this one need no queries.
    pub(crate) wanted: usize,
    pub(crate) eps: f32,
    pub(crate) unit: Unit,
    pub(crate) dtype: Dtype,
}

impl Task for ProjectTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let ProjectTask { x, out, weights, heads, rope, scratch, .. } = self;
        let ProjectTask { first, panels, wanted, eps, unit, dtype, .. } = self;
        let project = &weights.project;
        let (hidden, width) = (project.inputs, project.outputs);
        let (x, out) = (x.as_chunks::<NR>().0, out.as_chunks_mut::<NR>().0);
        let count = x.len() / hidden;
        let ready = unit.start();
        let mut normed = Rights::<NR>::new(unit, count, hidden, &mut scratch.first);
        for (panel, x) in x.chunks_exact(hidden).enumerate() {
            norm(simd, x, &weights.norm, eps, dtype, normed.staging(panel));
            normed.commit(panel);
        }
        let mut sums = [[0.0; NR]; ROWS];
        let queried = (0..count).any(|panel| (first + panel) % panels >= wanted);
        let first_block = if queried { 0 } else { heads.queries * heads.dim / ROWS };
        for block in first_block..project.count() {
            let row = block * ROWS;
            for panel in 0..count {
                let right = normed.panel(panel);
                ready.product::<S, NR, false>(simd, project.block(block), right, &mut sums);
                let out = &mut out[panel * width + row..][..project.valid(block)];
                for (i, (out, sum)) in out.iter_mut().zip(&mut sums).enumerate() {
                    add_bias(sum, project.bias(row + i), dtype);
                    *out = *sum;
                }
            }
        }
        let half = heads.dim / 2;
        for (panel, out) in out.chunks_exact_mut(width).enumerate() {
            let start = (first + panel) % panels * half;
            let cos = &rope.cos.as_chunks::<NR>().0[start..start + half];
            let sin = &rope.sin.as_chunks::<NR>().0[start..start + half];
            let rotated = (heads.queries + heads.keys) * heads.dim;
            for head in out[..rotated].chunks_exact_mut(heads.dim) {
                let (low, high) = head.split_at_mut(half);
                for (((low, high), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                    for t in 0..NR {
                        let (a, b) = (low[t], high[t]);
                        low[t] = a * cos[t] - b * sin[t];
                        high[t] = b * cos[t] + a * sin[t];
                    }
                    dtype.round(low);
                    dtype.round(high);
                }
            }
        }
    }
}

/// Keys and values of all sequences as left operands.
pub(crate) struct KeysValues {
    /// For every sequence and key head blocks of keys, `[padded keys, dim]`.
    keys: Left,
    /// For every sequence and key head blocks of channels, `[dim, padded keys]`.
    values: Left,
    /// Tokens, filled up to whole panels and steps.
    padded: usize,
}

impl KeysValues {
    pub(crate) fn new(unit: Unit) -> KeysValues {
        KeysValues { keys: Left::zeros(unit, 0, 0), values: Left::zeros(unit, 0, 0), padded: 0 }
    }

    /// Takes keys and values out of what [`ProjectTask`] wrote.
    pub(crate) fn pack(
        &mut self,
        projected: &[f32],
        heads: Heads,
        batch: usize,
        tokens: usize,
        unit: Unit,
    ) {
        let nr = panel_tokens();
        let panels = per_sequence(tokens);
        let padded = (panels * nr).next_multiple_of(KEY_STEP);
        let width = (heads.queries + 2 * heads.keys) * heads.dim;
        let row = |owner: usize, panel: usize, channel: usize| {
            let panel = owner / heads.keys * panels + panel;
            &projected[(panel * width + channel) * nr..][..nr]
        };
        let owners = batch * heads.keys;
        self.padded = padded;
        self.keys.reuse(unit, owners * (padded / ROWS), heads.dim);
        self.keys.fill(padded / ROWS, |owner, mut group| {
            for panel in 0..panels {
                for c in 0..heads.dim {
                    let channel = (heads.queries + owner % heads.keys) * heads.dim + c;
                    group.set_input(c, panel * nr, row(owner, panel, channel));
                }
            }
        });
        let blocks = heads.dim.div_ceil(ROWS);
        self.values.reuse(unit, owners * blocks, padded);
        self.values.fill(1, |index, mut group| {
            let (owner, block) = (index / blocks, index % blocks);
            for c in 0..ROWS.min(heads.dim - block * ROWS) {
                let head = heads.queries + heads.keys + owner % heads.keys;
                for panel in 0..panels {
                    let channel = head * heads.dim + block * ROWS + c;
                    group.set_output(c, panel * nr, row(owner, panel, channel));
                }
            }
        });
    }
}

/// Causal attention of one head for one panel of queries; `out` is `[dim, NR]`.
///
/// Keys are taken in blocks with an online softmax, so that memory does not grow with the length.
pub(crate) struct AttendTask<'a> {
    pub(crate) projected: &'a [f32],
    pub(crate) cache: &'a KeysValues,
    pub(crate) out: &'a mut [f32],
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) heads: Heads,
    /// Index of the panel among all, panels of one sequence, and the head.
    pub(crate) panel: usize,
    pub(crate) panels: usize,
    pub(crate) head: usize,
    pub(crate) tokens: usize,
    pub(crate) unit: Unit,
    pub(crate) dtype: Dtype,
}

impl Task for AttendTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let AttendTask { projected, cache, out, heads, .. } = self;
        let Scratch { scores, sums, queries: query_pairs, weights: pairs, .. } = self.scratch;
        let AttendTask { panel, panels, head, tokens, unit, dtype, .. } = self;
        let dim = heads.dim;
        let width = (heads.queries + 2 * heads.keys) * dim;
        let start = panel * width + head * dim;
        let queries = &projected.as_chunks::<NR>().0[start..start + dim];
        let owner = panel / panels * heads.keys + head / (heads.queries / heads.keys);
        let blocks = dim.div_ceil(ROWS);
        let first_query = panel % panels * NR;
        let end = (first_query + NR).min(tokens).next_multiple_of(KEY_STEP);
        let scale = 1.0 / (dim as f32).sqrt();

        let ready = unit.start();
        let query = Right::new(unit, queries, query_pairs);
        let scores = grow(scores, KEY_BLOCK * NR).as_chunks_mut::<NR>().0;
        let sums = grow(sums, blocks * ROWS * NR).as_chunks_mut::<NR>().0;
        let sums = sums.as_chunks_mut::<ROWS>().0;
        sums.as_flattened_mut().as_flattened_mut().fill(0.0);
        let mut maxima = [f32::NEG_INFINITY; NR];
        let mut totals = [0.0f32; NR];
        for from in (0..end).step_by(KEY_BLOCK) {
            let count = KEY_BLOCK.min(end - from);
            let scores = &mut scores[..count];
            let first = (owner * cache.padded + from) / ROWS;
            for (block, out) in scores.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
                let keys = cache.keys.block(first + block);
                ready.product::<S, NR, false>(simd, keys, query, out);
            }
            for (key, row) in (from..).zip(scores.iter_mut()) {
                if key > first_query {
                    row[..NR.min(key - first_query)].fill(f32::NEG_INFINITY);
                }
            }
            let highest = highest(scores, &maxima);
            let mut shrink = [0.0f32; NR];
            for t in 0..NR {
                shrink[t] = exp((maxima[t] - highest[t]) * scale);
                totals[t] *= shrink[t];
            }
            maxima = highest;
            exponentials(scores, &maxima, scale, &mut totals, dtype);
            let weights = Right::new(unit, scores, pairs);
            for (block, sums) in sums.iter_mut().enumerate() {
                for sum in sums.iter_mut() {
                    for (sum, shrink) in sum.iter_mut().zip(&shrink) {
                        *sum *= shrink;
                    }
                }
                let values = cache.values.block(owner * blocks + block).inputs(from, count);
                ready.product::<S, NR, true>(simd, values, weights, sums);
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

/// The highest score of every query, `maxima` being those so far.
#[inline(always)]
fn highest<const NR: usize>(scores: &[[f32; NR]], maxima: &[f32; NR]) -> [f32; NR] {
    let mut highest = *maxima;
    for row in scores {
        for (highest, score) in highest.iter_mut().zip(row) {
            *highest = if *score > *highest { *score } else { *highest };
        }
    }
    highest
}

/// Turns scores into `exp((score - highest) * scale)`, rounded, and adds them to `totals` before
/// they are rounded.
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

/// `x += output(context)` for a run of panels.
pub(crate) struct OutputTask<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) context: &'a [f32],
    pub(crate) weights: &'a Blocks,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) unit: Unit,
    pub(crate) dtype: Dtype,
}

impl Task for OutputTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let OutputTask { x, context, weights, scratch, unit, dtype } = self;
        let (x, context) = (x.as_chunks_mut::<NR>().0, context.as_chunks::<NR>().0);
        let ready = unit.start();
        let panels = x.len() / weights.outputs;
        let mut rights = Rights::<NR>::new(unit, panels, weights.inputs, &mut scratch.first);
        for (panel, context) in context.chunks_exact(weights.inputs).enumerate() {
            rights.staging(panel).copy_from_slice(context);
            rights.commit(panel);
        }
        add_products(simd, &ready, &rights, weights, x, dtype);
    }
}
