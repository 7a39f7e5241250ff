//! One slot for each thread that calls plugins: the call that is in progress.
//!
//! A slot is written by its own thread only and read by others at any time, including signal handlers;
//! hence plain atomics and no lock.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::callee::{CallKind, Callee};
use super::{guard, note};

/// Number of threads whose calls can be tracked at the same time; those of further threads are not.
pub(super) const SLOTS: usize = 512;

static ALL: [Slot; SLOTS] = [const { Slot::new() }; SLOTS];

/// The call in progress on a thread.
pub(super) struct Slot {
    taken: AtomicBool,
    /// Null outside of a call.
    callee: AtomicPtr<Callee>,
    kind: AtomicU32,
    /// Counts calls begun and ended, so that two readings of a slot can tell one long call from many.
    turns: AtomicU64,
}

/// A call in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtWork {
    pub(super) slot: usize,
    turns: u64,
}

thread_local! {
    /// The slot of this thread. It has no destructor, so that a signal handler may read it.
    static MINE: Cell<Option<usize>> = const { Cell::new(None) };
    /// Returns the slot when the thread ends.
    static HELD: Held = const { Held };
}

struct Held;

impl Drop for Held {
    fn drop(&mut self) {
        let Some(slot) = MINE.get() else { return };
        // No thread ends in the middle of a call, so this one called `exit`, which runs destructors before
        // it looks up the call.
        if current(slot).is_some() {
            return;
        }
        MINE.set(None);
        guard::release_stack();
        ALL[slot].taken.store(false, std::sync::atomic::Ordering::Release);
    }
}

impl Slot {
    const fn new() -> Self {
        Slot {
            taken: AtomicBool::new(false),
            callee: AtomicPtr::new(ptr::null_mut()),
            kind: AtomicU32::new(0),
            turns: AtomicU64::new(0),
        }
    }
}

/// The calls in progress on all threads.
pub fn calls_at_work() -> Vec<AtWork> {
    let at_work = |slot: usize| {
        let turns = ALL[slot].turns.load(Relaxed);
        current(slot).map(|_| AtWork { slot, turns })
    };
    (0..SLOTS).filter_map(at_work).collect()
}

impl AtWork {
    /// Callee and kind of the call, unless it has ended.
    pub(super) fn now(&self) -> Option<(&'static Callee, CallKind)> {
        let current = current(self.slot)?;
        (ALL[self.slot].turns.load(Relaxed) == self.turns).then_some(current)
    }

    /// Describes the call by plugin, codec, cell and kind, unless it has ended.
    pub fn words(&self) -> Option<String> {
        self.now().map(|(callee, kind)| format!("{}: {}", callee.words, kind.name()))
    }
}

/// The call in progress on this thread.
pub(super) fn mine() -> Option<(usize, &'static Callee, CallKind)> {
    let slot = MINE.get()?;
    current(slot).map(|(callee, kind)| (slot, callee, kind))
}

/// The call in progress, if there is exactly one among all threads.
pub(super) fn only() -> Option<(usize, &'static Callee, CallKind)> {
    let mut calls =
        (0..SLOTS).filter_map(|slot| current(slot).map(|(callee, kind)| (slot, callee, kind)));
    calls.next().filter(|_| calls.next().is_none())
}

// A callee is made by `Callee::of`, which leaks it.
#[allow(unsafe_code)]
fn current(slot: usize) -> Option<(&'static Callee, CallKind)> {
    let (callee, kind) = (ALL[slot].callee.load(Relaxed), ALL[slot].kind.load(Relaxed));
    // SAFETY: the pointer is null or was made in `set` from a `&'static Callee`.
    Some((unsafe { callee.as_ref() }?, CallKind::of_number(kind)?))
}

/// Ends the entry of a call by restoring the previous state of the slot, since a plugin that is being
/// opened may open another one.
pub(super) struct Entered {
    slot: Option<usize>,
    before: Option<(&'static Callee, CallKind)>,
}

/// Records that this thread is about to call.
pub(super) fn enter(callee: &'static Callee, kind: CallKind) -> Entered {
    let slot = MINE.get().or_else(take);
    let before = slot.and_then(current);
    if let Some(slot) = slot {
        set(slot, Some((callee, kind)));
    }
    Entered { slot, before }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            set(slot, self.before);
        }
    }
}

fn set(slot: usize, call: Option<(&'static Callee, CallKind)>) {
    let Slot { callee, kind, turns, .. } = &ALL[slot];
    let pointer = call.map_or(ptr::null(), |(callee, _)| ptr::from_ref(callee));
    // Only this thread writes the slot.
    turns.store(turns.load(Relaxed) + 1, Relaxed);
    callee.store(pointer.cast_mut(), Relaxed);
    kind.store(call.map_or(0, |(_, kind)| kind as u32), Relaxed);
    note::mirror(slot, call);
}

/// Takes a free slot for this thread; `None` if all are taken.
#[cold]
fn take() -> Option<usize> {
    let free = |slot: &usize| !ALL[*slot].taken.swap(true, std::sync::atomic::Ordering::Acquire);
    let slot = (0..SLOTS).find(free)?;
    MINE.set(Some(slot));
    // The slot of a thread that is ending stays taken, which costs nothing but the slot.
    let _ = HELD.try_with(|_| ());
    guard::prepare_thread(slot);
    Some(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_at_work_until_it_ends() {
        let outer = Callee::of("at-work.so", "codec `outer`", None);
        let inner = Callee::of("at-work.so", "codec `inner`", None);
        let words = |call: &AtWork| call.words().filter(|words| words.contains("at-work.so"));
        let entered = enter(outer, CallKind::Open);
        let calls: Vec<_> =
            calls_at_work().into_iter().filter(|call| words(call).is_some()).collect();
        assert_eq!(words(&calls[0]).unwrap(), "plugin at-work.so, codec `outer`: open");
        {
            let _nested = enter(inner, CallKind::Decode);
            assert_eq!(calls[0].words(), None, "the slot has moved on");
            assert_eq!(
                mine().map(|(_, callee, kind)| (callee.words.as_str(), kind)),
                Some(("plugin at-work.so, codec `inner`", CallKind::Decode))
            );
        }
        assert_eq!(mine().map(|(_, _, kind)| kind), Some(CallKind::Open));
        drop(entered);
        assert!(mine().is_none());
    }

    #[test]
    fn what_ends_in_the_middle_of_a_call_stays_known() {
        let callee = Callee::of("z.so", "", None);
        let thread = std::thread::spawn(move || {
            std::mem::forget(enter(callee, CallKind::Encode));
            MINE.get().unwrap()
        });
        let slot = thread.join().unwrap();
        assert!(ALL[slot].taken.load(Relaxed));
        assert_eq!(current(slot).unwrap().0.words, "plugin z.so");
        set(slot, None);
        ALL[slot].taken.store(false, Relaxed);
    }

    #[test]
    fn a_thread_that_ends_gives_its_slot_back() {
        let callee = Callee::of("y.so", "", None);
        for _ in 0..2 * SLOTS {
            let entered = std::thread::spawn(move || {
                drop(enter(callee, CallKind::Load));
                MINE.get().is_some()
            });
            assert!(entered.join().unwrap());
        }
    }
}
