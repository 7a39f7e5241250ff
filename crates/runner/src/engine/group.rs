//! One group of windows in progress: its tokens, and the baseline that its cells wait for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use strait_data::Window;
use strait_model::ScoreRange;

/// What the cells of a group of equally long windows share.
pub(crate) struct Group<R> {
    pub(crate) windows: usize,
    /// Index of the group's first window in the protocol.
    pub(crate) first_window: usize,
    /// Tokens of all windows, concatenated.
    pub(crate) tokens: Vec<u32>,
    /// What is scored in each window.
    pub(crate) ranges: Vec<ScoreRange>,
    reference: Mutex<Slot<R>>,
    ready: Condvar,
}

/// The state of the baseline's reference.
enum Slot<R> {
    Awaited,
    There(R),
    /// The baseline failed, so there will be no reference.
    Missing,
}

impl<R> Group<R> {
    /// A group of these windows of a token stream.
    pub(crate) fn new(windows: &[Window], stream: &[u32]) -> Self {
        Self {
            windows: windows.len(),
            first_window: windows.first().map_or(0, |window| window.index),
            tokens: windows.iter().flat_map(|window| window.tokens(stream)).collect(),
            ranges: windows.iter().map(|window| score_range(window, stream)).collect(),
            reference: Mutex::new(Slot::Awaited),
            ready: Condvar::new(),
        }
    }

    /// Number of tokens in each window.
    pub(crate) fn length(&self) -> usize {
        self.tokens.len() / self.windows.max(1)
    }

    /// Publishes the baseline's reference to those who wait for it; `None` says that there will be
    /// none.
    pub(super) fn publish(&self, reference: Option<R>) {
        *held(&self.reference) = reference.map_or(Slot::Missing, Slot::There);
        self.ready.notify_all();
    }

    /// Waits for the baseline's reference; `false` when there will be none.
    pub(super) fn await_reference(&self) -> bool {
        let mut slot = held(&self.reference);
        while matches!(*slot, Slot::Awaited) {
            slot = self.ready.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
        matches!(*slot, Slot::There(_))
    }

    /// Runs `work` with the reference, which must have been awaited.
    pub(super) fn with_reference<T>(&self, work: impl FnOnce(&R) -> T) -> Option<T> {
        match &*held(&self.reference) {
            Slot::There(reference) => Some(work(reference)),
            Slot::Awaited | Slot::Missing => None,
        }
    }
}

fn score_range(window: &Window, stream: &[u32]) -> ScoreRange {
    ScoreRange { first_position: window.first_position(), targets: window.targets(stream).to_vec() }
}

/// Wakes those who wait if the baseline's batch ends without a reference, for whatever reason.
pub(super) struct PublishOnDrop<'a, R>(pub(super) &'a Group<R>);

impl<R> Drop for PublishOnDrop<'_, R> {
    fn drop(&mut self) {
        let awaited = matches!(*held(&self.0.reference), Slot::Awaited);
        if awaited {
            self.0.publish(None);
        }
    }
}

/// Locks a mutex even after a panic of another holder, because it never holds half-made state.
pub(super) fn held<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
