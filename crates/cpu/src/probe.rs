//! Probes of attention. Only one row of probabilities is in memory at a time.

use pulp::Simd;
use rayon::prelude::*;
use strait_ops::{CacheContents, HeadEntries, ProbeRequest, ProbeResult};

use crate::CpuOps;
use crate::attention::{Attention, Rotate};
use crate::head::capped;
use crate::kernel::{Task, dispatch, panel_tokens};
use crate::math::exp_nonpositive;
use crate::norm::Norm;
use crate::panels::Panels;
use crate::past::Cache;
use crate::rules::Rules;
use crate::step::dot;

impl CpuOps {
    pub(crate) fn probe(
        &mut self,
        x: &Panels,
        sequence: usize,
        weights: &Attention,
        (cache, first_position): (&Cache, usize),
        request: &ProbeRequest,
    ) -> ProbeResult {
        let (nr, heads, dtype) = (panel_tokens(), weights.heads, self.rules.dtype);
        let (tokens, first_panel) = (x.tokens, request.rows.start / nr);
        let x = x.panels(sequence, first_panel..request.rows.end.div_ceil(nr));
        let mut result = ProbeResult::default();
        if request.outputs {
            result.outputs = output_norms(weights, &cache.contents);
        }
        if request.states {
            let mut x = x.data.clone();
            if let Some(norm) = &weights.norm_in {
                dispatch(NormTask { x: &mut x, norm, rules: self.rules });
            }
            let channels = weights.project.inputs;
            result.states = request
                .rows
                .clone()
                .flat_map(|row| {
                    let first = (row / nr - first_panel) * channels;
                    (first..first + channels).map(move |channel| channel * nr + row % nr)
                })
                .map(|at| x[at])
                .collect();
        }
        if !request.queries && !request.attention() {
            return result;
        }
        self.project(&x, weights, 0, first_position, Rotate::None);
        let panels = &self.projected;
        let query = |head: usize| {
            let rows = request.rows.clone().flat_map(|row| {
                let first = (row / nr - first_panel) * heads.width() + head * heads.dim;
                (first..first + heads.dim).map(move |channel| panels[channel * nr + row % nr])
            });
            rows.collect::<Vec<f32>>()
        };
        let mut queries: Vec<Vec<f32>> = (0..heads.queries).map(query).collect();
        if request.queries {
            result.queries.clone_from(&queries);
        }
        if !request.attention() {
            return result;
        }
        let length = first_position + tokens;
        let positions = || request.rows.clone().map(|row| first_position + row);
        if let Some(place) = weights.rope {
            for rows in &mut queries {
                self.ropes.rotate(place, length, heads.dim, positions(), rows, dtype);
            }
        }
        let keys = self.rotated_keys(cache, weights, length);
        let heads: Vec<HeadProbe> = queries
            .par_iter()
            .enumerate()
            .map(|(head, queries)| {
                let key_head = head / (heads.queries / heads.keys);
                let (keys, entries) = (&keys[key_head], &cache.contents.heads[key_head]);
                let first = first_position + request.rows.start;
                dispatch(ProbeTask { queries, keys, entries, weights, first, request })
            })
            .collect();
        for HeadProbe { sums, each, entropy } in heads {
            result.sums.extend(request.sums.then_some(sums));
            result.each.extend(request.each.then_some(each));
            result.entropy.extend(request.entropy.then_some(entropy));
        }
        result
    }
}

/// For every query head, the 1-norm of each value times the head's part of the output projection.
fn output_norms(weights: &Attention, contents: &CacheContents) -> Vec<Vec<f32>> {
    let (heads, output) = (weights.heads, &weights.output);
    // Arranged by input, so that what a value adds is a sum of rows.
    let mut by_input = vec![0.0; output.inputs * output.outputs];
    let mut row = vec![0.0; output.inputs];
    for index in 0..output.outputs {
        output.row(index, &mut row);
        let column = by_input.iter_mut().skip(index).step_by(output.outputs);
        column.zip(&row).for_each(|(target, value)| *target = *value);
    }
    let of_head = |head: usize| {
        let values = &contents.heads[head / (heads.queries / heads.keys)].values;
        let rows = &by_input[head * heads.value * output.outputs..];
        dispatch(OutputTask { values, rows, dim: heads.value, outputs: output.outputs })
    };
    (0..heads.queries).into_par_iter().map(of_head).collect()
}

/// Multiplies values `[entries, dim]` by rows `[dim, outputs]` and takes the 1-norms of the
/// results.
struct OutputTask<'a> {
    values: &'a [f32],
    rows: &'a [f32],
    dim: usize,
    outputs: usize,
}

impl Task for OutputTask<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, _: S) -> Vec<f32> {
        let OutputTask { values, rows, dim, outputs } = self;
        let mut sum = vec![0.0f32; outputs];
        let norm = |value: &[f32]| {
            sum.fill(0.0);
            for (value, row) in value.iter().zip(rows.chunks_exact(outputs)) {
                sum.iter_mut()
                    .zip(row)
                    .for_each(|(sum, weight)| *sum = value.mul_add(*weight, *sum));
            }
            sum.iter().map(|value| value.abs()).sum()
        };
        values.chunks_exact(dim).map(norm).collect()
    }
}

/// Replaces panels `[panels, channels, NR]` by their norms.
struct NormTask<'a> {
    x: &'a mut [f32],
    norm: &'a Norm,
    rules: Rules,
}

impl Task for NormTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        for panel in self.x.as_chunks_mut::<NR>().0.chunks_exact_mut(self.norm.channels()) {
            self.norm.replace(simd, panel, self.rules);
        }
    }
}

/// What one query head attends to.
struct HeadProbe {
    sums: Vec<f32>,
    each: Vec<f32>,
    entropy: Vec<f32>,
}

/// The attention of queries `[rows, dim]` from position `first` on to keys `[entries, dim]`.
struct ProbeTask<'a> {
    queries: &'a [f32],
    keys: &'a [f32],
    entries: &'a HeadEntries,
    weights: &'a Attention,
    first: usize,
    request: &'a ProbeRequest,
}

impl Task for ProbeTask<'_> {
    type Output = HeadProbe;

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, _: S) -> HeadProbe {
        let ProbeTask { queries, keys, entries, weights, first, request } = self;
        let (dim, count) = (weights.heads.dim, entries.len());
        // In f64, because thousands of small numbers are summed.
        let mut sums = vec![0.0f64; count];
        let mut result = HeadProbe { sums: Vec::new(), each: Vec::new(), entropy: Vec::new() };
        let mut shares = vec![0.0f32; count];
        for (position, query) in (first..).zip(queries.chunks_exact(dim)) {
            let visible = Cache::seen(entries, position, weights.window);
            shares.fill(0.0);
            let seen = &mut shares[visible.clone()];
            let mut highest = f32::NEG_INFINITY;
            let keys = keys[visible.start * dim..visible.end * dim].chunks_exact(dim);
            for (share, key) in seen.iter_mut().zip(keys) {
                *share = dot(query, key) * weights.scale;
            }
            if let Some(cap) = weights.cap {
                capped(seen, cap);
            }
            for share in seen.iter() {
                highest = highest.max(*share);
            }
            let mut total = 0.0f32;
            for share in seen.iter_mut() {
                *share = exp_nonpositive(*share - highest);
                total += *share;
            }
            for (share, sum) in seen.iter_mut().zip(&mut sums[visible.clone()]) {
                *share /= total;
                *sum += f64::from(*share);
            }
            if request.entropy {
                let terms = seen.iter().map(|&p| if p > 0.0 { -p * p.ln() } else { 0.0 });
                result.entropy.push(terms.sum());
            }
            if request.each {
                result.each.extend_from_slice(&shares);
            }
        }
        result.sums = sums.into_iter().map(|sum| sum as f32).collect();
        result
    }
}
