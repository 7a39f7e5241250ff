//! Launch sizes and new tensors.

use cubecl::ir::StorageType;
use cubecl::prelude::*;
use cubecl::std::tensor::TensorHandle;

/// Most cubes along the first axis that every runtime allows.
const CUBES_ALONG_X: usize = 65_535;

/// Number of units in a cube that reduces a row of `length` values: a power of two, for a tree
/// reduction.
pub(crate) fn units(length: usize) -> u32 {
    (length / 4).next_power_of_two().clamp(32, 256) as u32
}

/// A grid with at least one cube for each of `count` work items; `CUBE_POS` may exceed it.
pub(crate) fn cubes(count: usize) -> CubeCount {
    let x = count.clamp(1, CUBES_ALONG_X);
    CubeCount::Static(x as u32, count.div_ceil(x).max(1) as u32, 1)
}

/// Number of units in a cube whose units work independently.
pub(crate) const ELEMENTWISE: u32 = 256;

/// The type of figures, f32.
pub(crate) fn float() -> StorageType {
    f32::as_type_native_unchecked().storage_type()
}

/// The type of tokens and positions, i32.
pub(crate) fn int() -> StorageType {
    i32::as_type_native_unchecked().storage_type()
}

/// The positions, or a placeholder for kernels whose argument must exist even when it is unused.
pub(crate) fn given_or_unused<R: Runtime>(
    client: &ComputeClient<R>,
    given: Option<&TensorHandle<R>>,
) -> TensorHandle<R> {
    given.cloned().unwrap_or_else(|| empty(client, &[1], int()))
}

/// A new contiguous tensor with uninitialised values.
pub(crate) fn empty<R: Runtime>(
    client: &ComputeClient<R>,
    shape: &[usize],
    dtype: StorageType,
) -> TensorHandle<R> {
    let shape = cubecl::zspace::Shape::from(shape.to_vec());
    let bytes = shape.iter().product::<usize>() * dtype.size();
    TensorHandle::new_contiguous(shape, client.empty(bytes), dtype)
}
