//! The decoder's operations on burn's backends: CUDA, and burn-flex on the CPU for checks.
//!
//! Only this crate uses burn, and burn's types do not show outside it.

mod cuda;
mod ops;

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::DispatchDevice;
use burn::backend::cuda::CudaDevice;
use burn::backend::flex::FlexDevice;

pub use crate::ops::BurnOps;

/// A device of one of burn's backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BurnDevice {
    /// The CPU with burn-flex.
    Flex,
    /// A CUDA device by index, with burn-cuda.
    Cuda(usize),
}

impl BurnDevice {
    /// Whether the device can be used; the error is the reason why not.
    ///
    /// # Errors
    /// When there is no driver, no such device, or a small kernel does not run on it.
    pub fn open(self) -> Result<(), String> {
        match self {
            BurnDevice::Flex => Ok(()),
            BurnDevice::Cuda(index) => {
                cuda::probe(index)?;
                // burn-cuda panics where the driver is there but, say, NVRTC is not.
                catch_unwind(AssertUnwindSafe(|| cuda::smoke_test(&self.device())))
                    .unwrap_or_else(|panic| Err(panic_text(&*panic)))
            }
        }
    }

    fn device(self) -> DispatchDevice {
        match self {
            BurnDevice::Flex => DispatchDevice::Flex(FlexDevice),
            BurnDevice::Cuda(index) => DispatchDevice::Cuda(CudaDevice::new(index)),
        }
    }
}

/// The message of a caught panic.
#[must_use]
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panic without a message").lines().next().unwrap_or_default().to_owned()
}
