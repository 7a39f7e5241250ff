//! Catches panics of an author's code and turns every result into an outcome.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use strait_abi::Outcome;

use super::host;
use crate::Result;

thread_local! {
    /// Whether this thread is inside a call of the host, which will report the panic itself.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// Where the last panic of this thread happened.
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `f`; a panic becomes a panic outcome with its message and place.
pub(super) fn guard<T>(f: impl FnOnce() -> Result<T>) -> (Outcome, Option<T>) {
    host::follow_log_level();
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    GUARDED.set(outer);
    match result {
        Ok(Ok(value)) => (Outcome::ok(), Some(value)),
        Ok(Err(error)) => (Outcome::error(error.to_string()), None),
        Err(payload) => (Outcome::panic(panic_text(payload)), None),
    }
}

/// Replaces the default panic hook, which would write to the user's terminal, by one that keeps the
/// place for [`guard`] and writes to the host's log. The hook belongs to the plugin's own copy of
/// the standard library; the host's hook is another one.
pub(super) fn install_quiet_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
            if GUARDED.get() {
                log::debug!("caught a panic at {}", place.as_deref().unwrap_or("an unknown place"));
            } else {
                log::error!("panic outside of a call of the host: {info}");
            }
            LOCATION.set(place);
        }));
    });
}

fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => match payload.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(payload) => {
                // Its drop could panic in turn, and nobody would catch that.
                std::mem::forget(payload);
                "a panic without a text".to_owned()
            }
        },
    };
    match LOCATION.take() {
        Some(place) => format!("{text} (at {place})"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strait_abi::CallEnd;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[test]
    fn every_end_becomes_an_outcome() {
        let end = |f: fn() -> Result<()>| guard(f).0.end();
        assert_eq!(end(|| Ok(())), CallEnd::Ok);
        assert_eq!(end(|| Err("no".into())), CallEnd::Error("no".to_owned()));
        assert_eq!(end(|| panic!("static")), CallEnd::Panic("static".to_owned()));
        assert_eq!(end(|| panic!("{}", 1)), CallEnd::Panic("1".to_owned()));
        let end = end(|| std::panic::panic_any(Bomb));
        assert_eq!(end, CallEnd::Panic("a panic without a text".to_owned()));
    }
}
