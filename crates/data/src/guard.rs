//! Calls into libraries that meet damaged files with a panic.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is caught and told as an error, so that nothing else should tell it.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// What `work` gives, or the text of its panic.
///
/// # Errors
/// The text.
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

/// Panics inside [`guard`] go to the log, all others to the hook that was there before.
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
