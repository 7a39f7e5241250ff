//! Whether CUDA can be used, found out without a panic.
#![allow(unsafe_code)] // One call that asks whether the driver's library can be loaded.

use burn::tensor::Tensor;
use burn::{Dispatch, DispatchDevice};
use cudarc::driver::{result, sys};

/// Checks that the driver is there and has a device `index`; the error is the reason.
pub(crate) fn probe(index: usize) -> Result<(), String> {
    // SAFETY: it only tries to load the driver's library by its well-known names, and closes it;
    // nothing of it is called.
    if !unsafe { sys::is_culib_present() } {
        return Err("no NVIDIA driver found (libcuda cannot be loaded)".to_owned());
    }
    let described = |error: result::DriverError| {
        format!("the NVIDIA driver is there but does not start: {error}")
    };
    result::init().map_err(described)?;
    let count = result::device::get_count().map_err(described)?;
    let count = usize::try_from(count).unwrap_or(0);
    match index < count {
        true => Ok(()),
        false => Err(format!("expected an index below {count}, the number of CUDA devices")),
    }
}

/// Runs one small kernel; the error is the reason why it does not work.
pub(crate) fn smoke_test(device: &DispatchDevice) -> Result<(), String> {
    let two = Tensor::<Dispatch, 1>::from_floats([1.0, 1.0], device).sum();
    let data = two.try_into_data().map_err(|error| format!("a small kernel failed: {error:?}"))?;
    match data.to_vec::<f32>() {
        Ok(values) if values == [2.0] => Ok(()),
        other => Err(format!("a small kernel summed 1 + 1 to {other:?}")),
    }
}
