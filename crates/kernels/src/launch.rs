//! Sizes of launches, and new tensors.

use cubecl::ir::StorageType;
use cubecl::prelude::*;
use cubecl::std::tensor::TensorHandle;

/// Cubes along the first axis: what every runtime allows.
const CUBES_ALONG_X: usize = 65_535;

/// Units of a cube that reduces a row of `length` values: a power of two, so that a tree sums them.
pub(crate) fn units(length: usize) -> u32 {
    (length / 4).next_power_of_two().clamp(32, 256) as u32
}

/// A grid with at least one cube for each of `count` pieces of work; `CUBE_POS` may exceed it.
pub(crate) fn cubes(count: usize) -> CubeCount {
    let x = count.clamp(1, CUBES_ALONG_X);
    CubeCount::Static(x as u32, count.div_ceil(x).max(1) as u32, 1)
}

/// Units of a cube where every unit works by itself.
pub(crate) const ELEMENTWISE: u32 = 256;

/// A new tensor without gaps, whose values are whatever was there.
pub(crate) fn empty<R: Runtime>(
    client: &ComputeClient<R>,
    shape: &[usize],
    dtype: StorageType,
) -> TensorHandle<R> {
    let shape = cubecl::zspace::Shape::from(shape.to_vec());
    let bytes = shape.iter().product::<usize>() * dtype.size();
    TensorHandle::new_contiguous(shape, client.empty(bytes), dtype)
}
