//! What the host offers a plugin: its thread count (and its log, through [`log`]).

use std::sync::atomic::{AtomicUsize, Ordering};

static THREADS: AtomicUsize = AtomicUsize::new(1);

/// Threads a codec may use for one call; 1 in unit tests. Most codecs use one and are right to.
pub fn threads() -> usize {
    THREADS.load(Ordering::Relaxed)
}

pub(crate) fn set_threads(threads: usize) {
    THREADS.store(threads.max(1), Ordering::Relaxed);
}
