//! A weight matrix in the layout of the unit that multiplies it.

use rayon::prelude::*;
use strait_ops::{Dtype, LinearTensors};

use crate::product::{Left, LeftBlock, ROWS, Unit};

/// A weight matrix with its bias, rounded to the model's dtype.
pub struct Blocks {
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    matrix: Left,
    bias: Option<Vec<f32>>,
}

impl Blocks {
    /// Packs a matrix `[outputs, inputs]`, its values rounded to `dtype`.
    pub(crate) fn new(tensors: LinearTensors, unit: Unit, dtype: Dtype) -> Blocks {
        let LinearTensors { mut weight, mut bias, outputs, inputs } = tensors;
        weight.par_chunks_mut(1 << 16).for_each(|values| dtype.round(values));
        if let Some(bias) = &mut bias {
            dtype.round(bias);
        }
        let mut matrix = Left::zeros(unit, outputs.div_ceil(ROWS), inputs);
        matrix.fill(1, |block, mut group| {
            let rows = &weight[block * ROWS * inputs..];
            for (output, row) in rows.chunks_exact(inputs).take(ROWS).enumerate() {
                group.set_output(output, 0, row);
            }
        });
        Blocks { outputs, inputs, matrix, bias }
    }

    /// Stacks matrices that have the same inputs.
    pub(crate) fn stacked(parts: Vec<LinearTensors>, unit: Unit, dtype: Dtype) -> Blocks {
        let inputs = parts.first().map_or(0, |part| part.inputs);
        let outputs = parts.iter().map(|part| part.outputs).sum();
        let bias = parts.iter().all(|part| part.bias.is_some());
        let bias = bias
            .then(|| parts.iter().flat_map(|part| part.bias.iter().flatten().copied()).collect());
        let weight = parts.into_iter().flat_map(|part| part.weight).collect();
        Blocks::new(LinearTensors { weight, bias, outputs, inputs }, unit, dtype)
    }

    /// Number of blocks.
    pub(crate) fn count(&self) -> usize {
        self.outputs.div_ceil(ROWS)
    }

    #[inline(always)]
    pub(crate) fn block(&self, index: usize) -> LeftBlock<'_> {
        self.matrix.block(index)
    }

    /// Number of outputs in block `index`, without padding.
    #[inline(always)]
    pub(crate) fn valid(&self, index: usize) -> usize {
        ROWS.min(self.outputs - index * ROWS)
    }

    /// The bias of output `index`, or 0.
    #[inline(always)]
    pub(crate) fn bias(&self, index: usize) -> f32 {
        self.bias.as_ref().map_or(0.0, |bias| bias[index])
    }

    /// The bias, if there is one.
    pub(crate) fn biases(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// Row `index` of the matrix.
    pub(crate) fn row(&self, index: usize, values: &mut [f32]) {
        for (input, value) in values.iter_mut().enumerate() {
            *value = self.matrix.value(index, input);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_blocks() {
        let weight: Vec<f32> = (0..19 * 3).map(|i| i as f32).collect();
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let tensors =
                LinearTensors { weight: weight.clone(), bias: None, outputs: 19, inputs: 3 };
            let blocks = Blocks::new(tensors, Unit::of(dtype), dtype);
            let mut row = [0.0; 3];
            blocks.row(17, &mut row);
            assert_eq!(row, [51.0, 52.0, 53.0]);
            assert_eq!((blocks.count(), blocks.valid(0), blocks.valid(1)), (2, 16, 3));
        }
    }
}
