//! Matrix products, exact to f32 on devices whose f32 products are not.

use burn_tensor::backend::Backend;
use burn_tensor::{FloatDType, Tensor};

/// What a device does to f32 factors before it multiplies them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Factors {
    /// Nothing.
    Kept,
    /// They may be rounded to TF32, with 11 significant bits: burn's CUDA kernels on tensor cores.
    Rounded,
}

/// `x · weight` over the last two dimensions, summed in f32.
///
/// Where f32 factors are rounded, each is split in two terms and the product is made of three, which
/// leaves an error near 2^-18 of each factor's product. Half types have no more bits than TF32, so
/// theirs are always exact.
pub(crate) fn product<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    weight: Tensor<B, D>,
    factors: Factors,
) -> Tensor<B, D> {
    if factors == Factors::Kept {
        return x.matmul(weight);
    }
    let (x, x_rest) = split(x);
    let (weight, weight_rest) = split(weight);
    let small = x.clone().matmul(weight_rest) + x_rest.matmul(weight.clone());
    x.matmul(weight) + small
}

/// `x` as a value of 8 significant bits and the rest.
fn split<B: Backend, const D: usize>(x: Tensor<B, D>) -> (Tensor<B, D>, Tensor<B, D>) {
    let high = x.clone().cast(FloatDType::BF16).cast(FloatDType::F32);
    let rest = x - high.clone();
    (high, rest)
}

#[cfg(test)]
mod tests {
    use burn_flex::{Flex, FlexDevice};
    use burn_tensor::TensorData;

    use super::*;

    fn values(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..count).map(next).collect()
    }

    fn matrix(values: &[f32], shape: [usize; 2]) -> Tensor<Flex, 2> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &FlexDevice)
    }

    /// A factor as tensor cores read it.
    fn tf32(value: f32) -> f32 {
        f32::from_bits(value.to_bits() & !0x1fff)
    }

    #[test]
    fn three_rounded_products_are_nearly_exact() {
        let (rows, inner, columns) = (7, 300, 5);
        let (x, w) = (values(rows * inner, 1), values(inner * columns, 2));
        let exact: Vec<f64> = (0..rows * columns)
            .map(|at| {
                let (row, column) = (at / columns, at % columns);
                let term =
                    |i: usize| f64::from(x[row * inner + i]) * f64::from(w[i * columns + column]);
                (0..inner).map(term).sum()
            })
            .collect();
        let largest = exact.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        let error = |found: Tensor<Flex, 2>| {
            let found = found.into_data().to_vec::<f32>().unwrap();
            let pairs = found.iter().zip(&exact);
            pairs.fold(0.0f64, |worst, (a, b)| worst.max((f64::from(*a) - b).abs())) / largest
        };
        // What a device makes of the terms: every factor is cut to TF32 before it is multiplied.
        let read = |x: Tensor<Flex, 2>| {
            let shape = x.dims();
            let values = x.into_data().to_vec::<f32>().unwrap();
            matrix(&values.into_iter().map(tf32).collect::<Vec<_>>(), shape)
        };
        let (x, w) = (matrix(&x, [rows, inner]), matrix(&w, [inner, columns]));
        let one = error(read(x.clone()).matmul(read(w.clone())));
        let ((high, rest), (w_high, w_rest)) = (split(x.clone()), split(w.clone()));
        let three = read(high.clone()).matmul(read(w_high.clone()))
            + read(high).matmul(read(w_rest))
            + read(rest).matmul(read(w_high));
        let three = error(three);
        assert!(one > 1e-4, "{one}");
        assert!(three < 1e-5, "{three}");
        assert!(error(product(x.clone(), w.clone(), Factors::Rounded)) < 1e-5);
        assert!(error(product(x, w, Factors::Kept)) < 1e-6);
    }
}
