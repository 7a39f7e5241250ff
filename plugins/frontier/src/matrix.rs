//! Rows times a square matrix.

use strait_sdk::simd::vectorize;

/// Columns of a panel: four of the widest vectors.
const PANEL: usize = 64;

/// Rows that share a pass over a panel.
const TILE: usize = 4;

/// A square matrix in panels of columns, padded with zeros.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    width: usize,
    panels: Vec<[f32; PANEL]>,
}

impl Matrix {
    /// From the element at a row and a column.
    pub(crate) fn new(width: usize, element: impl Fn(usize, usize) -> f32) -> Matrix {
        let panels = width.div_ceil(PANEL);
        let rows = (0..panels).flat_map(|panel| (0..width).map(move |row| (panel, row)));
        let panels = rows
            .map(|(panel, row)| {
                std::array::from_fn(|column| {
                    let column = panel * PANEL + column;
                    if column < width { element(row, column) } else { 0.0 }
                })
            })
            .collect();
        Matrix { width, panels }
    }

    /// Multiplies rows by the matrix: `input` and `output` hold rows of `stride` values, of which
    /// those from `start` on take part.
    pub(crate) fn multiply(&self, input: &[f32], output: &mut [f32], stride: usize, start: usize) {
        vectorize(
            #[inline(always)]
            || {
                let input = input.chunks(TILE * stride);
                for (input, output) in input.zip(output.chunks_mut(TILE * stride)) {
                    if input.len() == TILE * stride {
                        self.tile::<TILE>(input, output, stride, start);
                        continue;
                    }
                    for (input, output) in input.chunks(stride).zip(output.chunks_mut(stride)) {
                        self.tile::<1>(input, output, stride, start);
                    }
                }
            },
        );
    }

    #[inline(always)]
    fn tile<const ROWS: usize>(
        &self,
        input: &[f32],
        output: &mut [f32],
        stride: usize,
        start: usize,
    ) {
        let width = self.width;
        let rows: [&[f32]; ROWS] =
            std::array::from_fn(|row| &input[row * stride + start..][..width]);
        for (panel, at) in self.panels.chunks_exact(width).zip((0..width).step_by(PANEL)) {
            let mut sums = [[0.0_f32; PANEL]; ROWS];
            for (k, factors) in panel.iter().enumerate() {
                for (sums, row) in sums.iter_mut().zip(&rows) {
                    let value = row[k];
                    for (sum, factor) in sums.iter_mut().zip(factors) {
                        *sum = value.mul_add(*factor, *sum);
                    }
                }
            }
            let columns = PANEL.min(width - at);
            for (row, sums) in sums.iter().enumerate() {
                output[row * stride + start + at..][..columns].copy_from_slice(&sums[..columns]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_definition() {
        for (width, rows) in [(1, 1), (7, 3), (64, 4), (65, 9), (130, 6)] {
            let element = |row: usize, column: usize| ((row * 31 + column * 17) % 23) as f32 - 11.0;
            let matrix = Matrix::new(width, element);
            let (stride, start) = (width + 5, 3);
            let input: Vec<f32> = (0..rows * stride).map(|i| (i % 13) as f32 - 6.0).collect();
            let mut output = vec![77.0; rows * stride];
            matrix.multiply(&input, &mut output, stride, start);
            for row in 0..rows {
                for column in 0..width {
                    let sum: f32 = (0..width)
                        .map(|k| input[row * stride + start + k] * element(k, column))
                        .sum();
                    assert_eq!(output[row * stride + start + column], sum);
                }
                assert_eq!(output[row * stride], 77.0);
                assert_eq!(output[row * stride + start + width], 77.0);
            }
        }
    }
}
