//! Ctrl-C, and the SIGTERM that batch systems and containers send some seconds before they kill.

use std::thread;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Calls `act` for each of these signals, on a thread of its own. From now on they do not end the program.
pub(crate) fn on_interrupt(mut act: impl FnMut() + Send + 'static) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for Ctrl-C")?;
    let listen = move || signals.forever().for_each(|_| act());
    thread::Builder::new()
        .name("interrupts".to_owned())
        .spawn(listen)
        .context("cannot listen for Ctrl-C")?;
    Ok(())
}
