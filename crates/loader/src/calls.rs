//! Calls into plugins: which are in progress, so that one that never returns can be named.
//!
//! Plugin code runs in the host's process and can end it: by a crash, by `exit`, or by never
//! returning. Every call is therefore entered in its thread's [slot](slots) before it is made. A
//! [`CallNote`] mirrors the slots into a file, which outlives the process; a [`Guard`] turns crashes
//! and `exit` into messages that name plugin, cell and call.
//!
//! Plugin code also shares the thread, and with it the thread's rounding mode, which is checked and
//! restored after every call.

mod arithmetic;
mod callee;
mod guard;
mod note;
mod slots;

pub use callee::{CallKind, CellName};
pub use guard::Guard;
pub use note::{CallNote, End, Noted};
pub use slots::{AtWork, calls_at_work};

pub(crate) use callee::Callee;

use arithmetic::Arithmetic;

/// Calls into a plugin. The flag says whether the plugin changed the arithmetic settings of this
/// thread; they have then been restored.
pub(crate) fn call<T>(callee: &'static Callee, kind: CallKind, f: impl FnOnce() -> T) -> (T, bool) {
    let arithmetic = Arithmetic::now();
    let _entered = slots::enter(callee, kind);
    let result = f();
    guard::end_if_forked(callee, kind);
    (result, arithmetic.restore())
}
