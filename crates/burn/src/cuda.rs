//! Whether CUDA can be used, found out without a panic.
#![allow(unsafe_code)] // One call that asks whether the driver's library can be loaded.

use cudarc::driver::{result, sys};

/// Checks that the driver is there and has a device `index`, and gives the card's name; the error
/// is the reason.
pub(crate) fn probe(index: usize) -> Result<String, String> {
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
    let ordinal = i32::try_from(index).ok().filter(|ordinal| *ordinal < count);
    let ordinal =
        ordinal.ok_or(format!("expected an index below {count}, the number of CUDA devices"))?;
    let card = result::device::get(ordinal).map_err(described)?;
    result::device::get_name(card).map_err(described)
}
