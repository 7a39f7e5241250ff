//! Matrix products: every kernel, every type, shapes that fit no tile, and nothing read behind a factor.

use std::sync::{Mutex, PoisonError};

use strait_kernels::{Product, product, products};

use crate::device::{
    TYPES, Type, assert_close, device, narrowed, read, transposed, upload, values,
};

/// Which kernels are preferred holds for the whole process.
static PREFERENCE: Mutex<()> = Mutex::new(());

#[test]
fn every_kernel_multiplies() {
    let Some(client) = device("every_kernel_multiplies") else { return };
    let _alone = PREFERENCE.lock().unwrap_or_else(PoisonError::into_inner);
    for kernel in Product::ALL {
        products(vec![kernel]);
        for of in TYPES {
            for (batch, rows, inner, columns) in
                [(1, 64, 64, 64), (2, 33, 70, 51), (1, 1, 96, 40), (3, 5, 128, 1), (1, 130, 16, 17)]
            {
                for [across_left, across_right] in [[false, false], [false, true], [true, false]] {
                    let left = values(batch * rows * inner, 14, of);
                    let right = values(batch * inner * columns, 15, of);
                    let mut expected = Vec::new();
                    for at in 0..batch * rows * columns {
                        let (pair, row, column) =
                            (at / columns / rows, at / columns % rows, at % columns);
                        let term = |i: usize| {
                            left[(pair * rows + row) * inner + i]
                                * right[(pair * inner + i) * columns + column]
                        };
                        expected.push((0..inner).map(term).sum::<f64>());
                    }
                    let stored = |x: &[f64], a: usize, b: usize, across: bool| {
                        if !across {
                            return upload(&client, x, &[batch, a, b], of);
                        }
                        let turned: Vec<f64> = (0..batch * a * b)
                            .map(|at| x[(at / a / b * a + at % a) * b + at / a % b])
                            .collect();
                        transposed(&upload(&client, &turned, &[batch, b, a], of))
                    };
                    let lhs = stored(&left, rows, inner, across_left);
                    let rhs = stored(&right, inner, columns, across_right);
                    for result in [of, Type::F32] {
                        let y = product(&client, &lhs, &rhs, result.storage()).unwrap();
                        let what = format!(
                            "{} {of:?} to {result:?}, {batch}x{rows}x{inner}x{columns}, across {across_left} {across_right}",
                            kernel.name()
                        );
                        let exact = if result == Type::F32 { 1e-5 } else { result.epsilon() * 2.0 };
                        assert_close(&what, &read(&client, &y, result), &expected, exact);
                    }
                }
            }
        }
    }
    products(Vec::new());
}

/// Kernels that load stages into shared memory, for tensor cores.
const ON_TENSOR_CORES: [Product; 4] = [
    Product::Fragments,
    Product::Instructions,
    Product::DoubleFragments,
    Product::DoubleInstructions,
];

/// Factors are parts of larger buffers, as heads and stacked sequences are: what lies behind the inner
/// dimension is no part of the sum, whatever the number of stages it is summed in.
#[test]
fn nothing_behind_a_factor_is_summed() {
    const BEHIND: usize = 256;
    let Some(client) = device("nothing_behind_a_factor_is_summed") else { return };
    let _alone = PREFERENCE.lock().unwrap_or_else(PoisonError::into_inner);
    let (rows, columns) = (40, 48);
    for kernel in ON_TENSOR_CORES {
        products(vec![kernel]);
        for inner in [16, 32, 64, 96, 160, 256, 512] {
            for of in [Type::F16, Type::Bf16] {
                let left = values(rows * inner, 16, of);
                let right = values(inner * columns, 17, of);
                let mut wide = vec![f64::NAN; rows * (inner + BEHIND)];
                for (row, values) in left.chunks_exact(inner).enumerate() {
                    wide[row * (inner + BEHIND)..][..inner].copy_from_slice(values);
                }
                let mut tall = right.clone();
                tall.resize((inner + BEHIND) * columns, f64::NAN);
                let lhs = upload(&client, &wide, &[1, rows, inner + BEHIND], of);
                let rhs = upload(&client, &tall, &[1, inner + BEHIND, columns], of);
                let lhs = narrowed(&lhs, &[1, rows, inner]);
                let rhs = narrowed(&rhs, &[1, inner, columns]);
                let y = product(&client, &lhs, &rhs, Type::F32.storage()).unwrap();
                let mut expected = vec![0.0; rows * columns];
                for (at, sum) in expected.iter_mut().enumerate() {
                    let (row, column) = (at / columns, at % columns);
                    *sum = (0..inner)
                        .map(|i| left[row * inner + i] * right[i * columns + column])
                        .sum();
                }
                let what = format!("{} {of:?}, inner {inner}", kernel.name());
                assert_close(&what, &read(&client, &y, Type::F32), &expected, 1e-5);
            }
        }
    }
    products(Vec::new());
}
