//! Attention of a single token: every cached key and value is read once, in memory order.

use std::ops::Range;

use pulp::Simd;
use rayon::prelude::*;
use strait_ops::HeadEntries;

use crate::CpuOps;
use crate::attention::Attention;
use crate::head::capped;
use crate::kernel::{Task, dispatch, panel_tokens};
use crate::math::exp_nonpositive;
use crate::panels::grow;
use crate::past::Cache;
use crate::rules::Rules;

/// Number of entries per task.
const ENTRIES: usize = 1024;
/// Number of lanes in a sum of products.
const LANES: usize = 16;

impl CpuOps {
    /// Writes every head's context of the only token of each of `batch` sequences to `self.context`. Its
    /// projections are in `self.projected`; its key and value are already in the caches.
    pub(crate) fn step(
        &mut self,
        batch: usize,
        weights: &Attention,
        caches: &[Cache],
        position: usize,
    ) {
        let (nr, heads, rules) = (panel_tokens(), weights.heads, self.rules);
        let (width, group) = (heads.width(), heads.queries / heads.keys);
        let mut rotated = Vec::new();
        if caches.iter().any(|cache| !cache.rotated) && weights.rope.is_some() {
            let keys = |cache| self.rotated_keys(cache, weights, position + 1);
            rotated = caches.iter().flat_map(keys).collect();
        }
        let projected = &self.projected[..batch * width * nr];
        let queries: Vec<f32> = projected.chunks_exact(nr).map(|lanes| lanes[0]).collect();
        let tasks = (0..batch * heads.keys).flat_map(|owner| {
            let entries = &caches[owner / heads.keys].contents.heads[owner % heads.keys];
            let seen = Cache::seen(entries, position, weights.window);
            let runs = seen.clone().step_by(ENTRIES);
            runs.map(move |first| (owner, entries, first..seen.end.min(first + ENTRIES)))
        });
        let tasks: Vec<(usize, &HeadEntries, Range<usize>)> = tasks.collect();
        let parts = tasks.par_iter().map(|(owner, entries, run)| {
            let first = owner / heads.keys * width + owner % heads.keys * group * heads.dim;
            let queries = &queries[first..first + group * heads.dim];
            let rotated = rotated.get(*owner).map(Vec::as_slice);
            let task = StepTask { queries, entries, rotated, run: run.clone(), weights, rules };
            (*owner, dispatch(task))
        });
        let parts: Vec<(usize, Vec<Part>)> = parts.collect();
        let context = grow(&mut self.context, batch * heads.queries * heads.value * nr);
        let mut parts = parts.into_iter().peekable();
        while let Some((owner, mut whole)) = parts.next() {
            while let Some((_, more)) = parts.next_if(|(next, _)| *next == owner) {
                whole.iter_mut().zip(more).for_each(|(whole, more)| whole.join(more));
            }
            let first =
                (owner / heads.keys * heads.queries + owner % heads.keys * group) * heads.value;
            for (query, part) in whole.into_iter().enumerate() {
                let first = first + query * heads.value;
                let mut values: Vec<f32> = part.sums.iter().map(|sum| sum / part.total).collect();
                rules.dtype.round(&mut values);
                let lanes = context[first * nr..].chunks_exact_mut(nr);
                lanes.zip(values).for_each(|(lanes, value)| lanes[0] = value);
            }
        }
    }
}

/// The softmax of some entries, not yet divided by its total.
struct Part {
    highest: f32,
    total: f32,
    /// Weighted sums of the values, `[value]`.
    sums: Vec<f32>,
}

impl Part {
    /// Merges the part for other entries.
    fn join(&mut self, other: Part) {
        let highest = self.highest.max(other.highest);
        let (own, more) = ((self.highest - highest).exp(), (other.highest - highest).exp());
        self.highest = highest;
        self.total = self.total * own + other.total * more;
        let sums = self.sums.iter_mut().zip(other.sums);
        sums.for_each(|(sum, other)| *sum = *sum * own + other * more);
    }
}

/// Attention of the queries `[group, dim]` of one key head to a run of its entries.
struct StepTask<'a> {
    queries: &'a [f32],
    entries: &'a HeadEntries,
    /// Keys with all channels, if those of `entries` are not rotated.
    rotated: Option<&'a [f32]>,
    run: Range<usize>,
    weights: &'a Attention,
    rules: Rules,
}

impl Task for StepTask<'_> {
    type Output = Vec<Part>;

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, _: S) -> Vec<Part> {
        let StepTask { queries, entries, rotated, run, weights, rules } = self;
        let (dim, value_dim) = (weights.heads.dim, weights.heads.value);
        // Rotation gave the keys all their channels back, the removed ones as zeros.
        let channels = if rotated.is_some() { None } else { entries.key_channels.as_ref() };
        let kept = channels.map_or(dim, Vec::len);
        let keys = rotated.unwrap_or(&entries.keys);
        let keys = &keys[run.start * kept..run.end * kept];
        let values = &entries.values[run.start * value_dim..run.end * value_dim];
        let mut parts = Vec::with_capacity(queries.len() / dim);
        let mut chosen = vec![0.0; kept];
        let mut shares = vec![0.0; run.len()];
        // Loops instead of iterators with closures, because what remains a call is not compiled for wide
        // vectors.
        for query in queries.chunks_exact(dim) {
            match channels {
                None => chosen.copy_from_slice(query),
                Some(channels) => {
                    for (chosen, &channel) in chosen.iter_mut().zip(channels) {
                        *chosen = query[usize::from(channel)];
                    }
                }
            }
            if kept == 0 {
                shares.fill(0.0);
            } else {
                for (share, key) in shares.iter_mut().zip(keys.chunks_exact(kept)) {
                    *share = dot(&chosen, key) * weights.scale;
                }
                if let Some(cap) = weights.cap {
                    capped(&mut shares, cap);
                }
            }
            let highest = highest(&shares);
            let total = exponentials(&mut shares, highest);
            rules.dtype.round(&mut shares);
            let mut sums = vec![0.0f32; value_dim];
            for first in (0..value_dim).step_by(4 * LANES) {
                let width = (value_dim - first).min(4 * LANES);
                let sums = &mut sums[first..first + width];
                if width == 4 * LANES {
                    add_wide(&shares, values, value_dim, first, sums)
                } else {
                    add(&shares, values, value_dim, first, sums)
                }
            }
            parts.push(Part { highest, total, sums });
        }
        parts
    }
}

/// The highest score.
#[inline(always)]
fn highest(scores: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = scores.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, score) in lanes.iter_mut().zip(chunk) {
            *lane = if *score > *lane { *score } else { *lane };
        }
    }
    let mut highest = f32::NEG_INFINITY;
    for score in lanes.iter().chain(rest) {
        highest = if *score > highest { *score } else { highest };
    }
    highest
}

/// Replaces scores by their exponentials relative to the highest; returns the sum.
#[inline(always)]
fn exponentials(scores: &mut [f32], highest: f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = scores.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (lane, score) in lanes.iter_mut().zip(chunk) {
            *score = exp_nonpositive(*score - highest);
            *lane += *score;
        }
    }
    let mut total = 0.0;
    for score in rest {
        *score = exp_nonpositive(*score - highest);
        total += *score;
    }
    for lane in lanes {
        total += lane;
    }
    total
}

/// Adds `4 * LANES` channels of the values, from `first` on, weighted by their shares.
#[inline(always)]
fn add_wide(shares: &[f32], values: &[f32], dim: usize, first: usize, sums: &mut [f32]) {
    let mut lanes = [[0.0f32; LANES]; 4];
    for (share, value) in shares.iter().zip(values.chunks_exact(dim)) {
        let value = value[first..first + 4 * LANES].as_chunks::<LANES>().0;
        for (lanes, value) in lanes.iter_mut().zip(value) {
            for i in 0..LANES {
                lanes[i] = share.mul_add(value[i], lanes[i]);
            }
        }
    }
    sums.copy_from_slice(lanes.as_flattened());
}

/// Like [`add_wide`], for fewer channels.
#[inline(always)]
fn add(shares: &[f32], values: &[f32], dim: usize, first: usize, sums: &mut [f32]) {
    for (share, value) in shares.iter().zip(values.chunks_exact(dim)) {
        for (sum, value) in sums.iter_mut().zip(&value[first..]) {
            *sum = share.mul_add(*value, *sum);
        }
    }
}

/// The inner product of two slices of equal length.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            sums[i] = a[i].mul_add(b[i], sums[i]);
        }
    }
    let mut rest = 0.0;
    for (a, b) in a_rest.iter().zip(b_rest) {
        rest += a * b;
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
        width /= 2;
    }
    sums[0] + rest
}
