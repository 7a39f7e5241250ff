//! `strait serve`: the page of results, live, for a browser on this machine.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::interrupt::on_interrupt;
use crate::output::say;

/// Which results, on which port.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Results folders or single records.
    #[arg(required = true)]
    results: Vec<PathBuf>,
    /// The port; 0 takes a free one.
    #[arg(short, long, default_value_t = 8321)]
    port: u16,
}

/// Serves until Ctrl-C.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let address = ("127.0.0.1", arguments.port);
    let listener = TcpListener::bind(address).with_context(|| {
        format!("cannot listen on port {}: choose another with --port", arguments.port)
    })?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    on_interrupt(move || stopped.store(true, Ordering::Relaxed))?;
    say(&format!("http://{}/  (Ctrl-C ends it)", listener.local_addr()?))?;
    strait_report::serve(&listener, &arguments.results, &stop)?;
    Ok(ExitCode::SUCCESS)
}
