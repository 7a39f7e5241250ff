//! Gathers rows by index, and adds rows by index.

use cubecl::ir::StorageType;
use cubecl::prelude::*;
use cubecl::std::tensor::TensorHandle;

use crate::launch::{ELEMENTWISE, cubes, empty};

/// Gathers rows `[indices, width]` of `table` `[rows, width]`, each times `scale`, rounded.
///
/// If `added` `[length, width]` is given, its row `i % length` is added to row `i` of the result. A
/// row outside the table is NaN: the host checks tokens, and a wrong one must not look right.
pub fn gather_rows<R: Runtime>(
    client: &ComputeClient<R>,
    table: &TensorHandle<R>,
    indices: &TensorHandle<R>,
    scale: f32,
    added: Option<&TensorHandle<R>>,
) -> TensorHandle<R> {
    let (count, width) = (indices.shape()[0], table.shape()[1]);
    let y = empty(client, &[count, width], table.dtype);
    if count * width == 0 {
        return y;
    }
    gather::launch::<R>(
        client,
        cubes((count * width).div_ceil(ELEMENTWISE as usize)),
        CubeDim::new_1d(ELEMENTWISE),
        table.clone().into_arg(),
        indices.clone().into_arg(),
        added.unwrap_or(table).clone().into_arg(),
        y.clone().into_arg(),
        scale,
        // Passed as an argument, because none of CubeCL's target languages has a literal for it.
        f32::NAN,
        added.is_some(),
        table.dtype,
    );
    y
}

/// Adds row `i` of `given` `[indices, width]`, times `shares[i]` and rounded, to the row of `y`
/// `[rows, width]` that `indices[i]` selects. The indices must be distinct.
pub fn add_rows<R: Runtime>(
    client: &ComputeClient<R>,
    y: &TensorHandle<R>,
    given: &TensorHandle<R>,
    indices: &TensorHandle<R>,
    shares: &TensorHandle<R>,
) {
    let (count, width) = (given.shape()[0], given.shape()[1]);
    if count * width == 0 {
        return;
    }
    add::launch::<R>(
        client,
        cubes((count * width).div_ceil(ELEMENTWISE as usize)),
        CubeDim::new_1d(ELEMENTWISE),
        given.clone().into_arg(),
        indices.clone().into_arg(),
        shares.clone().into_arg(),
        y.clone().into_arg(),
        y.dtype,
    );
}

#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "what a launch needs")]
fn gather<N: Float>(
    table: &Tensor<N>,
    indices: &Tensor<i32>,
    added: &Tensor<N>,
    y: &mut Tensor<N>,
    scale: f32,
    absent: f32,
    #[comptime] with_added: bool,
    #[define(N)] _dtype: StorageType,
) {
    if ABSOLUTE_POS < y.len() {
        let width = y.shape(1);
        let row = ABSOLUTE_POS / width;
        let channel = ABSOLUTE_POS % width;
        let index = indices[row];
        let rows = table.shape(0) as i32;
        let mut value = absent;
        if index >= 0 && index < rows {
            let stored = table[index as usize * table.stride(0) + channel];
            value = f32::cast_from(stored) * scale;
            if with_added {
                let other = added[row % added.shape(0) * added.stride(0) + channel];
                value = f32::cast_from(N::cast_from(value)) + f32::cast_from(other);
            }
        }
        y[ABSOLUTE_POS] = N::cast_from(value);
    }
}

#[cube(launch)]
fn add<N: Float>(
    given: &Tensor<N>,
    indices: &Tensor<i32>,
    shares: &Tensor<f32>,
    y: &mut Tensor<N>,
    #[define(N)] _dtype: StorageType,
) {
    let width = given.shape(1);
    let row = ABSOLUTE_POS / width;
    if row < given.shape(0) {
        let channel = ABSOLUTE_POS % width;
        let share = f32::cast_from(given[row * given.stride(0) + channel]) * shares[row];
        let to = indices[row] as usize * y.stride(0) + channel;
        y[to] = N::cast_from(f32::cast_from(y[to]) + f32::cast_from(N::cast_from(share)));
    }
}
