//! Vulkan through burn-wgpu: runs CUDA's kernels on any Vulkan driver, including software ones.

use std::sync::Once;

use burn_wgpu::graphics::Vulkan;
use burn_wgpu::{RuntimeOptions, WgpuDevice, init_setup};

/// Starts the first Vulkan device; the error is the reason why it does not start.
pub(crate) fn start() -> Result<(), String> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let setup = init_setup::<Vulkan>(&WgpuDevice::default(), RuntimeOptions::default());
        log::info!("Vulkan device: {}", setup.adapter.get_info().name);
    });
    Ok(())
}
