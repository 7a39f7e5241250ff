//! How many bits values need at a given distortion: what a payload must at least contain, unless its
//! decoder knows something that was not counted.
//!
//! No such bound holds for every message, since a codec may simply expect the one that comes. So several
//! estimates are made, each for a structure that a codec can exploit, and the smallest counts:
//!
//! * independent Gaussian channels, by reverse water-filling over the channels' variances ([Cover and
//!   Thomas, Elements of Information Theory, 10.3.3](https://doi.org/10.1002/047174882X));
//! * the same over the singular values of the first rows, for messages of low rank, slow change and
//!   correlated channels; the basis counts as free;
//! * only rows that differ from all earlier rows, for messages that repeat themselves;
//! * the entropy of the values in steps of the error, for messages that are constant, sparse, discrete,
//!   or large in few places.
//!
//! Means of channels count as free too. A comparison of a payload with the result must leave a wide
//! margin ([`Shortfall`]).

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Distortion;

/// Number of rows whose singular values are computed.
const BLOCK: usize = 128;

/// Number of values whose entropy is computed; the estimate cannot exceed the logarithm of this number.
const HISTOGRAM: usize = 1 << 18;

/// Number of directions onto which rows are projected for comparison.
const DIRECTIONS: usize = 32;

/// Bits per value that a scalar quantizer with an entropy coder needs beyond the best code: a quarter,
/// and another quarter for coarse ones.
const SCALAR_LOSS_BITS: f64 = 0.5;

/// A payload with fewer than 1/`MARGIN` of the needed bits is too short.
const MARGIN: f64 = 4.0;

/// Bytes that any payload may fall short by.
const SLACK_BYTES: f64 = 64.0;

/// Sequences whose payload is too short for what arrived, and what it would have needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shortfall {
    /// Sequences whose payload is too short.
    pub sequences: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// Bytes that their values need, by the most generous estimate.
    pub needed_bytes: u64,
}

impl Shortfall {
    /// Whether a payload may be too short. This test costs nothing, since it uses the sums alone: among
    /// all values with these sums, those of equal variance need the most bits.
    #[must_use]
    pub fn is_possible(distortion: &Distortion, mantissa_bits: u32, payload_bytes: u64) -> bool {
        let Distortion { values, squared_error, squared_signal, .. } = *distortion;
        let error = at_least_rounding(squared_error, squared_signal, mantissa_bits);
        let bits = 0.5 * (squared_signal / error).log2() * values as f64;
        is_short(payload_bytes, bits)
    }

    /// Whether no payload was too short.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Adds the counts of another shortfall.
    pub fn merge(&mut self, other: &Self) {
        self.sequences += other.sequences;
        self.payload_bytes += other.payload_bytes;
        self.needed_bytes += other.needed_bytes;
    }

    /// Whether the payloads remain too short when the bytes that the decoder was given beforehand are
    /// added to them.
    #[must_use]
    pub fn stands(&self, static_bytes: u64) -> bool {
        let found = (self.payload_bytes + static_bytes) as f64;
        self.sequences > 0 && found * MARGIN < self.needed_bytes as f64
    }
}

/// A sequence of rows that was sent, with the values that arrived.
#[derive(Clone, Copy, Debug)]
pub struct Crossing<'a> {
    /// `[rows, channels]`.
    pub sent: &'a [f32],
    /// The decoded values, `[rows, channels]`.
    pub arrived: &'a [f32],
    /// Values per row.
    pub channels: usize,
    /// Bits of the values' mantissa, including the hidden one: nothing that arrives is more exact.
    pub mantissa_bits: u32,
}

impl Crossing<'_> {
    /// The shortfall of a payload; empty unless the payload is far too short.
    #[must_use]
    pub fn shortfall(&self, payload_bytes: u64) -> Shortfall {
        let Some(error) = self.squared_error() else { return Shortfall::default() };
        let rows = self.rows();
        // In order of cost: honest payloads pass the first.
        let estimates: [&dyn Fn() -> f64; 3] =
            [&|| self.channel_bits(error), &|| self.entropy_bits(error), &|| {
                self.block_bits() * self.new_rows(4.0 * error / rows as f64) as f64 / rows as f64
            }];
        let mut needed = f64::INFINITY;
        for estimate in estimates {
            needed = needed.min(estimate());
            if !is_short(payload_bytes, needed) {
                return Shortfall::default();
            }
        }
        Shortfall { sequences: 1, payload_bytes, needed_bytes: (needed / 8.0) as u64 }
    }

    fn rows(&self) -> usize {
        self.sent.len() / self.channels.max(1)
    }

    /// The squared error over all values, but at least that of rounding to the mantissa; `None` for
    /// values that no estimate covers.
    fn squared_error(&self) -> Option<f64> {
        let whole = self.sent.len() == self.arrived.len()
            && self.channels > 0
            && self.sent.len().is_multiple_of(self.channels);
        let finite = self.sent.iter().chain(self.arrived).all(|value| value.is_finite());
        (whole && finite).then(|| squared_error(self.sent, self.arrived, self.mantissa_bits))
    }

    /// Bits by reverse water-filling over the variances of the channels.
    fn channel_bits(&self, error: f64) -> f64 {
        let rows = self.rows() as f64;
        let means = self.means();
        let mut variances = vec![0.0; self.channels];
        for row in self.sent.chunks_exact(self.channels) {
            for ((variance, mean), value) in variances.iter_mut().zip(&means).zip(row) {
                *variance += (f64::from(*value) - mean).powi(2) / rows;
            }
        }
        filled_bits(&variances, rows, error)
    }

    /// Bits of all rows, by reverse water-filling over the singular values of the first rows.
    fn block_bits(&self) -> f64 {
        let rows = self.rows().min(BLOCK);
        let means = self.means();
        let block: Vec<f64> = self.sent[..rows * self.channels]
            .chunks_exact(self.channels)
            .flat_map(|row| row.iter().zip(&means).map(|(value, mean)| f64::from(*value) - mean))
            .collect();
        let error = squared_error(
            &self.sent[..block.len()],
            &self.arrived[..block.len()],
            self.mantissa_bits,
        );
        // Each direction has as many coefficients as the longer side has entries.
        let longer = rows.max(self.channels) as f64;
        let squares = eigenvalues(gram(&block, self.channels));
        let variances: Vec<f64> = squares.iter().map(|square| square.max(0.0) / longer).collect();
        filled_bits(&variances, longer, error) * self.rows() as f64 / rows as f64
    }

    /// The entropy of the values in steps of the error, around their channels' means or around 0; only
    /// around 0 do zeros among other values share one level.
    fn entropy_bits(&self, error: f64) -> f64 {
        let around_zero = self.entropy_bits_around(&vec![0.0; self.channels], error);
        around_zero.min(self.entropy_bits_around(&self.means(), error))
    }

    fn entropy_bits_around(&self, means: &[f64], error: f64) -> f64 {
        let step = (12.0 * error / self.sent.len() as f64).sqrt();
        let mut counts: HashMap<i64, u64> = HashMap::new();
        let mut total = 0_u64;
        for row in self.sent.chunks_exact(self.channels) {
            if total as usize >= HISTOGRAM {
                break;
            }
            for (value, mean) in row.iter().zip(means) {
                // Values beyond the range share the last step, which only lowers the estimate.
                let level = ((f64::from(*value) - mean) / step).round() as i64;
                *counts.entry(level).or_default() += 1;
                total += 1;
            }
        }
        let mut sorted: Vec<u64> = counts.into_values().collect();
        sorted.sort_unstable();
        let share = |count: u64| count as f64 / total as f64;
        let bits: f64 = sorted.iter().map(|count| -share(*count) * share(*count).log2()).sum();
        (bits - SCALAR_LOSS_BITS).max(0.0) * self.sent.len() as f64
    }

    /// The number of rows whose squared distance to every earlier row exceeds `near`.
    fn new_rows(&self, near: f64) -> usize {
        let mut known: Vec<[f64; DIRECTIONS]> = Vec::new();
        for row in self.sent.chunks_exact(self.channels) {
            let place = projected(row);
            let is_near = |other: &[f64; DIRECTIONS]| {
                let distance: f64 = place.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum();
                distance <= near
            };
            if !known.iter().any(is_near) {
                known.push(place);
            }
        }
        known.len()
    }

    fn means(&self) -> Vec<f64> {
        let rows = self.rows() as f64;
        let mut means = vec![0.0; self.channels];
        for row in self.sent.chunks_exact(self.channels) {
            means.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value) / rows);
        }
        means
    }
}

fn squared_error(sent: &[f32], arrived: &[f32], mantissa_bits: u32) -> f64 {
    let square = |(x, y): (&f32, &f32)| (f64::from(*x) - f64::from(*y)).powi(2);
    let found: f64 = sent.iter().zip(arrived).map(square).sum();
    let signal: f64 = sent.iter().map(|x| f64::from(*x).powi(2)).sum();
    at_least_rounding(found, signal, mantissa_bits)
}

/// The error, but at least that of rounding, which is uniform up to half a unit in the last place.
fn at_least_rounding(error: f64, signal: f64, mantissa_bits: u32) -> f64 {
    let rounding = signal * (-2.0 * f64::from(mantissa_bits)).exp2() / 3.0;
    error.max(rounding).max(f64::MIN_POSITIVE)
}

fn is_short(payload_bytes: u64, needed_bits: f64) -> bool {
    (payload_bytes as f64 + SLACK_BYTES) * 8.0 * MARGIN < needed_bits
}

/// Bits of Gaussian components with these variances, `count` coefficients each, whose squared errors sum
/// to `error`.
fn filled_bits(variances: &[f64], count: f64, error: f64) -> f64 {
    let filled =
        |level: f64| variances.iter().map(|variance| variance.min(level)).sum::<f64>() * count;
    let (mut low, mut high) = (0.0, variances.iter().fold(0.0_f64, |most, v| most.max(*v)));
    if filled(high) <= error {
        return 0.0;
    }
    // Bisects for the water level, to far more digits than the estimate has.
    for _ in 0..100 {
        let level = 0.5 * (low + high);
        if filled(level) > error { high = level } else { low = level }
    }
    let above = variances.iter().filter(|variance| **variance > high);
    above.map(|variance| 0.5 * (variance / high).log2() * count).sum()
}

/// Inner products of all pairs of rows, or of all pairs of columns where there are fewer columns.
fn gram(block: &[f64], channels: usize) -> Vec<Vec<f64>> {
    let rows = block.len() / channels;
    if rows > channels {
        let mut gram = vec![vec![0.0; channels]; channels];
        for row in block.chunks_exact(channels) {
            for (line, x) in gram.iter_mut().zip(row) {
                line.iter_mut().zip(row).for_each(|(sum, y)| *sum += x * y);
            }
        }
        return gram;
    }
    let row = |i: usize| &block[i * channels..][..channels];
    let product = |a: usize, b: usize| row(a).iter().zip(row(b)).map(|(x, y)| x * y).sum();
    (0..rows).map(|a| (0..rows).map(|b| product(a, b)).collect()).collect()
}

/// Eigenvalues of a symmetric matrix by Jacobi rotations.
fn eigenvalues(mut matrix: Vec<Vec<f64>>) -> Vec<f64> {
    const SWEEPS: usize = 12;
    let size = matrix.len();
    for _ in 0..SWEEPS {
        for p in 0..size {
            for q in p + 1..size {
                rotate(&mut matrix, p, q);
            }
        }
    }
    (0..size).map(|i| matrix[i][i]).collect()
}

/// Rotates the plane of two axes so that they become uncorrelated.
fn rotate(matrix: &mut [Vec<f64>], p: usize, q: usize) {
    let off = matrix[p][q];
    if off.abs() <= 1e-15 * (matrix[p][p] * matrix[q][q]).abs().sqrt() {
        return;
    }
    let ratio = (matrix[q][q] - matrix[p][p]) / (2.0 * off);
    let tangent = ratio.signum() / (ratio.abs() + ratio.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    for row in matrix.iter_mut() {
        let (a, b) = (row[p], row[q]);
        row[p] = cosine * a - sine * b;
        row[q] = sine * a + cosine * b;
    }
    // p is less than q.
    let (upper, lower) = matrix.split_at_mut(q);
    for (x, y) in upper[p].iter_mut().zip(&mut lower[0]) {
        let (a, b) = (*x, *y);
        *x = cosine * a - sine * b;
        *y = sine * a + cosine * b;
    }
}

/// Projects a row onto random directions, which preserves distances: each entry is a sum with signs drawn
/// from the channel's number.
fn projected(row: &[f32]) -> [f64; DIRECTIONS] {
    let mut sums = [0.0; DIRECTIONS];
    for (channel, value) in row.iter().enumerate() {
        let signs = mixed(channel as u64);
        let value = f64::from(*value);
        for (direction, sum) in sums.iter_mut().enumerate() {
            *sum += if signs >> direction & 1 == 0 { value } else { -value };
        }
    }
    sums.map(|sum| sum / (DIRECTIONS as f64).sqrt())
}

/// One step of SplitMix64.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
