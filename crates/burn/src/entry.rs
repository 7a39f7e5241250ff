//! What the host finds in this library.

#![allow(unsafe_code, reason = "exports a symbol under its own name")]

use std::sync::OnceLock;

use log::{Log, Metadata, Record};
use strait_backend::{Backend, Entry, Host};

use crate::Burn;
use crate::failure::leave_by;

/// The library's entry.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
#[expect(unreachable_pub, reason = "reached by its symbol")]
pub static STRAIT_BACKEND: Entry = Entry::new(start);

fn start(host: Host) -> &'static dyn Backend {
    leave_by(host.leave);
    forward_log(host);
    &Burn
}

/// This library's copy of `log` hands everything to the host's.
fn forward_log(host: Host) {
    static FORWARD: OnceLock<Forward> = OnceLock::new();
    let forward = FORWARD.get_or_init(|| Forward(host));
    // It fails where a logger is set already: in tests that link this crate, whose log is their own.
    if log::set_logger(forward).is_ok() {
        log::set_max_level(host.level);
    }
}

struct Forward(Host);

impl Log for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.0.level
    }

    fn log(&self, record: &Record<'_>) {
        (self.0.log)(record.level(), record.target(), &record.args().to_string());
    }

    fn flush(&self) {}
}
