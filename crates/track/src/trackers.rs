//! All trackers of a run behind one queue.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::{Event, TrackError};

/// Capacity of the queue in events. A tracker that is slower than this loses windows, not the run.
const QUEUE: usize = 4096;

/// Something that follows a run.
pub trait Tracker: Send {
    /// The tracker's name in warnings.
    fn name(&self) -> &'static str;

    /// Handles one event; `time_s` is in seconds since 1970.
    ///
    /// # Errors
    /// When the tracker cannot continue: it receives no further events.
    fn event(&mut self, event: &Event, time_s: f64) -> Result<(), TrackError>;
}

/// The trackers of a run on their own thread.
#[derive(Debug)]
pub struct Trackers {
    queue: Option<SyncSender<(Event, f64)>>,
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
    lost: u64,
}

impl Trackers {
    /// Starts the thread, if there are any trackers and a thread can be created.
    #[must_use]
    pub fn start(mut trackers: Vec<Box<dyn Tracker>>) -> Self {
        let (queue, events) = sync_channel::<(Event, f64)>(QUEUE);
        let (done, ended) = sync_channel(1);
        if trackers.is_empty() {
            return Self { queue: None, ended, thread: None, lost: 0 };
        }
        let work = move || {
            for (event, time_s) in events {
                trackers.retain_mut(|tracker| match tracker.event(&event, time_s) {
                    Ok(()) => true,
                    Err(error) => {
                        log::warn!("{} is told nothing more: {error}", tracker.name());
                        false
                    }
                });
            }
            let _ = done.send(());
        };
        let thread = std::thread::Builder::new().name("trackers".to_owned()).spawn(work);
        match thread {
            Ok(thread) => Self { queue: Some(queue), ended, thread: Some(thread), lost: 0 },
            Err(error) => {
                log::warn!("nothing is tracked: {error}");
                Self { queue: None, ended, thread: None, lost: 0 }
            }
        }
    }

    /// Enqueues an event without waiting; `time_s` is in seconds since 1970.
    pub fn tell(&mut self, event: Event, time_s: f64) {
        let Some(queue) = &self.queue else { return };
        match queue.try_send((event, time_s)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.lost += 1,
            Err(TrySendError::Disconnected(_)) => self.queue = None,
        }
    }

    /// Enqueues the last event and waits, for at most `patience`, until the trackers have handled
    /// everything.
    pub fn finish(&mut self, event: Event, time_s: f64, patience: Duration) {
        let Some(queue) = self.queue.take() else { return };
        // The queue may be full of windows; the end is worth waiting for.
        let sender = std::thread::Builder::new().spawn(move || {
            let _ = queue.send((event, time_s));
        });
        if sender.is_err() {
            log::warn!("the trackers were not told of the end");
        }
        match self.ended.recv_timeout(patience) {
            Ok(()) => {
                if let Some(thread) = self.thread.take() {
                    let _ = thread.join();
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                log::warn!("the trackers did not finish in {} s and were left", patience.as_secs());
            }
            Err(RecvTimeoutError::Disconnected) => log::warn!("a tracker broke off"),
        }
        if self.lost > 0 {
            log::warn!("{} windows were not tracked: the trackers were too slow", self.lost);
        }
    }
}
