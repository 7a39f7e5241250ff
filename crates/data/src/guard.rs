//! Guards calls into libraries that panic on damaged files.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is caught and returned as an error, so that nothing else should
    /// report it.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Returns the result of `work`, or the message of its panic.
///
/// # Errors
/// The message.
pub(crate) fn guard<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic without a text").to_owned()
    })
}

/// Sends panics inside [`guard`] to the log, and all others to the previous hook.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if GUARDED.get() {
                log::debug!("caught: {info}");
            } else {
                others(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_text() {
        assert_eq!(guard(|| 3), Ok(3));
        let cut: &[u8] = &[];
        let damaged = guard(|| cut[std::hint::black_box(2)]).unwrap_err();
        assert!(damaged.contains("out of bounds"), "{damaged}");
        assert!(!GUARDED.get());
    }
}
