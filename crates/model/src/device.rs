//! Devices by name, and whether they are available.

use std::sync::OnceLock;

use strait_backend::{Backend, BackendDevice, backend};
use strait_nvidia::NvidiaError;
use strait_ops::Dtype;

use crate::error::ModelError;

/// A device that stages can run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
    /// The CPU, using strait-cpu.
    Cpu,
    /// The CPU, with the operations that CUDA runs. Slow; meant for checks.
    CpuPlain,
    /// A CUDA device by index.
    Cuda(usize),
    /// The first Vulkan device, with the kernels that CUDA runs. Meant for checks; the library must be
    /// built for it.
    Vulkan,
}

impl Device {
    /// Whether the device, which must have been opened, computes in this type.
    #[must_use]
    pub fn supports(self, dtype: Dtype) -> bool {
        let Some(device) = self.backend() else { return true };
        backend().map_or(true, |library| library.supports(device, dtype))
    }

    /// Multiplies random matrices `[size, size]` `count` times, to measure what products alone
    /// achieve on a device of a backend, which must have been opened.
    ///
    /// # Errors
    /// When the device fails, or is the CPU itself.
    pub fn multiply(self, size: usize, dtype: Dtype, count: usize) -> Result<(), ModelError> {
        let Some(device) = self.backend() else {
            return Err(self.missing("it has no products apart from a model's".to_owned()));
        };
        let outcome = self.library()?.multiply(device, size, dtype, count);
        outcome.map_err(|reason| self.missing(reason))
    }

    /// The device as the library knows it; `None` for the CPU, which needs none.
    pub(crate) fn backend(self) -> Option<BackendDevice> {
        match self {
            Device::Cpu => None,
            Device::CpuPlain => Some(BackendDevice::Plain),
            Device::Cuda(index) => Some(BackendDevice::Cuda(index)),
            Device::Vulkan => Some(BackendDevice::Vulkan),
        }
    }

    /// The library that drives the device.
    pub(crate) fn library(self) -> Result<&'static dyn Backend, ModelError> {
        backend().map_err(|error| self.missing(error.to_string()))
    }

    /// The error of this device when it cannot be used.
    pub(crate) fn missing(self, reason: String) -> ModelError {
        missing(&self.to_string(), reason)
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::CpuPlain => f.write_str("cpu:plain"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
            Device::Vulkan => f.write_str("vulkan"),
        }
    }
}

/// Opens the device with the given name: `auto` (CUDA if usable, otherwise the CPU), `cpu`,
/// `cpu:plain`, `cuda`, `cuda:N` or `vulkan`.
///
/// # Errors
/// When the name is not one of these, or the device cannot be used.
pub fn open_device(spec: &str) -> Result<Device, ModelError> {
    strait_cpu::instructions().map_err(|reason| missing("cpu", reason))?;
    match spec {
        "auto" => Ok(automatic()),
        "cpu" => Ok(Device::Cpu),
        "cpu:plain" => Ok(Device::CpuPlain),
        "cuda" => open(Device::Cuda(0)).map_err(|reason| missing(spec, reason)),
        "vulkan" => open(Device::Vulkan).map_err(|reason| missing(spec, reason)),
        _ => {
            let index = spec.strip_prefix("cuda:").and_then(|index| index.parse().ok());
            let index = index.ok_or(ModelError::UnknownDevice { found: spec.to_owned() })?;
            open(Device::Cuda(index)).map_err(|reason| missing(spec, reason))
        }
    }
}

/// Why `auto` chose the CPU although the machine has an NVIDIA driver; `None` if it did not, or was
/// not used.
#[must_use]
pub fn passed_over() -> Option<&'static str> {
    AUTOMATIC.get()?.reason.as_deref()
}

/// The device that `auto` stands for here, determined on first use.
static AUTOMATIC: OnceLock<Automatic> = OnceLock::new();

struct Automatic {
    device: Device,
    /// Why a card is not used.
    reason: Option<String>,
}

fn automatic() -> Device {
    let find = || {
        let reason = match open(Device::Cuda(0)) {
            Ok(device) => return Automatic { device, reason: None },
            Err(reason) => reason,
        };
        let device = Device::Cpu;
        if strait_nvidia::machine().as_ref().is_err_and(NvidiaError::is_absence) {
            log::debug!("device \"auto\": no CUDA device ({reason}), so the CPU");
            return Automatic { device, reason: None };
        }
        log::warn!("device \"auto\" is the CPU, because the GPU cannot be used: {reason}");
        Automatic { device, reason: Some(reason) }
    };
    AUTOMATIC.get_or_init(find).device
}

fn missing(spec: &str, reason: String) -> ModelError {
    ModelError::DeviceMissing { device: spec.to_owned(), reason }
}

fn open(device: Device) -> Result<Device, String> {
    if let Device::Cuda(index) = device {
        // What is missing for a card is known without the library.
        strait_nvidia::card(index).map_err(|error| error.line())?;
    }
    if let Some(known) = device.backend() {
        backend().map_err(|error| error.to_string())?.open(known)?;
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in ["cpu", "cpu:plain"] {
            assert_eq!(open_device(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn unknown_names_are_refused() {
        for name in ["gpu", "cuda:", "cuda:x", ""] {
            assert!(matches!(open_device(name), Err(ModelError::UnknownDevice { .. })), "{name}");
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_one_clear_error() {
        let message = open_device("cuda:4096").unwrap_err().to_string();
        assert!(message.starts_with("device \"cuda:4096\" cannot be used: "), "{message}");
        assert!(message.ends_with("; use device = \"cpu\" or \"auto\""), "{message}");
        assert!(!message.contains('\n'));
    }

    #[test]
    fn auto_finds_a_device() {
        assert_ne!(open_device("auto").unwrap(), Device::CpuPlain);
    }
}
