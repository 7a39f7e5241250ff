//! The attention block: projections with rotary positions, causal attention, output.

use pulp::Simd;
use rayon::prelude::*;

use super::kernel::{MR, Task, panel_tokens, tile};
use super::math::{exp, exp_in_place};
use super::norm::{add_residual, norm};
use super::panels::{Blocks, Floats, Scratch, grow, per_sequence, zeros};
use crate::dtype::Dtype;

/// Keys that are scored at a time; a multiple of `MR`.
const KEY_BLOCK: usize = 128;

/// Weights of an attention block; `project` is query, key and value, one below the other.
pub(crate) struct Attention {
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
    pub(crate) eps: f32,
    pub(crate) dtype: Dtype,
}

impl Task for ProjectTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let ProjectTask { x, out, weights, heads, rope, scratch, first, panels, eps, dtype } = self;
        let project = &weights.project;
        let (hidden, width) = (project.inputs, project.outputs);
        let (x, out) = (x.as_chunks::<NR>().0, out.as_chunks_mut::<NR>().0);
        let normed = grow(&mut scratch.first, x.len() * NR).as_chunks_mut::<NR>().0;
        for (x, out) in x.chunks_exact(hidden).zip(normed.chunks_exact_mut(hidden)) {
            norm(simd, x, &weights.norm, eps, dtype, out);
        }
        let mut sums = [[0.0; NR]; MR];
        for block in 0..project.blocks() {
            let row = block * MR;
            for (panel, b) in normed.chunks_exact(hidden).enumerate() {
                tile::<S, NR, false>(simd, project.block(block), b, &mut sums);
                let out = &mut out[panel * width + row..][..project.valid(block)];
                for (i, (out, sum)) in out.iter_mut().zip(&sums).enumerate() {
                    let bias = project.bias(row + i);
                    for (out, sum) in out.iter_mut().zip(sum) {
                        *out = sum + bias;
                    }
                    dtype.round(out);
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

/// Keys and values of all sequences, laid out as the left operand of a tile.
pub(crate) struct KeysValues {
    /// `[batch, kv heads, key blocks of MR, dim, MR]`.
    keys: Floats,
    /// `[batch, kv heads, dim / MR, padded keys, MR]`.
    values: Floats,
    /// Tokens, filled up to whole panels and blocks.
    padded: usize,
}

impl KeysValues {
    /// Takes keys and values out of what [`ProjectTask`] wrote.
    pub(crate) fn pack(projected: &[f32], heads: Heads, batch: usize, tokens: usize) -> KeysValues {
        let nr = panel_tokens();
        let panels = per_sequence(tokens);
        let padded = panels * nr;
        let width = (heads.queries + 2 * heads.keys) * heads.dim;
        let row = |sequence: usize, panel: usize, channel: usize| {
            let start = ((sequence * panels + panel) * width + channel) * nr;
            &projected[start..start + nr]
        };
        let mut keys = zeros(batch * heads.keys * padded * heads.dim);
        let block = nr * heads.dim;
        keys.par_chunks_mut(block.max(1)).enumerate().for_each(|(index, chunk)| {
            let (owner, panel) = (index / panels, index % panels);
            let (sequence, head) = (owner / heads.keys, owner % heads.keys);
            for c in 0..heads.dim {
                let source = row(sequence, panel, (heads.queries + head) * heads.dim + c);
                for (part, group) in source.as_chunks::<MR>().0.iter().enumerate() {
                    chunk[(part * heads.dim + c) * MR..][..MR].copy_from_slice(group);
                }
            }
        });
        let groups = heads.dim.div_ceil(MR);
        let mut values = zeros(batch * heads.keys * groups * padded * MR);
        values.par_chunks_mut((padded * MR).max(1)).enumerate().for_each(|(index, chunk)| {
            let (owner, group) = (index / groups, index % groups);
            let (sequence, head) = (owner / heads.keys, owner % heads.keys);
            for panel in 0..panels {
                let chunk = &mut chunk[panel * nr * MR..][..nr * MR];
                for lane in 0..MR.min(heads.dim - group * MR) {
                    let channel = (heads.queries + heads.keys + head) * heads.dim + group * MR;
                    let source = row(sequence, panel, channel + lane);
                    for (target, value) in chunk.chunks_exact_mut(MR).zip(source) {
                        target[lane] = *value;
                    }
                }
            }
        });
        KeysValues { keys, values, padded }
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
    pub(crate) dtype: Dtype,
}

impl Task for AttendTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let AttendTask {
            projected,
            cache,
            out,
            scratch,
            heads,
            panel,
            panels,
            head,
            tokens,
            dtype,
        } = self;
        let dim = heads.dim;
        let width = (heads.queries + 2 * heads.keys) * dim;
        let start = panel * width + head * dim;
        let queries = &projected.as_chunks::<NR>().0[start..start + dim];
        let owner = panel / panels * heads.keys + head / (heads.queries / heads.keys);
        let size = cache.padded * dim;
        let keys = cache.keys[owner * size..(owner + 1) * size].as_chunks::<MR>().0;
        let groups = dim.div_ceil(MR);
        let size = groups * cache.padded * MR;
        let values = cache.values[owner * size..(owner + 1) * size].as_chunks::<MR>().0;
        let first_query = panel % panels * NR;
        let end = (first_query + NR).min(tokens.next_multiple_of(MR));
        let scale = 1.0 / (dim as f32).sqrt();

        let scores = grow(&mut scratch.first, KEY_BLOCK * NR).as_chunks_mut::<NR>().0;
        let sums = grow(&mut scratch.second, groups * MR * NR).as_chunks_mut::<NR>().0;
        let sums = sums.as_chunks_mut::<MR>().0;
        sums.as_flattened_mut().as_flattened_mut().fill(0.0);
        let mut maxima = [f32::NEG_INFINITY; NR];
        let mut totals = [0.0f32; NR];
        for from in (0..end).step_by(KEY_BLOCK) {
            let count = KEY_BLOCK.min(end - from);
            let scores = &mut scores[..count];
            for (block, out) in scores.as_chunks_mut::<MR>().0.iter_mut().enumerate() {
                let start = (from / MR + block) * dim;
                tile::<S, NR, false>(simd, &keys[start..start + dim], queries, out);
            }
            for (key, row) in (from..).zip(scores.iter_mut()) {
                if key > first_query {
                    row[..NR.min(key - first_query)].fill(f32::NEG_INFINITY);
                }
            }
            let mut highest = maxima;
            for row in scores.iter() {
                for (highest, score) in highest.iter_mut().zip(row) {
                    *highest = if *score > *highest { *score } else { *highest };
                }
            }
            let mut shrink = [0.0f32; NR];
            for t in 0..NR {
                shrink[t] = exp((maxima[t] - highest[t]) * scale);
                totals[t] *= shrink[t];
            }
            maxima = highest;
            for row in scores.iter_mut() {
                for (score, highest) in row.iter_mut().zip(&highest) {
                    *score = (*score - highest) * scale;
                }
                exp_in_place(row);
                for (total, score) in totals.iter_mut().zip(row) {
                    *total += *score;
                }
            }
            for (group, sums) in sums.iter_mut().enumerate() {
                for sum in sums.iter_mut() {
                    for (sum, shrink) in sum.iter_mut().zip(&shrink) {
                        *sum *= shrink;
                    }
                }
                let start = group * cache.padded + from;
                tile::<S, NR, true>(simd, &values[start..start + count], scores, sums);
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

/// `x += output(context)` for a run of panels.
pub(crate) struct OutputTask<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) context: &'a [f32],
    pub(crate) weights: &'a Blocks,
    pub(crate) dtype: Dtype,
}

impl Task for OutputTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let OutputTask { x, context, weights, dtype } = self;
        let (x, context) = (x.as_chunks_mut::<NR>().0, context.as_chunks::<NR>().0);
        let mut sums = [[0.0; NR]; MR];
        for block in 0..weights.blocks() {
            let row = block * MR;
            for (panel, b) in context.chunks_exact(weights.inputs).enumerate() {
                tile::<S, NR, false>(simd, weights.block(block), b, &mut sums);
                let x = &mut x[panel * weights.outputs + row..][..weights.valid(block)];
                for (i, (x, sum)) in x.iter_mut().zip(&sums).enumerate() {
                    add_residual(x, sum, weights.bias(row + i), dtype);
                }
            }
        }
    }
}
