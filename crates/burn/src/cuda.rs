//! The card behind a CUDA device.

/// Determines whether kernels can be compiled and run on a card; the error is the reason why not,
/// with its remedy.
pub(crate) fn probe(index: usize) -> Result<(), String> {
    let card = strait_nvidia::card(index).map_err(|error| error.line())?;
    log::info!("cuda:{index}: {}", card.name);
    Ok(())
}
