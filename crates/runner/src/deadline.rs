//! A deadline for every call of a plugin.
//!
//! A thread that hangs in a plugin cannot be ended: it may hold locks of the allocator or of the
//! model, and half of what it writes may be written. So the process ends; its guard starts it again
//! without the cell.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use strait_loader::{AtWork, Guard, calls_at_work};

use crate::clock::Stopwatch;

/// How often the calls are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Seconds that a call may go on after the run was told to stop.
const STOP_S: f64 = 10.0;

/// Exit code of a run that was stopped by the user.
const INTERRUPTED: i32 = 130;

/// Does `work`, and ends the process when a call of a plugin takes longer than `limit_s` seconds (0 for
/// no limit), or goes on for 10 seconds although `stop` is set.
pub fn with_deadline<T>(
    guard: &Guard,
    limit_s: u64,
    stop: &AtomicBool,
    work: impl FnOnce() -> T,
) -> T {
    let (ended, end) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut calls = Calls::default();
            while end.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                calls.look();
                let stopping = stop.load(Ordering::Relaxed);
                for (call, seconds) in calls.ages_s() {
                    if limit_s > 0 && seconds >= limit_s as f64 {
                        guard.give_up(&call, limit_s);
                    } else if stopping && seconds >= STOP_S {
                        guard.leave_behind(&call, INTERRUPTED);
                    }
                }
            }
        });
        let result = work();
        drop(ended);
        result
    })
}

/// The calls at work, and since when each was seen.
#[derive(Default)]
struct Calls(Vec<(AtWork, Stopwatch)>);

impl Calls {
    /// Forgets the calls that have ended and adds those that are new.
    fn look(&mut self) {
        let now = calls_at_work();
        self.0.retain(|(call, _)| now.contains(call));
        for call in now {
            if self.0.iter().all(|(known, _)| *known != call) {
                self.0.push((call, Stopwatch::start()));
            }
        }
    }

    fn ages_s(&self) -> impl Iterator<Item = (AtWork, f64)> {
        self.0.iter().map(|(call, since)| (*call, since.seconds()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_calls_nobody_is_not_disturbed() {
        let guard = Guard::install();
        let stop = AtomicBool::new(true);
        let slow = || std::thread::sleep(3 * LOOK);
        with_deadline(&guard, 1, &stop, slow);
        assert_eq!(with_deadline(&guard, 0, &stop, || 7), 7);
    }
}
