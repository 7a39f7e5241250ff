//! One token of every sequence: matrix-vector products, whose outputs are shared among threads.
//!
//! The sums are made in the order of the panels' products, so that a token has the same values either way.

use pulp::Simd;
use rayon::prelude::*;

use crate::CpuOps;
use crate::activation::activate;
use crate::attention::{Attention, Rotate};
use crate::blocks::Blocks;
use crate::finish::{Ending, Join, join};
use crate::head::capped;
use crate::kernel::{MR, Task, dispatch, panel_tokens};
use crate::mlp::{FeedForward, Mlp};
use crate::norm::Norm;
use crate::panels::{Panels, grow, per_sequence};
use crate::product::{Column, LeftBlock, ROWS};
use crate::rules::Rules;

/// Number of weights in a product below which sharing it costs more than it gains.
const SHARED: usize = 1 << 17;

impl Blocks {
    /// The product with a vector, with the bias, rounded.
    fn times(&self, x: &[f32], rules: Rules) -> Vec<f32> {
        let mut out = self.sums(x, rules);
        for (output, value) in out.iter_mut().enumerate() {
            *value += self.bias(output);
        }
        rules.dtype.round(&mut out);
        out
    }

    /// The product with a vector.
    fn sums(&self, x: &[f32], rules: Rules) -> Vec<f32> {
        let column = Column::new(rules.unit, x);
        let parts = (self.outputs * self.inputs / SHARED).clamp(1, rayon::current_num_threads());
        let blocks = self.count().div_ceil(parts).max(1);
        let mut out = vec![0.0; self.outputs];
        let times = |(part, out): (usize, &mut [f32])| {
            dispatch(TimesTask {
                weights: self,
                column: &column,
                first: part * blocks,
                out,
                rules,
            });
        };
        match parts {
            1 => times((0, &mut out)),
            _ => out.par_chunks_mut(blocks * ROWS).enumerate().for_each(times),
        }
        out
    }
}

/// Some outputs of a product with a vector, from block `first` on.
struct TimesTask<'a> {
    weights: &'a Blocks,
    column: &'a Column,
    first: usize,
    out: &'a mut [f32],
    rules: Rules,
}

impl Task for TimesTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, _: S) {
        let TimesTask { weights, column, first, out, rules } = self;
        let ready = rules.unit.start();
        for (block, out) in (first..).zip(out.chunks_mut(ROWS)) {
            let mut sums = [0.0; ROWS];
            match (weights.block(block), column) {
                (LeftBlock::Vectors([low, high]), Column::Rows(x)) => {
                    let (mut above, mut below) = ([0.0f32; MR], [0.0f32; MR]);
                    for ((low, high), x) in low.iter().zip(high).zip(x) {
                        for i in 0..MR {
                            above[i] = low[i].mul_add(*x, above[i]);
                            below[i] = high[i].mul_add(*x, below[i]);
                        }
                    }
                    sums[..MR].copy_from_slice(&above);
                    sums[MR..].copy_from_slice(&below);
                }
                (left, column) => ready.column(left, column, &mut sums),
            }
            out.copy_from_slice(&sums[..out.len()]);
        }
    }
}

/// The work on a vector between two products.
struct VectorTask<'a, F> {
    values: &'a mut [f32],
    work: F,
}

/// Runs `work(values)`, compiled for every vector width.
trait Work {
    fn apply<S: Simd>(self, simd: S, values: &mut [[f32; 1]]);
}

impl<F: Work> Task for VectorTask<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        self.work.apply(simd, self.values.as_chunks_mut().0);
    }
}

fn apply(values: &mut [f32], work: impl Work) {
    dispatch(VectorTask { values, work });
}

/// Norms every group of channels.
struct Normed<'a>(&'a Norm, Rules);

impl Work for Normed<'_> {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, values: &mut [[f32; 1]]) {
        for values in values.chunks_exact_mut(self.0.channels()) {
            self.0.replace(simd, values, self.1);
        }
    }
}

/// Computes `act(values) * ups`, or `act(values)`.
struct Activated<'a> {
    network: &'a FeedForward,
    ups: Option<&'a [f32]>,
    rules: Rules,
}

impl Work for Activated<'_> {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, values: &mut [[f32; 1]]) {
        let Activated { network, ups, rules } = self;
        let values = values.as_flattened_mut();
        activate(network.activation, values, rules.dtype);
        if let Some(ups) = ups {
            values.iter_mut().zip(ups).for_each(|(value, up)| *value *= up);
            rules.dtype.round(values);
        }
    }
}

/// Joins the result to the stream.
struct Joined<'a> {
    y: Vec<f32>,
    how: Join<'a>,
    rules: Rules,
}

impl Work for Joined<'_> {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, x: &mut [[f32; 1]]) {
        let Joined { mut y, how, rules } = self;
        let channels = y.len();
        join(simd, y.as_chunks_mut().0, how, x, channels, rules);
    }
}

impl Panels {
    /// Token `token` of a sequence.
    pub(crate) fn token(&self, sequence: usize, token: usize) -> Vec<f32> {
        let nr = panel_tokens();
        let panel = sequence * per_sequence(self.tokens) + token / nr;
        let data = &self.data[panel * self.channels * nr..][..self.channels * nr];
        data.chunks_exact(nr).map(|lanes| lanes[token % nr]).collect()
    }

    /// Sets the only token of a sequence.
    fn set_token(&mut self, sequence: usize, values: &[f32]) {
        let size = self.channels * panel_tokens();
        set_lanes(&mut self.data[sequence * size..][..size], values);
    }
}

/// Writes the first lane of every row.
fn set_lanes(rows: &mut [f32], values: &[f32]) {
    let rows = rows.chunks_exact_mut(panel_tokens());
    rows.zip(values).for_each(|(lanes, value)| lanes[0] = *value);
}

impl CpuOps {
    /// Like [`CpuOps::project`], for one token per sequence: the other lanes of `self.projected` are
    /// unchanged.
    pub(crate) fn project_single(
        &mut self,
        x: &Panels,
        weights: &Attention,
        position: usize,
        rotate: Rotate,
    ) {
        let (rules, heads, width) = (self.rules, weights.heads, weights.heads.width());
        for sequence in 0..x.batch {
            let mut values = x.token(sequence, 0);
            if let Some(norm) = &weights.norm_in {
                apply(&mut values, Normed(norm, rules));
            }
            let mut out = weights.project.times(&values, rules);
            if let Some(latent) = &weights.latent {
                out = latent.row(&out, heads, |up, part| {
                    let mut part = part.to_vec();
                    apply(&mut part, Normed(&up.norm, rules));
                    up.project.times(&part, rules)
                });
            }
            let (queries, rest) = out.split_at_mut(heads.queries * heads.dim);
            let keys = &mut rest[..heads.keys * heads.dim];
            if let Some((query, key)) = &weights.head_norms {
                apply(queries, Normed(query, rules));
                apply(keys, Normed(key, rules));
            }
            if let Some(place) = weights.rope {
                let parts = [(queries, rotate != Rotate::None), (keys, rotate == Rotate::Both)];
                for (part, _) in parts.into_iter().filter(|(_, rotated)| *rotated) {
                    let positions = std::iter::repeat(position);
                    let dtype = rules.dtype;
                    self.ropes.rotate(place, position + 1, heads.dim, positions, part, dtype);
                }
            }
            let size = width * panel_tokens();
            let projected = grow(&mut self.projected, x.batch * size);
            set_lanes(&mut projected[sequence * size..][..size], &out);
        }
    }

    /// Like [`CpuOps::project_context`], for one token per sequence.
    pub(crate) fn project_context_single(
        &self,
        x: &mut Panels,
        weights: &Attention,
        ending: Ending<'_>,
    ) {
        let (rules, output) = (self.rules, &weights.output);
        let nr = panel_tokens();
        for sequence in 0..x.batch {
            let context = &self.context[sequence * output.inputs * nr..][..output.inputs * nr];
            let context: Vec<f32> = context.chunks_exact(nr).map(|lanes| lanes[0]).collect();
            let y = output.times(&context, rules);
            self.join_single(x, sequence, y, weights.norm_out.as_ref(), ending);
        }
    }

    /// Like [`CpuOps::think`], for one token per sequence and one network.
    pub(crate) fn think_single(
        &self,
        x: &mut Panels,
        (weights, network): (&Mlp, &FeedForward),
        ending: Ending<'_>,
    ) {
        let rules = self.rules;
        for sequence in 0..x.batch {
            let mut normed = x.token(sequence, 0);
            if let Some(norm) = &weights.norm_in {
                apply(&mut normed, Normed(norm, rules));
            }
            let mut ups = network.up.times(&normed, rules);
            let inner = match &network.gate {
                None => {
                    apply(&mut ups, Activated { network, ups: None, rules });
                    ups
                }
                Some(gate) => {
                    let mut gates = gate.times(&normed, rules);
                    apply(&mut gates, Activated { network, ups: Some(&ups), rules });
                    gates
                }
            };
            let y = network.down.times(&inner, rules);
            self.join_single(x, sequence, y, weights.norm_out.as_ref(), ending);
        }
    }

    /// Joins a block's output `y` to the only token of a sequence.
    fn join_single(
        &self,
        x: &mut Panels,
        sequence: usize,
        y: Vec<f32>,
        norm: Option<&Norm>,
        ending: Ending<'_>,
    ) {
        let other = match ending {
            Ending::Added(other) => other.map(|other| other.token(sequence, 0)),
            Ending::Alone | Ending::Sums(_) => None,
        };
        let how = match ending {
            Ending::Added(_) => Join::Added { norm, other: other.as_deref() },
            Ending::Alone => Join::Alone { norm },
            Ending::Sums(columns) => Join::Sums(columns),
        };
        let mut values = x.token(sequence, 0);
        apply(&mut values, Joined { y, how, rules: self.rules });
        x.set_token(sequence, &values);
    }

    /// Logits of one state.
    pub(crate) fn logits_of(&self, mut state: Vec<f32>, norm: &Norm, head: &Blocks) -> Vec<f32> {
        apply(&mut state, Normed(norm, self.rules));
        let mut logits = head.sums(&state, self.rules);
        for (logit, bias) in logits.iter_mut().zip(head.biases().unwrap_or_default()) {
            *logit += bias;
        }
        if let Some(cap) = self.shape.logit_cap {
            capped(&mut logits, cap as f32);
        }
        logits
    }
}
