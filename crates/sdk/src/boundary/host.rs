//! The host's services: thread count and log sink, taken once per loaded file.

use std::sync::OnceLock;

use log::{LevelFilter, Log, Metadata, Record};
use strait_abi::{HostServicesRef, Outcome};

use super::guard::{guard, install_quiet_hook};

static HOST: OnceLock<HostServicesRef> = OnceLock::new();

/// Takes the host's services. A file that is opened twice in one process is loaded once and starts
/// twice: it keeps the first log sink.
pub(super) extern "C" fn start(services: HostServicesRef) -> Outcome {
    let _ = HOST.set(services);
    crate::host::set_threads(services.threads());
    // An author who installs another logger keeps it; the host's would see nothing either way.
    let _ = log::set_logger(&HostLog);
    install_quiet_hook();
    guard(|| Ok(())).0
}

/// The host that started this plugin; none in unit tests.
pub(super) fn host() -> Option<HostServicesRef> {
    HOST.get().copied()
}

/// The plugin has its own copy of the log crate, whose level is off until somebody sets it.
pub(super) fn follow_log_level() {
    if let Some(host) = HOST.get() {
        let level = match (host.max_log_level())(host.token()) {
            0 => LevelFilter::Off,
            1 => LevelFilter::Error,
            2 => LevelFilter::Warn,
            3 => LevelFilter::Info,
            4 => LevelFilter::Debug,
            _ => LevelFilter::Trace,
        };
        log::set_max_level(level);
    }
}

struct HostLog;

impl Log for HostLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let Some(host) = HOST.get().filter(|_| self.enabled(record.metadata())) else { return };
        let text = record.args().to_string();
        let level = record.level() as u32;
        (host.log())(host.token(), level, record.target().into(), text.as_str().into());
    }

    fn flush(&self) {}
}
