//! Norm, head and log-softmax on scored positions, in blocks of the vocabulary.

use aligned_vec::AVec;
use pulp::Simd;

use super::kernel::{MR, Task, tile};
use super::math::exp_in_place;
use super::norm::norm;
use super::panels::{Blocks, Floats, grow};
use crate::dtype::Dtype;

/// Outputs whose logits are looked at together; a multiple of `MR`.
const VOCAB_BLOCK: usize = 256;
/// Rows summed in f32 before they go to an f64 sum.
const RUN: usize = 32;

/// What is known of one scored position when all logits have been seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scored {
    /// Natural logarithm of the sum of the logits' exponentials.
    pub(crate) log_total: f64,
    pub(crate) target_logit: f32,
    pub(crate) top: u32,
    pub(crate) kld: f64,
}

/// The baseline's logits of a panel `[vocab, NR]` and what is known of its positions.
#[derive(Clone, Copy)]
pub(crate) struct ReferencePanel<'a> {
    pub(crate) logits: &'a [f32],
    pub(crate) scored: &'a [Scored],
}

/// Scores one panel of positions.
pub(crate) struct HeadTask<'a> {
    /// `[hidden, NR]`, before the final norm.
    pub(crate) x: &'a [f32],
    pub(crate) norm: &'a [f32],
    pub(crate) head: &'a Blocks,
    /// One target for each position; there may be fewer than `NR`.
    pub(crate) targets: &'a [u32],
    /// Where to keep the logits `[vocab, NR]`; without it a reference is compared with.
    pub(crate) keep: Option<&'a mut [f32]>,
    pub(crate) reference: Option<ReferencePanel<'a>>,
    pub(crate) eps: f32,
    pub(crate) dtype: Dtype,
}

impl Task for HeadTask<'_> {
    type Output = Vec<Scored>;

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) -> Vec<Scored> {
        let HeadTask { x, norm: weight, head, targets, keep, reference, eps, dtype } = self;
        let mut normed: Floats = AVec::new(64);
        let normed = grow(&mut normed, x.len()).as_chunks_mut::<NR>().0;
        norm(simd, x.as_chunks::<NR>().0, weight, eps, dtype, normed);

        let mut own: Floats = AVec::new(64);
        let mut work: Floats = AVec::new(64);
        let work = grow(&mut work, VOCAB_BLOCK * NR).as_chunks_mut::<NR>().0;
        let mut keep = keep.map(|keep| keep.as_chunks_mut::<NR>().0);
        let own = match keep {
            Some(_) => &mut [],
            None => grow(&mut own, VOCAB_BLOCK * NR).as_chunks_mut::<NR>().0,
        };
        let mut state = State::<NR>::new(reference.map(|reference| reference.scored));
        for first in (0..head.outputs).step_by(VOCAB_BLOCK) {
            let count = VOCAB_BLOCK.min(head.outputs - first);
            let logits = match &mut keep {
                Some(keep) => &mut keep[first..first + count],
                None => &mut own[..count],
            };
            let mut sums = [[0.0; NR]; MR];
            for (block, out) in (first / MR..).zip(logits.chunks_mut(MR)) {
                tile::<S, NR, false>(simd, head.block(block), normed, &mut sums);
                for (i, (out, sum)) in out.iter_mut().zip(&sums).enumerate() {
                    let bias = head.bias(block * MR + i);
                    for (out, sum) in out.iter_mut().zip(sum) {
                        *out = sum + bias;
                    }
                }
            }
            state.add(first, logits, work, targets);
            if let Some(reference) = reference {
                let kept = &reference.logits.as_chunks::<NR>().0[first..first + count];
                state.compare(logits, kept, work);
            }
        }
        state.finish(targets.len())
    }
}

struct State<'a, const NR: usize> {
    maxima: [f32; NR],
    tops: [u32; NR],
    totals: [f64; NR],
    target_logits: [f32; NR],
    reference: Option<&'a [Scored]>,
    /// Σ p (z_ref - z) and Σ p, where p is the reference's probability.
    drift: [f64; NR],
    mass: [f64; NR],
}

impl<'a, const NR: usize> State<'a, NR> {
    #[inline(always)]
    fn new(reference: Option<&'a [Scored]>) -> Self {
        State {
            maxima: [f32::NEG_INFINITY; NR],
            tops: [0; NR],
            totals: [0.0; NR],
            target_logits: [f32::NAN; NR],
            reference,
            drift: [0.0; NR],
            mass: [0.0; NR],
        }
    }

    /// Takes in the logits of outputs `first..`.
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

    /// Takes in the same outputs' logits of the reference.
    ///
    /// KLD = Σ p (log p - log q) = Σ p (z_ref - z) + (log Z - log Z_ref) Σ p, which is exactly 0
    /// for equal logits.
    #[inline(always)]
    fn compare(&mut self, logits: &[[f32; NR]], kept: &[[f32; NR]], work: &mut [[f32; NR]]) {
        let mut offsets = [0.0f32; NR];
        for (offset, scored) in offsets.iter_mut().zip(self.reference.unwrap_or(&[])) {
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

    fn finish(&self, count: usize) -> Vec<Scored> {
        (0..count)
            .map(|t| {
                let log_total = f64::from(self.maxima[t]) + self.totals[t].ln();
                let kld = self
                    .reference
                    .and_then(|reference| reference.get(t))
                    .map_or(0.0, |r| self.drift[t] / self.mass[t] + (log_total - r.log_total));
                let (target_logit, top) = (self.target_logits[t], self.tops[t]);
                Scored { log_total, target_logit, top, kld }
            })
            .collect()
    }
}
