//! The encoder's search for earlier rows that predict a row.
//!
//! A sketch of 64 numbers stands for a row (count sketch: channels are added up in 64 sums with random
//! signs, which keeps inner products on average). The best rows by their sketches are then compared in
//! full; weights make an error in any channel count by the bits that it takes.

use strait_sdk::simd::vectorize;

use crate::history::{History, Reference};

/// Length of a sketch.
const SKETCH: usize = 64;

/// Rows that are compared in full.
const CANDIDATES: usize = 12;

/// Most references of a row.
pub(crate) const REFERENCES: usize = 2;

/// Bits that a reference takes, about.
const COST: f32 = 14.0;

/// Sketches of the rows in a [`History`], and scratch memory.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    sketches: History,
    signs: Vec<f32>,
    roots: Vec<f32>,
    rest: Vec<f32>,
    weighted: Vec<f32>,
    scores: Vec<f32>,
}

impl Search {
    pub(crate) fn new(channels: usize, limit: usize) -> Search {
        let mut state = 0x2545_f491_u32;
        let signs = (0..channels).map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            if state >> 31 == 0 { 1.0 } else { -1.0 }
        });
        Search {
            sketches: History::new(SKETCH, limit),
            signs: signs.collect(),
            roots: vec![1.0; channels],
            rest: vec![0.0; channels],
            weighted: vec![0.0; channels],
            scores: Vec::new(),
        }
    }

    /// The references of `row`, at most [`REFERENCES`], into `found`. `power` is the mean square
    /// about `mean` in units of `step`².
    pub(crate) fn find(
        &mut self,
        row: &[f32],
        mean: &[f32],
        power: &[f32],
        step: f32,
        history: &History,
        found: &mut Vec<Reference>,
    ) {
        found.clear();
        let Search { sketches, signs, roots, rest, weighted, scores } = self;
        if history.len() == 0 || step <= 0.0 {
            return;
        }
        let inverse = 1.0 / step;
        vectorize(
            #[inline(always)]
            || {
                for (root, power) in roots.iter_mut().zip(power) {
                    *root = inverse / (power + NOISE).sqrt();
                }
                for ((rest, value), mean) in rest.iter_mut().zip(row).zip(mean) {
                    *rest = value - mean;
                }
            },
        );
        for _ in 0..REFERENCES {
            let mut sketch = [0.0; SKETCH];
            let energy = vectorize(
                #[inline(always)]
                || {
                    sketch_of(rest, roots, signs, &mut sketch);
                    for ((weighted, rest), root) in weighted.iter_mut().zip(&*rest).zip(&*roots) {
                        *weighted = rest * root * root;
                    }
                    dot(weighted, rest)
                },
            );
            let (past, age) = sketches.slots();
            vectorize(
                #[inline(always)]
                || score(past, &sketch, scores),
            );
            let mut best = (0.0, 0, 0.0);
            for slot in candidates(scores) {
                let age = age(slot);
                let Some(past) = history.get(age) else { continue };
                let (product, square) = vectorize(
                    #[inline(always)]
                    || products(past, mean, weighted, roots),
                );
                let explained = product * product / square.max(1e-30);
                if explained > best.0 {
                    best = (explained, age, product / square);
                }
            }
            let (_, age, weight) = best;
            let Some(past) = history.get(age) else { return };
            let weight = Reference::weight_index(weight);
            let value = Reference::weight_value(weight);
            let left = vectorize(
                #[inline(always)]
                || {
                    for ((rest, past), mean) in rest.iter_mut().zip(past).zip(mean) {
                        *rest -= value * (past - mean);
                    }
                    squares(rest, roots)
                },
            );
            #[allow(clippy::cast_precision_loss)]
            let saved = 0.5 * (energy / left).log2() * row.len() as f32;
            if saved.is_nan() || saved < COST {
                return;
            }
            found.push(Reference { age, weight });
        }
    }

    /// Adds the sketch of a row that the history has just got.
    pub(crate) fn push(&mut self, row: &[f32], mean: &[f32]) {
        let mut sketch = [0.0; SKETCH];
        let Search { signs, roots, rest, .. } = self;
        vectorize(
            #[inline(always)]
            || {
                for ((rest, value), mean) in rest.iter_mut().zip(row).zip(mean) {
                    *rest = value - mean;
                }
                sketch_of(rest, roots, signs, &mut sketch);
                let norm = dot(&sketch, &sketch).sqrt().max(1e-30);
                sketch.iter_mut().for_each(|value| *value /= norm);
            },
        );
        self.sketches.push(&sketch);
    }
}

/// Noise of the quantization that makes a channel of no power count little, in steps².
const NOISE: f32 = 0.3;

#[inline(always)]
fn sketch_of(rest: &[f32], roots: &[f32], signs: &[f32], sketch: &mut [f32; SKETCH]) {
    for ((rest, roots), signs) in
        rest.chunks(SKETCH).zip(roots.chunks(SKETCH)).zip(signs.chunks(SKETCH))
    {
        for (((sum, rest), root), sign) in sketch.iter_mut().zip(rest).zip(roots).zip(signs) {
            *sum += rest * root * sign;
        }
    }
}

/// Magnitudes of the inner products with all sketches.
#[inline(always)]
fn score(past: &[f32], sketch: &[f32; SKETCH], scores: &mut Vec<f32>) {
    scores.clear();
    scores.extend(past.as_chunks::<SKETCH>().0.iter().map(|past| {
        let mut sums = [0.0_f32; 16];
        for (past, sketch) in past.as_chunks::<16>().0.iter().zip(sketch.as_chunks::<16>().0) {
            for ((sum, past), value) in sums.iter_mut().zip(past).zip(sketch) {
                *sum += past * value;
            }
        }
        sums.iter().sum::<f32>().abs()
    }));
}

/// Slots of the largest scores.
fn candidates(scores: &[f32]) -> impl Iterator<Item = usize> {
    let mut best = [(0.0_f32, usize::MAX); CANDIDATES];
    for (slot, score) in scores.iter().enumerate() {
        if *score > best[CANDIDATES - 1].0 {
            let at = best.partition_point(|(other, _)| other >= score);
            best[at..].rotate_right(1);
            best[at] = (*score, slot);
        }
    }
    best.into_iter().filter(|(_, slot)| *slot != usize::MAX).map(|(_, slot)| slot)
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (a, a_rest) = a.as_chunks::<16>();
    let (b, b_rest) = b.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Weighted sum of squares.
#[inline(always)]
fn squares(rest: &[f32], roots: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    for (rest, roots) in rest.chunks(16).zip(roots.chunks(16)) {
        for ((sum, rest), root) in sums.iter_mut().zip(rest).zip(roots) {
            let value = rest * root;
            *sum += value * value;
        }
    }
    sums.iter().sum()
}

/// The product of an earlier row with the weighted rest, and its weighted square.
#[inline(always)]
fn products(past: &[f32], mean: &[f32], weighted: &[f32], roots: &[f32]) -> (f32, f32) {
    let (mut product, mut square) = ([0.0_f32; 16], [0.0_f32; 16]);
    for (((past, mean), weighted), roots) in
        past.chunks(16).zip(mean.chunks(16)).zip(weighted.chunks(16)).zip(roots.chunks(16))
    {
        for (i, (((past, mean), weighted), root)) in
            past.iter().zip(mean).zip(weighted).zip(roots).enumerate()
        {
            let value = past - mean;
            product[i] += value * weighted;
            let value = value * root;
            square[i] += value * value;
        }
    }
    (product.iter().sum(), square.iter().sum())
}
