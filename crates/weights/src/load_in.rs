//! Quantizes dense weights on load as bitsandbytes does: LLM.int8 rows, NF4 and FP4 blocks of 64.
//!
//! bitsandbytes quantizes the linear layers of the decoder blocks; embeddings, norms, biases and the head are
//! unchanged. The caller chooses the tensors accordingly.
//!
//! Source: bitsandbytes 0.50 (`nn/modules.py`, `backends/default/ops.py`).

use rayon::prelude::*;
pub use strait_vocabulary::LoadIn;

use crate::WeightsError;
use crate::quantized::{FP4, NF4, ONE_127TH};
use crate::tensor::DenseTensor;

/// Number of values that share a scale in NF4 and FP4.
const BLOCK: usize = LoadIn::BLOCK;

/// The smallest divisor that is used as a scale.
const TINY: f32 = 1e-38;

/// Quantizes the values of `tensor` to `kind` and dequantizes them again in place, in f32.
///
/// Rounding the result to the dtype of the weight gives what bitsandbytes gives for a weight of that dtype. For
/// int8 the weight is rounded to f16 first, as bitsandbytes does.
///
/// # Errors
/// A value is not finite (for int8: after rounding to f16), or an int8 weight does not have two axes.
pub fn apply(kind: LoadIn, tensor: &mut DenseTensor) -> Result<(), WeightsError> {
    match kind {
        LoadIn::Int8 => int8(tensor),
        LoadIn::Nf4 => four_bit(kind, tensor, &FourBit::new(&NF4)),
        LoadIn::Fp4 => four_bit(kind, tensor, &FourBit::new(&FP4)),
    }
}

fn int8(tensor: &mut DenseTensor) -> Result<(), WeightsError> {
    let &[_, columns] = tensor.shape.as_slice() else {
        return Err(WeightsError::LoadIn {
            kind: "int8",
            expected: "a weight of two axes",
            found: format!("shape {:?}", tensor.shape),
        });
    };
    if tensor.data.is_empty() {
        return Ok(());
    }
    tensor.data.par_chunks_mut(columns).try_for_each(|row| {
        row.iter_mut().for_each(|value| *value = half::f16::from_f32(*value).to_f32());
        let absmax = absmax("int8", "finite values within the range of f16", row)?;
        let factor = 127.0 / absmax;
        for value in row {
            // A row of zeros has no scale; its codes are 0. An integer has no negative zero.
            let code = if absmax > 0.0 { (*value * factor).round_ties_even() } else { 0.0 };
            *value = (code + 0.0) * absmax * ONE_127TH;
        }
        Ok(())
    })
}

/// A table in ascending order, with the points at which the nearest value changes.
struct FourBit {
    values: [f32; 16],
    midpoints: [f32; 15],
}

impl FourBit {
    fn new(table: &[f32; 16]) -> Self {
        let mut values = *table;
        values.sort_by(f32::total_cmp);
        let midpoints = std::array::from_fn(|index| (values[index] + values[index + 1]) / 2.0);
        Self { values, midpoints }
    }

    /// The nearest value, or the lower one on a tie.
    fn nearest(&self, value: f32) -> f32 {
        let mut code = 0;
        for midpoint in &self.midpoints {
            code += usize::from(value > *midpoint);
        }
        self.values[code]
    }
}

fn four_bit(kind: LoadIn, tensor: &mut DenseTensor, table: &FourBit) -> Result<(), WeightsError> {
    tensor.data.par_chunks_mut(BLOCK).with_min_len(64).try_for_each(|block| {
        let absmax = absmax(kind.name(), "finite values", block)?;
        // The reference multiplies full blocks by the reciprocal, divides the last one, and stores the latter's
        // lower bound.
        let full = block.len() == BLOCK;
        let bounded = absmax.max(TINY);
        let reciprocal = 1.0 / bounded;
        let scale = if full { absmax } else { bounded };
        for value in block {
            let unit = if full { *value * reciprocal } else { *value / bounded };
            *value = table.nearest(unit.clamp(-1.0, 1.0)) * scale;
        }
        Ok(())
    })
}

fn absmax(kind: &'static str, expected: &'static str, values: &[f32]) -> Result<f32, WeightsError> {
    let mut absmax = 0.0f32;
    for value in values {
        if !value.is_finite() {
            return Err(WeightsError::LoadIn { kind, expected, found: value.to_string() });
        }
        absmax = absmax.max(value.abs());
    }
    Ok(absmax)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], data: &[f32]) -> DenseTensor {
        DenseTensor { shape: shape.to_vec(), data: data.to_vec() }
    }

    #[test]
    fn rows_have_their_own_scale() {
        let mut weight = tensor(&[2, 2], &[1.0, -0.5, 254.0, 1.0]);
        apply(LoadIn::Int8, &mut weight).unwrap();
        assert_eq!(weight.data[0], 127.0 * 1.0 * ONE_127TH);
        assert_eq!(weight.data[1], -64.0 * ONE_127TH);
        assert_eq!(weight.data[3], 0.0, "half a step goes to the even code");
        let mut zeros = tensor(&[1, 3], &[0.0, -0.0, 0.0]);
        apply(LoadIn::Int8, &mut zeros).unwrap();
        assert_eq!(zeros.data, [0.0; 3]);
    }

    #[test]
    fn codes_of_the_tables_stay() {
        for (kind, table) in [(LoadIn::Nf4, NF4), (LoadIn::Fp4, FP4)] {
            let scaled: Vec<f32> = table.iter().map(|value| value * 8.0).collect();
            let mut weight = tensor(&[16], &scaled);
            apply(kind, &mut weight).unwrap();
            assert_eq!(weight.data, scaled);
        }
    }

    #[test]
    fn values_that_cannot_be_scaled_are_refused() {
        let error = apply(LoadIn::Int8, &mut tensor(&[1, 2], &[70_000.0, 1.0])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "load_in int8: expected finite values within the range of f16, found inf; load this model without load_in"
        );
        assert!(apply(LoadIn::Nf4, &mut tensor(&[2], &[70_000.0, 1.0])).is_ok());
        let error = apply(LoadIn::Nf4, &mut tensor(&[2], &[f32::NAN, 1.0])).unwrap_err();
        assert!(error.to_string().contains("found NaN"), "{error}");
        let error = apply(LoadIn::Int8, &mut tensor(&[2], &[1.0, 1.0])).unwrap_err();
        assert!(error.to_string().contains("two axes, found shape [2]"), "{error}");
    }
}
