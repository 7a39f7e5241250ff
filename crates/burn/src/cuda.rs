//! The card behind a CUDA device.

/// Finds out whether kernels can be compiled and run on a card; the error is the reason why not, with
/// what to do about it.
pub(crate) fn probe(index: usize) -> Result<(), String> {
    let card = strait_nvidia::card(index).map_err(|error| error.line())?;
    log::info!("cuda:{index}: {}", card.name);
    Ok(())
}
