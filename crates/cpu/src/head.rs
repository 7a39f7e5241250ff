//! Norm, head and log-softmax on scored positions, in blocks of the vocabulary.

use pulp::Simd;

use crate::blocks::Blocks;
use crate::kernel::Task;
use crate::math::{exp_in_place, tanh};
use crate::norm::Norm;
use crate::panels::{Scratch, zeros};
use crate::product::{ROWS, Right, Rights, Started};
use crate::rules::Rules;

/// Number of outputs whose logits are processed together; a multiple of `ROWS`.
const VOCAB_BLOCK: usize = 256;
/// Number of rows summed in f32 before they are added to an f64 sum.
const RUN: usize = 32;

/// What is known about a scored position after all its logits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scored {
    /// Natural logarithm of the sum of the logits' exponentials.
    pub(crate) log_total: f64,
    pub(crate) target_logit: f32,
    pub(crate) top: u32,
    pub(crate) top_logit: f32,
    pub(crate) kld: f64,
}

/// The baseline's logits of a run of panels, `[panels, vocab, NR]`, and what is known about its
/// positions.
#[derive(Clone, Copy)]
pub(crate) struct ReferencePanels<'a> {
    pub(crate) logits: &'a [f32],
    pub(crate) scored: &'a [Scored],
}

/// Where the logits of a run of panels go.
pub(crate) enum Logits<'a> {
    /// They are kept, `[panels, vocab, NR]`.
    Keep(&'a mut [f32]),
    /// They are compared with the baseline's and discarded.
    Compare(ReferencePanels<'a>),
}

/// Scores a run of panels of positions.
pub(crate) struct HeadTask<'a> {
    /// Input of the final norm, `[panels, hidden, NR]`.
    pub(crate) x: &'a [f32],
    pub(crate) norm: &'a Norm,
    pub(crate) head: &'a Blocks,
    /// One target for each position; the last panel may have fewer than `NR`.
    pub(crate) targets: &'a [u32],
    pub(crate) logits: Logits<'a>,
    pub(crate) scratch: &'a mut Scratch,
    /// Logits become `cap * tanh(logits / cap)`.
    pub(crate) cap: Option<f32>,
    pub(crate) rules: Rules,
}

impl Task for HeadTask<'_> {
    type Output = Vec<Scored>;

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) -> Vec<Scored> {
        let HeadTask { x, norm, head, targets, logits, scratch, cap, rules } = self;
        let mut place = logits;
        let (hidden, vocab) = (head.inputs, head.outputs);
        let ready = rules.unit.start();
        let x = x.as_chunks::<NR>().0;
        let mut normed =
            Rights::<NR>::new(rules.unit, x.len() / hidden, hidden, &mut scratch.first);
        for (panel, x) in x.chunks_exact(hidden).enumerate() {
            norm.write(simd, x, normed.staging(panel), rules);
            normed.commit(panel);
        }
        let (mut own, mut work) = (zeros(VOCAB_BLOCK * NR), zeros(VOCAB_BLOCK * NR));
        let (own, work) = (own.as_chunks_mut::<NR>().0, work.as_chunks_mut::<NR>().0);
        let mut states = vec![State::<NR>::new(); x.len() / hidden];
        for first in (0..vocab).step_by(VOCAB_BLOCK) {
            let count = VOCAB_BLOCK.min(vocab - first);
            for (panel, state) in states.iter_mut().enumerate() {
                let at = panel * vocab + first;
                let (logits, reference) = match &mut place {
                    Logits::Keep(keep) => (&mut keep.as_chunks_mut::<NR>().0[at..at + count], None),
                    Logits::Compare(reference) => (&mut own[..count], Some(*reference)),
                };
                product(simd, &ready, head, first / ROWS, normed.panel(panel), logits);
                if let Some(biases) = head.biases() {
                    for (logits, bias) in logits.iter_mut().zip(&biases[first..]) {
                        for logit in logits {
                            *logit += bias;
                        }
                    }
                }
                if let Some(cap) = cap {
                    capped(logits.as_flattened_mut(), cap);
                }
                let lanes = panel * NR..targets.len().min((panel + 1) * NR);
                state.add(first, logits, work, &targets[lanes.clone()]);
                if let Some(reference) = reference {
                    let kept = &reference.logits.as_chunks::<NR>().0[at..at + count];
                    state.compare(logits, kept, &reference.scored[lanes], work);
                }
            }
        }
        let kept = match &place {
            Logits::Keep(_) => &[],
            Logits::Compare(reference) => reference.scored,
        };
        (0..targets.len()).map(|i| states[i / NR].finish(i % NR, kept.get(i))).collect()
    }
}

/// Caps logits or scores: `cap * tanh(logits / cap)`.
#[inline(always)]
pub(crate) fn capped(logits: &mut [f32], cap: f32) {
    for logit in logits {
        *logit = cap * tanh(*logit / cap);
    }
}

/// The logits of some outputs, from block `first` on.
#[inline(always)]
fn product<S: Simd, const NR: usize>(
    simd: S,
    unit: &Started,
    head: &Blocks,
    first: usize,
    right: Right<'_, NR>,
    logits: &mut [[f32; NR]],
) {
    let mut sums = [[0.0; NR]; ROWS];
    for (block, out) in (first..).zip(logits.chunks_mut(ROWS)) {
        unit.product::<S, NR, false>(simd, head.block(block), right, &mut sums);
        for (out, sum) in out.iter_mut().zip(&sums) {
            *out = *sum;
        }
    }
}

/// Running sums over the outputs, for every position of a panel.
#[derive(Clone)]
struct State<const NR: usize> {
    maxima: [f32; NR],
    tops: [u32; NR],
    totals: [f64; NR],
    target_logits: [f32; NR],
    /// Σ p (z_ref - z) and Σ p, where p is the reference's probability.
    drift: [f64; NR],
    mass: [f64; NR],
}

impl<const NR: usize> State<NR> {
    #[inline(always)]
    fn new() -> Self {
        State {
            maxima: [f32::NEG_INFINITY; NR],
            tops: [0; NR],
            totals: [0.0; NR],
            target_logits: [f32::NAN; NR],
            drift: [0.0; NR],
            mass: [0.0; NR],
        }
    }

    /// Adds the logits of outputs `first..`.
    #[inline(always)]
    fn add(&mut self, first: usize, logits: &[[f32; NR]], work: &mut [[f32; NR]], targets: &[u32]) {
        let mut highest = self.maxima;
        for row in logits {
            for (highest, logit) in highest.iter_mut().zip(row) {
                *highest = if *logit > *highest { *logit } else { *highest };
            }
        }
        for t in 0..NR {
            if highest[t] > self.maxima[t] {
                let at = logits.iter().position(|row| row[t] == highest[t]).unwrap_or(0);
                self.tops[t] = (first + at) as u32;
                self.totals[t] *= (f64::from(self.maxima[t]) - f64::from(highest[t])).exp();
            }
        }
        self.maxima = highest;
        for (logits, work) in logits.chunks(RUN).zip(work.chunks_mut(RUN)) {
            let mut sums = [0.0f32; NR];
            for (row, work) in logits.iter().zip(work) {
                for ((work, logit), highest) in work.iter_mut().zip(row).zip(&highest) {
                    *work = logit - highest;
                }
                exp_in_place(work);
                for (sum, work) in sums.iter_mut().zip(work) {
                    *sum += *work;
                }
            }
            for (total, sum) in self.totals.iter_mut().zip(sums) {
                *total += f64::from(sum);
            }
        }
        for (t, target) in targets.iter().enumerate() {
            if let Some(row) = (*target as usize).checked_sub(first).and_then(|at| logits.get(at)) {
                self.target_logits[t] = row[t];
            }
        }
    }

    /// Adds the reference's logits of the same outputs.
    ///
    /// KLD = Σ p (log p - log q) = Σ p (z_ref - z) + (log Z - log Z_ref) Σ p, which is exactly 0 for
    /// equal logits.
    #[inline(always)]
    fn compare(
        &mut self,
        logits: &[[f32; NR]],
        kept: &[[f32; NR]],
        scored: &[Scored],
        work: &mut [[f32; NR]],
    ) {
        let mut offsets = [0.0f32; NR];
        for (offset, scored) in offsets.iter_mut().zip(scored) {
            *offset = scored.log_total as f32;
        }
        let runs = logits.chunks(RUN).zip(kept.chunks(RUN)).zip(work.chunks_mut(RUN));
        for ((logits, kept), work) in runs {
            let (mut drift, mut mass) = ([0.0f32; NR], [0.0f32; NR]);
            for ((row, kept), work) in logits.iter().zip(kept).zip(work) {
                for ((work, kept), offset) in work.iter_mut().zip(kept).zip(&offsets) {
                    *work = kept - offset;
                }
                exp_in_place(work);
                for t in 0..NR {
                    mass[t] += work[t];
                    drift[t] = work[t].mul_add(kept[t] - row[t], drift[t]);
                }
            }
            for t in 0..NR {
                self.drift[t] += f64::from(drift[t]);
                self.mass[t] += f64::from(mass[t]);
            }
        }
    }

    fn finish(&self, t: usize, reference: Option<&Scored>) -> Scored {
        let log_total = f64::from(self.maxima[t]) + self.totals[t].ln();
        let kld = reference.map_or(0.0, |reference| {
            self.drift[t] / self.mass[t] + (log_total - reference.log_total)
        });
        let (target_logit, top, top_logit) = (self.target_logits[t], self.tops[t], self.maxima[t]);
        Scored { log_total, target_logit, top, top_logit, kld }
    }
}
