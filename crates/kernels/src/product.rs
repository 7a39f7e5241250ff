//! Matrix products: types and shapes decide which of cubek's kernels multiplies, never autotuning.
//!
//! f32 factors are multiplied on the vector units, which do not round them; tensor cores would truncate
//! them to TF32. Half types go to the tensor cores, which multiply them exactly. All sums are in f32.

use std::sync::RwLock;

use cubecl::ir::StorageType;
use cubecl::prelude::*;
use cubecl::std::tensor::TensorHandle;
use cubek::matmul::components::tile::TileMatmulKind;
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems, MatmulSetupError};
use cubek::matmul::launch::{launch_tiling, launch_vecmat_plane_parallel};
use cubek::matmul::routines::BlueprintStrategy;
use cubek::matmul::routines::double_buffering::{
    CyclicDoubleBufferingAlgorithm, DoubleBufferingArgs,
};
use cubek::matmul::routines::simple::{SimpleAlgorithm, SimpleArgs, SimpleTmaAlgorithm};
use cubek::matmul::routines::simple_unit::SimpleUnitAlgorithm;
use cubek::matmul::routines::vecmat_plane_parallel::GemvPlaneParallelRoutine;
use cubek::std::InputBinding;

use crate::launch::empty;

/// A kernel that multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Product {
    /// On the vector units, with a tile of the result in the registers of each unit.
    Unit,
    /// A vector times a matrix, on the vector units.
    Vector,
    /// On tensor cores, by whole fragments (`wmma`) with one stage in shared memory.
    Fragments,
    /// On tensor cores, by single instructions (`mma.sync`) with one stage in shared memory.
    Instructions,
    /// Like [`Product::Fragments`], but loads the next stage in the meantime. Skipped where the inner
    /// dimension is no multiple of 256.
    DoubleFragments,
    /// Like [`Product::Instructions`], but loads the next stage in the meantime. Skipped where the inner
    /// dimension is no multiple of 256.
    DoubleInstructions,
    /// Like [`Product::Instructions`], with stages loaded by the tensor memory accelerator.
    Accelerated,
}

/// The error when no kernel can multiply.
#[derive(Debug, thiserror::Error)]
#[error(
    "no kernel multiplies {lhs} by {rhs} on this device; tried: {}", tried.join("; ")
)]
pub struct ProductError {
    /// Type and shape of the left factor.
    pub lhs: String,
    /// Type and shape of the right factor.
    pub rhs: String,
    /// Each kernel that was tried, with the reason why it cannot run.
    pub tried: Vec<String>,
}

impl Product {
    /// Every kernel.
    pub const ALL: [Product; 7] = [
        Product::Unit,
        Product::Vector,
        Product::Fragments,
        Product::Instructions,
        Product::DoubleFragments,
        Product::DoubleInstructions,
        Product::Accelerated,
    ];

    /// The kernel's name in settings and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Product::Unit => "unit",
            Product::Vector => "vector",
            Product::Fragments => "fragments",
            Product::Instructions => "instructions",
            Product::DoubleFragments => "double-fragments",
            Product::DoubleInstructions => "double-instructions",
            Product::Accelerated => "accelerated",
        }
    }
}

/// Kernels that take precedence over all others where they can run, for comparing them with one another.
static PREFERRED: RwLock<Vec<Product>> = RwLock::new(Vec::new());

/// From now on, makes products try these kernels first, in every thread.
pub fn products(preferred: Vec<Product>) {
    if let Ok(mut kernels) = PREFERRED.write() {
        *kernels = preferred;
    }
}

/// The inner dimensions that kernels with two stages multiply rightly are multiples of this.
///
/// cubek 0.2 sums an even number of stages, and leaves the bounds unchecked where the inner dimension is a
/// multiple of one stage: at an odd number it adds what lies behind the factors. No stage is longer than
/// 128. cubek 0.3 checks the bounds of both stages.
const TWO_STAGES: usize = 256;

/// The kernels for a product, best first.
fn kernels(f32_factors: bool, rows: usize, inner: usize, columns: usize) -> Vec<Product> {
    let preferred = PREFERRED.read().map(|kernels| kernels.clone()).unwrap_or_default();
    let on_tensor_cores = |kernel: &Product| !matches!(kernel, Product::Unit | Product::Vector);
    let mut kernels: Vec<Product> = preferred;
    if !inner.is_multiple_of(TWO_STAGES) {
        kernels.retain(|kernel| {
            !matches!(kernel, Product::DoubleFragments | Product::DoubleInstructions)
        });
    }
    if rows == 1 || columns == 1 {
        kernels.push(Product::Vector);
    }
    kernels.push(Product::Fragments);
    if f32_factors {
        kernels.retain(|kernel| !on_tensor_cores(kernel));
    }
    kernels.push(Product::Unit);
    kernels
}

/// Multiplies `lhs` `[.., rows, inner]` by `rhs` `[.., inner, columns]`, both of one type and with any
/// strides; the result is contiguous in `dtype`.
///
/// # Errors
/// When the device has no kernel for it.
pub fn product<R: Runtime>(
    client: &ComputeClient<R>,
    lhs: &TensorHandle<R>,
    rhs: &TensorHandle<R>,
    dtype: StorageType,
) -> Result<TensorHandle<R>, ProductError> {
    let mut shape = lhs.shape().to_vec();
    let last = shape.len() - 1;
    shape[last] = rhs.shape()[last];
    let result = empty(client, &shape, dtype);
    if result.shape().iter().product::<usize>() == 0 {
        return Ok(result);
    }
    let f32_factors = lhs.dtype.size() == size_of::<f32>();
    let mut tried = Vec::new();
    for kernel in kernels(f32_factors, shape[last - 1], lhs.shape()[last], shape[last]) {
        match launch(kernel, client, lhs, rhs, &result) {
            Ok(()) => return Ok(result),
            Err(error) => tried.push(format!("{}: {error:?}", kernel.name())),
        }
    }
    let described = |x: &TensorHandle<R>| format!("{} {:?}", x.dtype, x.shape());
    Err(ProductError { lhs: described(lhs), rhs: described(rhs), tried })
}

fn launch<R: Runtime>(
    kernel: Product,
    client: &ComputeClient<R>,
    lhs: &TensorHandle<R>,
    rhs: &TensorHandle<R>,
    result: &TensorHandle<R>,
) -> Result<(), MatmulSetupError> {
    let globals = MatmulGlobalElems { lhs: lhs.dtype, rhs: rhs.dtype, out: result.dtype };
    let mut types = MatmulElems::from_globals(&globals);
    let types = &mut types;
    let factor = |x: &TensorHandle<R>| InputBinding::new(x.clone().binding(), x.dtype);
    let (lhs, rhs, out) = (factor(lhs), factor(rhs), result.clone().binding());
    let fragments = TileMatmulKind::Cmma;
    let instructions = TileMatmulKind::Mma;
    match kernel {
        Product::Unit => {
            let how = BlueprintStrategy::<(), SimpleUnitAlgorithm>::Inferred(Default::default());
            launch_tiling::launch_ref(client, lhs, rhs, out, &how, types)
        }
        Product::Vector => {
            let how =
                BlueprintStrategy::<(), GemvPlaneParallelRoutine>::Inferred(Default::default());
            launch_vecmat_plane_parallel::launch_ref(client, lhs, rhs, out, &how, types)
        }
        Product::Fragments | Product::Instructions => {
            let tile_matmul = if kernel == Product::Fragments { fragments } else { instructions };
            let arguments = SimpleArgs { tile_matmul, multi_rows: false };
            let how = BlueprintStrategy::<(), SimpleAlgorithm>::Inferred(arguments);
            launch_tiling::launch_ref(client, lhs, rhs, out, &how, types)
        }
        Product::DoubleFragments | Product::DoubleInstructions => {
            let tile_matmul =
                if kernel == Product::DoubleFragments { fragments } else { instructions };
            let arguments = DoubleBufferingArgs { tile_matmul, specialized: false };
            let how = BlueprintStrategy::<(), CyclicDoubleBufferingAlgorithm>::Inferred(arguments);
            launch_tiling::launch_ref(client, lhs, rhs, out, &how, types)
        }
        Product::Accelerated => {
            let arguments = SimpleArgs { tile_matmul: instructions, multi_rows: false };
            let how = BlueprintStrategy::<(), SimpleTmaAlgorithm>::Inferred(arguments);
            launch_tiling::launch_ref_tma(client, lhs, rhs, out, &how, types)
        }
    }
}
