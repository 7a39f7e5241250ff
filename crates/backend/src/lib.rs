//! The boundary to a backend: a shared library of device operations that the host loads when a device needs it.
//!
//! A backend takes minutes to build, and most runs on a CPU never need one. So it is a library of its own, which is
//! built apart and opened by [`backend`] on first use. It is no plugin for others to write: host and library come from
//! one source and one compiler, exchange plain Rust types, and refuse each other otherwise.
//!
//! Each side has its own standard library, so no panic may cross: the library turns its own into errors, and the host's
//! callbacks do the same ([`strait_ops::LayerTap`]).

mod interface;
mod library;
mod operations;

pub use interface::{
    Backend, BackendDevice, Borrowed, Gradients, Host, Operations, PulledBack, Value, Weights,
};
pub use library::{BackendError, Entry, FILE_NAME, VARIABLE, backend, leave_by};
pub use operations::{Kept, LoadedOps};
