//! The decoder's operations on burn's backends: CUDA, and burn-flex on the CPU for checks. With the
//! feature `wgpu` also Vulkan, which runs CUDA's kernels where there is no CUDA.
//!
//! Only this crate uses burn. It is built as a library of its own, which the host opens when a device needs it
//! ([`strait_backend`]), because burn takes most of the time that a build of everything takes.

mod attention;
mod cube;
mod cuda;
mod entry;
mod erased;
mod failure;
mod gradient;
mod head;
mod kernels;
mod ops;
#[cfg(feature = "wgpu")]
mod vulkan;

use burn_cuda::{Cuda, CudaDevice};
use burn_flex::{Flex, FlexDevice};
use burn_tensor::backend::Backend;
use burn_tensor::{DType, Distribution, Tensor};
use strait_backend::{BackendDevice, Gradients, Operations, Weights};
use strait_ops::{Dtype, Shape};

use crate::erased::OnDevice;
pub use crate::failure::reason;
use crate::failure::{caught, guarded, quiet_threads};
use crate::gradient::GradientOps;
use crate::kernels::Kernels;
use crate::ops::BackendOps;

/// The backend of this library.
#[derive(Debug, Clone, Copy)]
pub struct Burn;

/// Evaluates an expression with the backend of a device and its handle.
macro_rules! on {
    ($device:expr, |$backend:ident, $handle:ident| $body:expr) => {
        match $device {
            BackendDevice::Plain => {
                type $backend = Flex;
                let $handle = FlexDevice;
                $body
            }
            BackendDevice::Cuda(index) => {
                type $backend = Cuda;
                let $handle = CudaDevice::new(index);
                $body
            }
            #[cfg(feature = "wgpu")]
            BackendDevice::Vulkan => {
                type $backend = burn_wgpu::Wgpu;
                let $handle = burn_wgpu::WgpuDevice::default();
                $body
            }
            // Never opened, so nobody asks for it.
            #[cfg(not(feature = "wgpu"))]
            BackendDevice::Vulkan => Err(NO_VULKAN.to_owned()),
        }
    };
}

/// What opening Vulkan says in a library without it.
#[cfg(not(feature = "wgpu"))]
const NO_VULKAN: &str =
    "this library is built without Vulkan (`cargo xtask check-wgpu` builds one with it)";

impl strait_backend::Backend for Burn {
    fn open(&self, device: BackendDevice) -> Result<(), String> {
        quiet_threads();
        match device {
            BackendDevice::Plain => return Ok(()),
            BackendDevice::Cuda(index) => guarded(|| cuda::probe(index))?,
            #[cfg(feature = "wgpu")]
            BackendDevice::Vulkan => guarded(vulkan::start)?,
            #[cfg(not(feature = "wgpu"))]
            BackendDevice::Vulkan => return Err(NO_VULKAN.to_owned()),
        }
        guarded(|| {
            cube::prefer_products()?;
            on!(device, |B, handle| smoke_test::<B>(&handle))
        })
    }

    fn supports(&self, device: BackendDevice, dtype: Dtype) -> bool {
        let supported = caught(|| {
            on!(device, |B, handle| Ok(B::supports_dtype(&handle, ops::float(dtype).into())))
        });
        // A device that cannot answer fails in its next call, too.
        supported.unwrap_or_else(|reason| {
            log::warn!("whether the device computes in {dtype}: {reason}");
            true
        })
    }

    fn multiply(
        &self,
        device: BackendDevice,
        size: usize,
        dtype: Dtype,
        count: usize,
    ) -> Result<(), String> {
        guarded(|| on!(device, |B, handle| multiply::<B>(&handle, size, dtype, count)))
    }

    fn operations(
        &self,
        shape: &Shape,
        dtype: Dtype,
        device: BackendDevice,
        weights: Weights,
        name: String,
    ) -> Result<Box<dyn Operations>, String> {
        let stream = match device {
            BackendDevice::Cuda(index) => index as u64,
            BackendDevice::Plain | BackendDevice::Vulkan => 0,
        };
        caught(|| {
            on!(device, |B, handle| {
                let ops = BackendOps::<B>::new(shape, dtype, handle, name).with(weights);
                Ok(Box::new(OnDevice::new(ops, stream)) as Box<dyn Operations>)
            })
        })
    }

    fn gradients(&self, shape: &Shape) -> Result<Box<dyn Gradients>, String> {
        quiet_threads();
        caught(|| Ok(Box::new(GradientOps::new(shape)) as Box<dyn Gradients>))
    }
}

/// Runs one small kernel; the error is the reason why it does not work.
fn smoke_test<B: Backend>(device: &B::Device) -> Result<(), String> {
    let two = Tensor::<B, 1>::from_floats([1.0, 1.0], device).sum();
    let data = two
        .try_into_data()
        .map_err(|error| format!("a small kernel failed: {}", reason(&format!("{error:?}"))))?;
    match data.to_vec::<f32>() {
        Ok(values) if values == [2.0] => Ok(()),
        other => Err(format!("a small kernel summed 1 + 1 to {other:?}")),
    }
}

fn multiply<B: Kernels>(
    device: &B::Device,
    size: usize,
    dtype: Dtype,
    count: usize,
) -> Result<(), String> {
    let random = || {
        // Products of such matrices keep their magnitude.
        let normal = Distribution::Normal(0.0, 1.0 / (size as f64).sqrt());
        let values = Tensor::<B, 2>::random([size, size], normal, (device, DType::F32));
        values.cast(ops::float(dtype))
    };
    let (mut product, factor) = (random(), random());
    for _ in 0..count {
        product = B::product(product, factor.clone(), ops::float(dtype));
    }
    let corner = product.narrow(0, 0, 1).narrow(1, 0, 1).try_into_data();
    corner.map(|_| ()).map_err(|error| reason(&format!("{error:?}")))
}
