//! Runs a check so that a panic, hang or runaway allocation of the codec becomes a failure.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// One check takes milliseconds; a codec that needs this long hangs.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Growth of the address space in KiB that no sample of a few kilobytes explains.
const MEMORY_LIMIT_KIB: u64 = 2 << 20;

/// Held during a check: the address space belongs to the whole process, so checks run one at a
/// time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs `check` on its own thread. A hanging thread is abandoned.
pub(crate) fn guarded(
    check: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = peak_address_space_kib();
    let (sender, receiver) = channel();
    let started = thread::Builder::new().name("conformance".to_owned()).spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(check));
        // The receiver is gone once the time limit has passed.
        let _ = sender.send(result);
    });
    if let Err(error) = started {
        return Err(format!("cannot start a thread for the check: {error}"));
    }
    match receiver.recv_timeout(TIME_LIMIT) {
        Ok(Ok(result)) => result?,
        Ok(Err(panic)) => return Err(format!("panicked: {}", panic_text(&*panic))),
        Err(RecvTimeoutError::Timeout) => {
            return Err(format!("did not finish in {} s", TIME_LIMIT.as_secs()));
        }
        Err(RecvTimeoutError::Disconnected) => return Err("its thread ended early".to_owned()),
    }
    match (before, peak_address_space_kib()) {
        (Some(before), Some(after)) if after > before + MEMORY_LIMIT_KIB => {
            Err(format!("allocated without bound: {} MiB for kilobytes", (after - before) >> 10))
        }
        _ => Ok(()),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".to_owned())
}

/// Peak size of the address space in KiB; `None` if the system does not report it.
fn peak_address_space_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure() {
        let error = guarded(|| panic!("code {}", 7)).unwrap_err();
        assert_eq!(error, "panicked: code 7");
        assert_eq!(guarded(|| Err("no".to_owned())).unwrap_err(), "no");
        assert!(guarded(|| Ok(())).is_ok());
    }

    #[test]
    fn a_runaway_allocation_is_a_failure() {
        let error = guarded(|| {
            std::hint::black_box(Vec::<u8>::with_capacity(6 << 30));
            Ok(())
        });
        if peak_address_space_kib().is_some() {
            assert!(error.unwrap_err().starts_with("allocated without bound"));
        }
    }
}
