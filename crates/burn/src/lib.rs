//! The decoder's operations on burn's backends: CUDA, and burn-flex on the CPU for checks. With the
//! feature `wgpu` also Vulkan, which runs CUDA's kernels where there is no CUDA.
//!
//! Only this crate uses burn, and burn's types do not appear outside it.

mod attention;
mod cube;
mod cuda;
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
use strait_ops::{Dtype, Shape};

pub use crate::erased::{BurnOps, Held};
use crate::failure::{guarded, quiet_threads};
pub use crate::failure::{leave_by, panic_text, reason};
pub use crate::gradient::{GradientHead, GradientLayer, GradientOps, PulledBack};
use crate::kernels::Kernels;
use crate::ops::BackendOps;

/// Which weights a model computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weights {
    /// The given weights.
    #[default]
    Given,
    /// Random matrices of the same shapes, generated on the device, for measuring speed without
    /// transferring weights. Vectors are those given.
    Random,
}

/// A device of one of burn's backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BurnDevice {
    /// The CPU, using burn-flex.
    Flex,
    /// A CUDA device by index, using burn-cuda.
    Cuda(usize),
    /// The first Vulkan device, using burn-wgpu.
    #[cfg(feature = "wgpu")]
    Vulkan,
}

/// Evaluates an expression with the backend of a device and its handle.
macro_rules! on {
    ($device:expr, |$backend:ident, $handle:ident| $body:expr) => {
        match $device {
            BurnDevice::Flex => {
                type $backend = Flex;
                let $handle = FlexDevice;
                $body
            }
            BurnDevice::Cuda(index) => {
                type $backend = Cuda;
                let $handle = CudaDevice::new(index);
                $body
            }
            #[cfg(feature = "wgpu")]
            BurnDevice::Vulkan => {
                type $backend = burn_wgpu::Wgpu;
                let $handle = burn_wgpu::WgpuDevice::default();
                $body
            }
        }
    };
}

impl BurnDevice {
    /// Whether the device can be used; the error is the reason why not.
    ///
    /// # Errors
    /// When there is no driver, no such device, or a small kernel does not run on it.
    pub fn open(self) -> Result<(), String> {
        quiet_threads();
        match self {
            BurnDevice::Flex => return Ok(()),
            BurnDevice::Cuda(index) => cuda::probe(index)?,
            #[cfg(feature = "wgpu")]
            BurnDevice::Vulkan => guarded(vulkan::start)?,
        }
        cube::prefer_products()?;
        guarded(|| on!(self, |B, device| smoke_test::<B>(&device)))
    }

    /// Whether the device, which must have been opened, computes in this type.
    #[must_use]
    pub fn supports(self, dtype: Dtype) -> bool {
        on!(self, |B, device| B::supports_dtype(&device, ops::float(dtype).into()))
    }

    /// Multiplies random matrices `[size, size]` `count` times, with each product as a factor of
    /// the next, and waits for the result. Measures what products alone achieve on the device,
    /// which must have been opened.
    ///
    /// # Errors
    /// When the device fails.
    pub fn multiply(self, size: usize, dtype: Dtype, count: usize) -> Result<(), String> {
        guarded(|| on!(self, |B, device| multiply::<B>(&device, size, dtype, count)))
    }

    /// The stream of the device that all work goes through.
    fn stream(self) -> u64 {
        match self {
            BurnDevice::Cuda(index) => index as u64,
            _ => 0,
        }
    }
}

impl BurnOps {
    /// Operations for a model of this shape; `name` is the device's name in messages. The device
    /// must have been opened.
    #[must_use]
    pub fn new(
        shape: &Shape,
        dtype: Dtype,
        device: BurnDevice,
        weights: Weights,
        name: String,
    ) -> BurnOps {
        on!(device, |B, handle| {
            let ops = BackendOps::<B>::new(shape, dtype, handle, name);
            BurnOps::over(ops.with(weights), device.stream())
        })
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
