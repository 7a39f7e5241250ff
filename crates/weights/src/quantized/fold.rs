//! Applies what a model does to a module's inputs to the columns of its weight instead: `(x T) Wᵀ = x (W Tᵀ)ᵀ`.
//!
//! It is the same product with different rounding: the result is rounded to f32 here and to the model's dtype
//! where it is used.

use rayon::prelude::*;

use super::parts::{EXPORT_AGAIN, Module, Part, Reader};
use crate::WeightsError;
use crate::tensor::DenseTensor;

/// The transform of the inputs.
#[derive(Debug)]
pub(super) enum Fold {
    /// Each input is multiplied by its own number.
    Columns(Part),
    /// Groups of this many inputs, or all of them, are multiplied by the Hadamard matrix of Sylvester's
    /// construction, divided by the square root of its size.
    Hadamard(Option<usize>),
}

impl Fold {
    /// Rejects a fold that does not fit a weight of `shape`.
    pub(super) fn check(&self, module: &Module<'_>, shape: &[usize]) -> Result<(), WeightsError> {
        let &[_, columns] = shape else {
            return Err(self.misfit(module, "a weight of two axes", &format!("{shape:?}")));
        };
        match self {
            Self::Columns(part) if part.values() == columns => {
                module.check_dtype(part, &["F32", "F16", "BF16"])
            }
            Self::Columns(part) => {
                let expected = format!("{columns} values, one an input");
                Err(module.bad(part, &expected, &part.describe(), EXPORT_AGAIN))
            }
            Self::Hadamard(block) => {
                let block = block.unwrap_or(columns);
                if block.is_power_of_two() && columns.is_multiple_of(block) {
                    return Ok(());
                }
                let expected = "a power of two, or inputs in whole blocks of one";
                Err(self.misfit(
                    module,
                    expected,
                    &format!("blocks of {block} for {columns} inputs"),
                ))
            }
        }
    }

    fn misfit(&self, module: &Module<'_>, expected: &str, found: &str) -> WeightsError {
        WeightsError::QuantizedPart {
            path: module.path.to_path_buf(),
            tensor: module.dense_name(),
            expected: format!("{expected}, as transform_config multiplies its inputs"),
            found: found.to_owned(),
            hint: EXPORT_AGAIN,
        }
    }

    /// Applies the fold to the columns of `weight`, which [`Fold::check`] has accepted.
    pub(super) fn apply(
        &self,
        reader: Reader<'_>,
        weight: &mut DenseTensor,
    ) -> Result<(), WeightsError> {
        let columns = weight.shape.last().copied().unwrap_or(1).max(1);
        match self {
            Self::Columns(part) => {
                let factors = reader.numbers(part)?;
                weight.data.par_chunks_mut(columns).for_each(|row| {
                    row.iter_mut().zip(&factors).for_each(|(value, factor)| *value *= factor);
                });
            }
            Self::Hadamard(block) => {
                let block = block.unwrap_or(columns);
                weight.data.par_chunks_mut(block).for_each_init(Vec::new, |wide, values| {
                    hadamard(wide, values);
                });
            }
        }
        Ok(())
    }
}

/// Multiplies `values`, whose number is a power of two, by the normalised Hadamard matrix.
fn hadamard(wide: &mut Vec<f64>, values: &mut [f32]) {
    wide.clear();
    wide.extend(values.iter().map(|value| f64::from(*value)));
    let mut half = 1;
    while half < wide.len() {
        for pair in wide.chunks_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    let root = (values.len() as f64).sqrt();
    values.iter_mut().zip(wide).for_each(|(value, wide)| *value = (*wide / root) as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_is_sylvesters_matrix_and_its_own_inverse() {
        let size = 8;
        for column in 0..size {
            let mut values = [0.0; 8];
            values[column] = 1.0;
            hadamard(&mut Vec::new(), &mut values);
            for (row, value) in values.iter().enumerate() {
                let sign = if (row & column).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
                assert!((value - sign / 8f32.sqrt()).abs() < 1e-7);
            }
            hadamard(&mut Vec::new(), &mut values);
            assert!((values[column] - 1.0).abs() < 1e-6);
        }
    }
}
