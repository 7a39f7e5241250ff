//! Devices by name, and whether they are there.

use strait_burn::BurnDevice;

use crate::error::ModelError;

/// A device that stages can run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
    /// The CPU, with strait-cpu.
    Cpu,
    /// The CPU with burn-flex: the operations that CUDA runs too. Slow, for checks.
    CpuPlain,
    /// A CUDA device by index, with burn-cuda.
    Cuda(usize),
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::CpuPlain => f.write_str("cpu:plain"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// Finds the device of a name: `auto` (CUDA when it can be used, else the CPU), `cpu`,
/// `cpu:plain`, `cuda` or `cuda:N`.
///
/// # Errors
/// When the name is not one of these, or the CUDA device cannot be used.
pub fn open_device(spec: &str) -> Result<Device, ModelError> {
    match spec {
        "auto" => Ok(open_cuda(0).unwrap_or_else(|reason| {
            log::debug!("device \"auto\": no CUDA device ({reason}), so the CPU");
            Device::Cpu
        })),
        "cpu" => Ok(Device::Cpu),
        "cpu:plain" => Ok(Device::CpuPlain),
        "cuda" => open_cuda(0).map_err(|reason| missing(spec, reason)),
        _ => {
            let index = spec.strip_prefix("cuda:").and_then(|index| index.parse().ok());
            let index = index.ok_or(ModelError::UnknownDevice { found: spec.to_owned() })?;
            open_cuda(index).map_err(|reason| missing(spec, reason))
        }
    }
}

fn missing(spec: &str, reason: String) -> ModelError {
    ModelError::DeviceMissing { device: spec.to_owned(), reason }
}

fn open_cuda(index: usize) -> Result<Device, String> {
    BurnDevice::Cuda(index).open()?;
    Ok(Device::Cuda(index))
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
