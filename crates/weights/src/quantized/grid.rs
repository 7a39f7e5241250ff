//! Scales and zero points over a matrix, and the formulas of all formats: value = round((code - zero) * scale),
//! or round(round(code * scale) + bias).

use super::numbers::Precision;

/// Which scale belongs to which value.
pub(super) enum Pattern {
    /// One scale for each tile of `rows` by `columns` values, `per_row` tiles side by side.
    Tiles { rows: usize, columns: usize, per_row: usize },
    /// One scale for each output and group of inputs, `groups` per row; the group of each input is listed.
    Listed { group_of: Vec<u32>, groups: usize },
    /// One scale for every `values` values of the flattened tensor.
    Flat { values: usize },
    /// One scale for each value of the flattened tensor, over again after `values` of them.
    Cycle { values: usize },
    /// No scales: codes are already values.
    None,
}

/// Everything that turns codes into values.
pub(super) struct Grid {
    pub(super) pattern: Pattern,
    /// Scales in the order of the pattern.
    pub(super) scales: Vec<f32>,
    /// Zero points in the same order; `None` if codes are already centred.
    pub(super) zeros: Option<Vec<f32>>,
    /// Biases in the same order; added after the scale, with each result rounded (MLX, VPTQ).
    pub(super) biases: Option<Vec<f32>>,
    /// Whether the difference of code and zero point is rounded before it is scaled (HQQ).
    pub(super) rounds_differences: bool,
    /// Whether values are divided by their scale (BitNet).
    pub(super) divides: bool,
    /// A factor applied after the scale and rounded separately (LLM.int8's 1/127).
    pub(super) then: Option<f32>,
    /// The dtype of the reference's arithmetic.
    pub(super) precision: Precision,
}

impl Grid {
    /// Values that need no scale.
    pub(super) fn none(precision: Precision) -> Self {
        Self::new(Pattern::None, Vec::new(), precision)
    }

    /// A grid with one scale for each tile.
    pub(super) fn tiles(
        [rows, columns]: [usize; 2],
        per_row: usize,
        scales: Vec<f32>,
        precision: Precision,
    ) -> Self {
        Self::new(Pattern::Tiles { rows, columns, per_row }, scales, precision)
    }

    /// Scales in the order of `pattern` and nothing else.
    pub(super) fn new(pattern: Pattern, scales: Vec<f32>, precision: Precision) -> Self {
        Self {
            pattern,
            scales,
            zeros: None,
            biases: None,
            rounds_differences: false,
            divides: false,
            then: None,
            precision,
        }
    }

    /// Replaces the codes in `out`, rows `first..` of `columns` values each, by their values.
    pub(super) fn apply(&self, first: usize, columns: usize, out: &mut [f32]) {
        match &self.pattern {
            Pattern::None => return,
            Pattern::Tiles { rows, columns: width, per_row } => {
                for (row, out) in out.chunks_mut(columns).enumerate() {
                    let start = (first + row) / rows * per_row;
                    for (tile, out) in out.chunks_mut(*width).enumerate() {
                        self.scale(start + tile, out);
                    }
                }
            }
            Pattern::Listed { group_of, groups } => {
                for (row, out) in out.chunks_mut(columns).enumerate() {
                    let start = (first + row) * groups;
                    for (group, value) in group_of.iter().zip(out) {
                        self.scale(start + *group as usize, std::slice::from_mut(value));
                    }
                }
            }
            Pattern::Cycle { values } => self.cycle(*values, first * columns, out),
            Pattern::Flat { values } => {
                let start = first * columns;
                let ahead = (values - start % values).min(out.len());
                let (head, tail) = out.split_at_mut(ahead);
                self.scale(start / values, head);
                for (block, out) in tail.chunks_mut(*values).enumerate() {
                    self.scale(start / values + 1 + block, out);
                }
            }
        }
        self.precision.round_all(out);
    }

    /// Applies zero points, scales and biases of the pattern [`Pattern::Cycle`] from value `start` on.
    fn cycle(&self, values: usize, start: usize, out: &mut [f32]) {
        let first = start % values;
        if let Some(zeros) = &self.zeros {
            let zeros = zeros.iter().cycle().skip(first);
            out.iter_mut().zip(zeros).for_each(|(value, zero)| *value -= zero);
            if self.rounds_differences {
                self.precision.round_all(out);
            }
        }
        let scales = self.scales.iter().cycle().skip(first);
        out.iter_mut().zip(scales).for_each(|(value, scale)| *value *= scale);
        if let Some(biases) = &self.biases {
            self.precision.round_all(out);
            let biases = biases.iter().cycle().skip(first);
            out.iter_mut().zip(biases).for_each(|(value, bias)| *value += bias);
        }
    }

    fn scale(&self, index: usize, out: &mut [f32]) {
        let scale = self.scales[index];
        if let Some(zeros) = &self.zeros {
            let zero = zeros[index];
            if self.rounds_differences {
                out.iter_mut().for_each(|value| *value -= zero);
                self.precision.round_all(out);
                out.iter_mut().for_each(|value| *value *= scale);
            } else {
                out.iter_mut().for_each(|value| *value = (*value - zero) * scale);
            }
        } else if self.divides {
            out.iter_mut().for_each(|value| *value /= scale);
        } else {
            out.iter_mut().for_each(|value| *value *= scale);
        }
        if let Some(biases) = &self.biases {
            let bias = biases[index];
            self.precision.round_all(out);
            out.iter_mut().for_each(|value| *value += bias);
        }
        if let Some(factor) = self.then {
            out.iter_mut().for_each(|value| *value *= factor);
        }
    }
}

/// Transposes `values` from `[rows, columns]` to `[columns, rows]`.
pub(super) fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut turned = Vec::with_capacity(values.len());
    for column in 0..columns {
        turned.extend((0..rows).map(|row| values[row * columns + column]));
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(pattern: Pattern, scales: &[f32]) -> Grid {
        Grid::new(pattern, scales.to_vec(), Precision::F32)
    }

    #[test]
    fn tiles_cover_ragged_edges() {
        let grid = grid(Pattern::Tiles { rows: 2, columns: 2, per_row: 2 }, &[1.0, 2.0, 3.0, 4.0]);
        let mut out = [1.0; 9];
        grid.apply(0, 3, &mut out);
        assert_eq!(out, [1.0, 1.0, 2.0, 1.0, 1.0, 2.0, 3.0, 3.0, 4.0]);
        let mut last = [1.0; 3];
        grid.apply(2, 3, &mut last);
        assert_eq!(last, [3.0, 3.0, 4.0]);
    }

    #[test]
    fn flat_blocks_cross_rows() {
        let grid = grid(Pattern::Flat { values: 4 }, &[1.0, 2.0, 3.0]);
        let mut out = [1.0; 9];
        grid.apply(0, 3, &mut out);
        assert_eq!(out, [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0]);
        let mut row = [1.0; 3];
        grid.apply(1, 3, &mut row);
        assert_eq!(row, [1.0, 2.0, 2.0]);
    }

    #[test]
    fn zero_points_go_before_the_scale() {
        let mut grid = grid(Pattern::Listed { group_of: vec![1, 0, 1], groups: 2 }, &[10.0, 2.0]);
        grid.zeros = Some(vec![1.0, 3.0]);
        grid.then = Some(0.5);
        let mut out = [4.0, 4.0, 5.0];
        grid.apply(0, 3, &mut out);
        assert_eq!(out, [1.0, 15.0, 2.0]);
    }

    #[test]
    fn transposing_swaps_axes() {
        assert_eq!(transposed(&[1., 2., 3., 4., 5., 6.], 2, 3), [1., 4., 2., 5., 3., 6.]);
    }
}
