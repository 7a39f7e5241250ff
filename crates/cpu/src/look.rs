//! What can be asked about attention. Probabilities of a row at a time are in memory.

use pulp::Simd;
use rayon::prelude::*;
use strait_ops::{HeadEntries, Look, Seen};

use crate::CpuOps;
use crate::attention::{Attention, Turn};
use crate::kernel::{Task, dispatch, panel_tokens};
use crate::math::exp_nonpositive;
use crate::panels::Panels;
use crate::past::Cache;
use crate::step::dot;

impl CpuOps {
    pub(crate) fn look_at(
        &mut self,
        x: &Panels,
        sequence: usize,
        weights: &Attention,
        (cache, first_position): (&Cache, usize),
        look: &Look,
    ) -> Seen {
        let (nr, heads, dtype) = (panel_tokens(), weights.heads, self.rules.dtype);
        let (tokens, first_panel) = (x.tokens, look.rows.start / nr);
        let x = x.panels(sequence, first_panel..look.rows.end.div_ceil(nr));
        self.project(&x, weights, 0, first_position, Turn::None);
        let panels = &self.projected;
        let query = |head: usize| {
            let rows = look.rows.clone().flat_map(|row| {
                let first = (row / nr - first_panel) * heads.width() + head * heads.dim;
                (first..first + heads.dim).map(move |channel| panels[channel * nr + row % nr])
            });
            rows.collect::<Vec<f32>>()
        };
        let mut queries: Vec<Vec<f32>> = (0..heads.queries).map(query).collect();
        let mut seen = Seen::default();
        if look.queries {
            seen.queries.clone_from(&queries);
        }
        if !look.attention() {
            return seen;
        }
        let length = first_position + tokens;
        let positions = || look.rows.clone().map(|row| first_position + row);
        if let Some(place) = weights.rope {
            for rows in &mut queries {
                self.ropes.turn(place, length, heads.dim, positions(), rows, dtype);
            }
        }
        let keys = self.turned_keys(cache, weights, length);
        let looks: Vec<HeadLook> = queries
            .par_iter()
            .enumerate()
            .map(|(head, queries)| {
                let key_head = head / (heads.queries / heads.keys);
                let (keys, entries) = (&keys[key_head], &cache.contents.heads[key_head]);
                let first = first_position + look.rows.start;
                dispatch(LookTask { queries, keys, entries, weights, first, look })
            })
            .collect();
        for HeadLook { sums, each, entropy } in looks {
            seen.sums.extend(look.sums.then_some(sums));
            seen.each.extend(look.each.then_some(each));
            seen.entropy.extend(look.entropy.then_some(entropy));
        }
        seen
    }
}

/// What one query head sees.
struct HeadLook {
    sums: Vec<f32>,
    each: Vec<f32>,
    entropy: Vec<f32>,
}

/// The attention of queries `[rows, dim]` from position `first` on to keys `[entries, dim]`.
struct LookTask<'a> {
    queries: &'a [f32],
    keys: &'a [f32],
    entries: &'a HeadEntries,
    weights: &'a Attention,
    first: usize,
    look: &'a Look,
}

impl Task for LookTask<'_> {
    type Output = HeadLook;

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, _: S) -> HeadLook {
        let LookTask { queries, keys, entries, weights, first, look } = self;
        let (dim, count) = (weights.heads.dim, entries.len());
        // Sums of thousands of small numbers.
        let mut sums = vec![0.0f64; count];
        let mut result = HeadLook { sums: Vec::new(), each: Vec::new(), entropy: Vec::new() };
        let mut shares = vec![0.0f32; count];
        for (position, query) in (first..).zip(queries.chunks_exact(dim)) {
            let visible = Cache::seen(entries, position, weights.window);
            shares.fill(0.0);
            let seen = &mut shares[visible.clone()];
            let mut highest = f32::NEG_INFINITY;
            let keys = keys[visible.start * dim..visible.end * dim].chunks_exact(dim);
            for (share, key) in seen.iter_mut().zip(keys) {
                *share = dot(query, key) * weights.scale;
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
            if look.entropy {
                let terms = seen.iter().map(|&p| if p > 0.0 { -p * p.ln() } else { 0.0 });
                result.entropy.push(terms.sum());
            }
            if look.each {
                result.each.extend_from_slice(&shares);
            }
        }
        result.sums = sums.into_iter().map(|sum| sum as f32).collect();
        result
    }
}
