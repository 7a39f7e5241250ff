//! The fitted transform: mean off, and a rotation to uncorrelated coefficients, block by block.

use crate::matrix::Matrix;

/// What the artifact holds for rows of one width.
#[derive(Clone, Debug)]
pub(crate) struct Transform {
    /// Deviation of an ordinary channel: the unit of the step.
    deviation: f32,
    mean: Vec<f32>,
    /// Deviation of each coefficient.
    deviations: Vec<f32>,
    blocks: Vec<Block>,
}

/// Consecutive channels with a rotation of their own.
#[derive(Clone, Debug)]
struct Block {
    start: usize,
    forward: Matrix,
    backward: Matrix,
}

/// Widths of the blocks of so many channels: as equal as can be, at most `most` each.
pub(crate) fn widths(channels: usize, most: usize) -> impl Iterator<Item = usize> {
    let blocks = channels.div_ceil(most.max(1)).max(1);
    (0..blocks).map(move |block| (block + 1) * channels / blocks - block * channels / blocks)
}

impl Transform {
    /// `bases` holds the rotation of each block, a row for each coefficient, one after another.
    pub(crate) fn new(
        deviation: f32,
        mean: Vec<f32>,
        deviations: Vec<f32>,
        widths: impl Iterator<Item = usize>,
        mut bases: &[f32],
    ) -> Transform {
        let mut start = 0;
        let blocks = widths
            .map(|width| {
                let basis;
                (basis, bases) = bases.split_at(width * width);
                let block = Block {
                    start,
                    forward: Matrix::new(width, |row, column| basis[column * width + row]),
                    backward: Matrix::new(width, |row, column| basis[row * width + column]),
                };
                start += width;
                block
            })
            .collect();
        Transform { deviation, mean, deviations, blocks }
    }

    pub(crate) fn deviation(&self) -> f32 {
        self.deviation
    }

    pub(crate) fn deviations(&self) -> &[f32] {
        &self.deviations
    }

    pub(crate) fn channels(&self) -> usize {
        self.mean.len()
    }

    /// Coefficients of rows, into the empty `output`.
    pub(crate) fn forward(&self, rows: &[f32], output: &mut Vec<f32>) {
        let channels = self.mean.len();
        let mut centred = rows.to_vec();
        for row in centred.chunks_exact_mut(channels) {
            row.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value -= mean);
        }
        output.resize(rows.len(), 0.0);
        for block in &self.blocks {
            block.forward.multiply(&centred, output, channels, block.start);
        }
    }

    /// Rows of coefficients, into the empty `output`.
    pub(crate) fn backward(&self, coefficients: &[f32], output: &mut Vec<f32>) {
        let channels = self.mean.len();
        output.resize(coefficients.len(), 0.0);
        for block in &self.blocks {
            block.backward.multiply(coefficients, output, channels, block.start);
        }
        for row in output.chunks_exact_mut(channels) {
            row.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value += mean);
        }
    }
}
