//! One group of windows on its way: what its cells share, and the order in which they may use it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use strait_data::Window;
use strait_model::{Hidden, Reference, ScoreRange};
use strait_schema::LinkCounts;

use crate::cell::Cell;
use crate::look::Looks;
use crate::rerun::Rerun;

/// Cells that go through the stages together. The first batch of a group is the baseline.
pub(crate) struct Batch<'c> {
    pub(crate) cells: Vec<&'c mut Cell>,
    pub(crate) baseline: bool,
    /// The link whose hidden states they start from.
    pub(crate) from: usize,
    /// For one cell that does not go on from the shared prefix.
    pub(crate) rerun: Option<Rerun>,
}

/// What is the same for all cells: hidden states behind the stages before their first codecs.
pub(crate) struct Prefix {
    /// Behind each of the first stages: at least the first.
    pub(crate) states: Vec<Hidden>,
    /// For every window, what was seen of the layers of these stages.
    pub(crate) looks: Vec<Looks>,
    /// What the links between these stages cost, by link and window.
    pub(crate) passed: Vec<Vec<LinkCounts>>,
}

/// What the cells of a group of equally long windows share.
pub(crate) struct Group<'c> {
    pub(crate) windows: usize,
    pub(crate) first_window: usize,
    /// Of all windows, one behind the other.
    pub(crate) tokens: Vec<u32>,
    pub(crate) ranges: Vec<ScoreRange>,
    /// What cells start from.
    pub(crate) prefix: Prefix,
    queue: Mutex<VecDeque<Batch<'c>>>,
    reference: Mutex<Slot>,
    ready: Condvar,
}

enum Slot {
    Awaited,
    There(Reference),
    /// The baseline failed: there will be none.
    Missing,
}

impl<'c> Group<'c> {
    pub(crate) fn new(
        windows: &[Window],
        tokens: Vec<u32>,
        ranges: Vec<ScoreRange>,
        prefix: Prefix,
        batches: VecDeque<Batch<'c>>,
    ) -> Self {
        Self {
            windows: windows.len(),
            first_window: windows.first().map_or(0, |window| window.index),
            tokens,
            ranges,
            prefix,
            queue: Mutex::new(batches),
            reference: Mutex::new(Slot::Awaited),
            ready: Condvar::new(),
        }
    }

    /// The next batch to run.
    pub(crate) fn next(&self) -> Option<Batch<'c>> {
        held(&self.queue).pop_front()
    }

    /// Takes back what has not begun.
    pub(crate) fn clear(&self) {
        held(&self.queue).clear();
    }

    /// Gives the baseline's reference to those who wait for it; `None` tells them not to.
    pub(crate) fn publish(&self, reference: Option<Reference>) {
        *held(&self.reference) = reference.map_or(Slot::Missing, Slot::There);
        self.ready.notify_all();
    }

    /// Waits for the baseline's reference; `false` when there will be none.
    pub(crate) fn await_reference(&self) -> bool {
        let mut slot = held(&self.reference);
        while matches!(*slot, Slot::Awaited) {
            slot = self.ready.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
        matches!(*slot, Slot::There(_))
    }

    /// Runs `work` with the reference, which must have been awaited.
    pub(crate) fn with_reference<T>(&self, work: impl FnOnce(&Reference) -> T) -> Option<T> {
        match &*held(&self.reference) {
            Slot::There(reference) => Some(work(reference)),
            Slot::Awaited | Slot::Missing => None,
        }
    }
}

/// Tells those who wait when the baseline's lane ends without a reference, by a panic too.
pub(crate) struct PublishOnDrop<'a, 'c>(pub(crate) &'a Group<'c>);

impl Drop for PublishOnDrop<'_, '_> {
    fn drop(&mut self) {
        let awaited = matches!(*held(&self.0.reference), Slot::Awaited);
        if awaited {
            self.0.publish(None);
        }
    }
}

/// The lock's content, also after a panic of another holder: it holds no half-made state.
pub(crate) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
