//! Orthonormal rotations of a row: random signs, then Hadamard matrices of one or more pieces.

use crate::order;

/// Values in one block of the transform that is done by shuffles within vectors.
const LANES: usize = 16;

/// The rotation of rows of one length.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    channels: usize,
    pieces: Vec<Piece>,
    signs: Vec<f32>,
    /// Room for one piece.
    mixed: Vec<f32>,
}

/// A run of channels that is rotated on its own.
#[derive(Debug)]
struct Piece {
    length: usize,
    core: usize,
    matrix: Vec<f32>,
    transposed: Vec<f32>,
}

impl Rotation {
    /// Prepares for rows of so many channels: pieces of `block` values (0: as long as can be), the rest
    /// in the longest pieces that have a matrix.
    pub(crate) fn prepare(&mut self, channels: usize, block: usize, seed: Option<u64>) {
        if self.channels == channels {
            return;
        }
        self.channels = channels;
        self.pieces.clear();
        let mut left = channels;
        while left > 0 {
            let most = if block == 0 { left } else { left.min(block) };
            // 1 has a matrix, so there is always a piece.
            let length = (1..=most).rev().find(|n| order::core(*n).is_some()).unwrap_or(1);
            self.pieces.push(Piece::new(length));
            left -= length;
        }
        let mut state = seed;
        self.signs = (0..channels).map(|_| state.as_mut().map_or(1.0, sign)).collect();
        self.mixed.resize(self.pieces.first().map_or(0, |piece| piece.length), 0.0);
    }

    /// Largest magnitude that no sum of a row can take beyond f32.
    pub(crate) fn most(&self) -> f32 {
        #[allow(clippy::cast_precision_loss)]
        let longest = self.mixed.len().max(1) as f32;
        f32::MAX / (4.0 * longest)
    }

    /// Rotates a row of values within [`most`](Rotation::most).
    #[inline(always)]
    pub(crate) fn forward(&mut self, row: &mut [f32]) {
        for (value, sign) in row.iter_mut().zip(&self.signs) {
            *value *= sign;
        }
        let mut rest = row;
        for piece in &self.pieces {
            let (values, after) = rest.split_at_mut(piece.length);
            piece.apply(&piece.matrix, values, &mut self.mixed);
            rest = after;
        }
    }

    /// Undoes [`forward`](Rotation::forward).
    #[inline(always)]
    pub(crate) fn backward(&mut self, row: &mut [f32]) {
        let mut rest = &mut *row;
        for piece in &self.pieces {
            let (values, after) = rest.split_at_mut(piece.length);
            piece.apply(&piece.transposed, values, &mut self.mixed);
            rest = after;
        }
        for (value, sign) in row.iter_mut().zip(&self.signs) {
            *value *= sign;
        }
    }
}

impl Piece {
    fn new(length: usize) -> Self {
        let core = order::core(length).unwrap_or(1);
        #[allow(clippy::cast_precision_loss)]
        let root = 1.0 / (length as f64).sqrt();
        #[allow(clippy::cast_possible_truncation)]
        let scaled = |value: f32| (f64::from(value) * root) as f32;
        let matrix: Vec<f32> = order::matrix(core).into_iter().map(scaled).collect();
        let transposed = (0..core * core).map(|at| matrix[at % core * core + at / core]).collect();
        Piece { length, core, matrix, transposed }
    }

    /// (matrix ⊗ H) values, where H is Sylvester's matrix.
    #[inline(always)]
    fn apply(&self, matrix: &[f32], values: &mut [f32], mixed: &mut [f32]) {
        let part = self.length / self.core;
        if self.core == 1 {
            // Scaled first: a sum of large values stays finite.
            values.iter_mut().for_each(|value| *value *= matrix[0]);
            walsh(values);
            return;
        }
        let mixed = &mut mixed[..self.length];
        let mut at = 0;
        while at + LANES <= part {
            for (i, signs) in matrix.chunks_exact(self.core).enumerate() {
                let mut sums = [0.0; LANES];
                for (sign, values) in signs.iter().zip(values.chunks_exact(part)) {
                    let values: &[f32; LANES] = lanes(&values[at..]);
                    for lane in 0..LANES {
                        sums[lane] += sign * values[lane];
                    }
                }
                mixed[i * part + at..][..LANES].copy_from_slice(&sums);
            }
            at += LANES;
        }
        for at in at..part {
            for (i, signs) in matrix.chunks_exact(self.core).enumerate() {
                let values = signs.iter().zip(values.chunks_exact(part));
                mixed[i * part + at] = values.map(|(sign, values)| sign * values[at]).sum();
            }
        }
        mixed.chunks_exact_mut(part).for_each(walsh);
        values.copy_from_slice(mixed);
    }
}

/// The first lanes of a slice that has them.
#[inline(always)]
fn lanes(values: &[f32]) -> &[f32; LANES] {
    const NONE: &[f32; LANES] = &[0.0; LANES];
    values.first_chunk().unwrap_or(NONE)
}

/// Walsh-Hadamard transform in the order of Sylvester, not scaled; the length is a power of two.
#[inline(always)]
pub(crate) fn walsh(values: &mut [f32]) {
    let (blocks, rest) = values.as_chunks_mut::<LANES>();
    for block in blocks {
        *block = within::<8>(within::<4>(within::<2>(within::<1>(*block))));
    }
    if !rest.is_empty() {
        return butterflies(values, 1);
    }
    butterflies(values, LANES);
}

/// One stage within a block.
#[inline(always)]
fn within<const HALF: usize>(x: [f32; LANES]) -> [f32; LANES] {
    let mut y = [0.0; LANES];
    for lane in 0..LANES {
        let other = x[lane ^ HALF];
        y[lane] = if lane & HALF == 0 { x[lane] + other } else { other - x[lane] };
    }
    y
}

/// The stages from `half` on.
#[inline(always)]
fn butterflies(values: &mut [f32], mut half: usize) {
    while half < values.len() {
        for block in values.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

/// The next sign: the top bit of SplitMix64.
fn sign(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    if z ^ (z >> 31) < 1 << 63 { 1.0 } else { -1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_keep_lengths_and_come_back() {
        for (channels, block) in
            [(1, 0), (7, 0), (64, 0), (129, 0), (576, 0), (960, 0), (300, 128), (56, 28), (40, 12)]
        {
            let mut rotation = Rotation::default();
            rotation.prepare(channels, block, Some(7));
            let row: Vec<f32> =
                (0..channels).map(|i| ((i * 37 % 101) as f32 + 1.0).sin()).collect();
            let mut turned = row.clone();
            rotation.forward(&mut turned);
            let square = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>();
            assert!((square(&row) - square(&turned)).abs() < 1e-3 * square(&row), "{channels}");
            rotation.backward(&mut turned);
            for (a, b) in row.iter().zip(&turned) {
                assert!((a - b).abs() < 1e-5, "{channels}: {a} {b}");
            }
        }
    }

    #[test]
    fn one_value_is_spread_evenly() {
        let mut rotation = Rotation::default();
        rotation.prepare(48, 0, None);
        let mut row = vec![0.0; 48];
        row[5] = 48_f32.sqrt();
        rotation.forward(&mut row);
        assert!(row.iter().all(|value| (value.abs() - 1.0).abs() < 1e-6), "{row:?}");
    }
}
