//! Takes one group of windows through the model for every cell: batches in lanes, deliveries on one
//! thread.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use strait_data::Window;
use strait_model::SequenceScores;

use super::group::{Group, PublishOnDrop, held};
use super::road::{Road, Spent, Stages};
use super::trace::Lane;
use super::{BoxedBatch, Chosen, Measured, Trip, Way};
use crate::book::journal::{WindowEntry, WindowTime};
use crate::error::RunnerError;

/// Receives every cell that has been through a group: its index in the experiment, with its windows or
/// the reason why it cannot continue. The baseline arrives before every cell that was compared with it.
pub(crate) type Deliver<'a> =
    dyn FnMut(usize, Result<Vec<WindowEntry>, String>) -> Result<(), RunnerError> + 'a;

/// Runs groups of windows, one after the other.
pub(crate) struct Schedule<'a, S: ?Sized> {
    pub(crate) stages: &'a Stages<'a, S>,
    /// Set from outside to end the run; checked before every batch except the baseline's.
    pub(crate) stop: &'a AtomicBool,
}

/// What comes back from a lane.
type Delivery = Result<Travelled, RunnerError>;

/// A batch that has been through the stages.
struct Travelled {
    /// Whether this is the baseline, which the others are compared with.
    leads: bool,
    trips: Vec<Trip>,
    spent: Spent,
}

impl<S: ?Sized + Send> Schedule<'_, S> {
    /// Takes a group of equally long windows through the baseline and every chosen cell.
    ///
    /// # Errors
    /// The first error of a batch or of `deliver`. Batches in progress then run to their end, and no
    /// others begin.
    pub(crate) fn run<R: Send>(
        &self,
        windows: &[Window],
        stream: &[u32],
        ways: &mut [Box<dyn Way<S, R> + '_>],
        chosen: &Chosen<'_>,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), RunnerError> {
        let group = &Group::new(windows, stream);
        let mut road = Road::new(self.stages, group, 1);
        let mut batches = VecDeque::new();
        for way in ways {
            batches.extend(way.batches(chosen, &mut road)?);
        }
        let lanes = self.lanes().min(batches.len());
        let queue = &Queue::new(batches);
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            for lane in 1..=lanes {
                let sender = sender.clone();
                scope.spawn(move || self.lane(lane, group, queue, &sender));
            }
            // The receiver's loop ends when the last lane has dropped its sender.
            drop(sender);
            self.receive(windows, queue, receiver, deliver)
        })
    }

    /// Number of batches in progress at the same time: one for every device, and one more whose codecs
    /// run meanwhile.
    fn lanes(&self) -> usize {
        self.stages.devices() + 1
    }

    /// Takes batches from the queue until it is empty.
    fn lane<R: Send>(
        &self,
        lane: Lane,
        group: &Group<R>,
        queue: &Queue<'_, S, R>,
        arrived: &Sender<Delivery>,
    ) {
        while let Some((leads, mut batch)) = queue.next() {
            if !leads && self.stop.load(Ordering::Relaxed) {
                return;
            }
            let _publish = leads.then(|| PublishOnDrop(group));
            let mut road = Road::new(self.stages, group, lane);
            // A panic is treated like any other error of the run: the other lanes must finish, and their
            // measurements must reach the journals.
            let travelled = catch_unwind(AssertUnwindSafe(|| batch.travel(&mut road)));
            let (delivery, reference) = match travelled {
                Ok(Ok(arrived)) => {
                    let travelled = Travelled { leads, trips: arrived.trips, spent: road.spent };
                    (Ok(travelled), arrived.reference)
                }
                Ok(Err(error)) => (Err(error), None),
                Err(panic) => (Err(RunnerError::panicked(&*panic)), None),
            };
            // Sent before the reference is published, so that the baseline is delivered before any cell
            // that was compared with it. Nothing receives it if the run has ended with an error.
            let _ = arrived.send(delivery);
            if reference.is_some() {
                group.publish(reference);
            }
        }
    }

    /// Delivers what arrives from the lanes until they have ended.
    fn receive<R>(
        &self,
        windows: &[Window],
        queue: &Queue<'_, S, R>,
        receiver: Receiver<Delivery>,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), RunnerError> {
        let mut outcome = Ok(());
        let mut base: Vec<SequenceScores> = Vec::new();
        for delivery in receiver {
            let delivered = delivery.and_then(|travelled| {
                if travelled.leads {
                    base = baseline_scores(&travelled.trips);
                }
                let write = || hand_over(windows, &base, travelled, deliver);
                self.stages.trace.span(0, || "journal".to_owned(), write).0
            });
            // Batches in progress are delivered even after an error, so that no measurement is lost.
            if outcome.is_ok() && delivered.is_err() {
                outcome = delivered;
                queue.clear();
            }
        }
        outcome
    }
}

/// The batches that have not begun. The first one leads: the others are compared with it.
struct Queue<'w, S: ?Sized, R> {
    batches: Mutex<VecDeque<(bool, BoxedBatch<'w, S, R>)>>,
}

impl<'w, S: ?Sized, R> Queue<'w, S, R> {
    fn new(batches: VecDeque<BoxedBatch<'w, S, R>>) -> Self {
        let batches = batches.into_iter().enumerate().map(|(place, batch)| (place == 0, batch));
        Self { batches: Mutex::new(batches.collect()) }
    }

    fn next(&self) -> Option<(bool, BoxedBatch<'w, S, R>)> {
        held(&self.batches).pop_front()
    }

    /// Discards the batches that have not begun.
    fn clear(&self) {
        held(&self.batches).clear();
    }
}

fn baseline_scores(trips: &[Trip]) -> Vec<SequenceScores> {
    let windows = trips.iter().flat_map(|trip| trip.windows.iter().flatten());
    windows.map(|measured| measured.scores.clone()).collect()
}

/// Delivers the windows of every cell of a batch.
fn hand_over(
    windows: &[Window],
    base: &[SequenceScores],
    travelled: Travelled,
    deliver: &mut Deliver<'_>,
) -> Result<(), RunnerError> {
    let Travelled { trips, spent, .. } = travelled;
    // Cells that share a pass share its time evenly.
    let parts = (trips.len() * windows.len()).max(1) as f64;
    let stage_s: Vec<f64> = spent.stage_s.iter().map(|seconds| seconds / parts).collect();
    let time = WindowTime { wall_s: spent.wall_s / parts, model_s: stage_s.iter().sum(), stage_s };
    for trip in trips {
        let entries = trip.windows.map(|measured| {
            let of_windows = windows.iter().zip(base).zip(measured);
            of_windows.map(|((window, base), own)| entry(window, base, own, &time)).collect()
        });
        deliver(trip.cell, entries)?;
    }
    Ok(())
}

/// What the journal keeps of a window. The baseline has no divergence from itself and always agrees.
fn entry(
    window: &Window,
    base: &SequenceScores,
    measured: Measured,
    time: &WindowTime,
) -> WindowEntry {
    let Measured { scores, links, kept } = measured;
    let scored = scores.nll.len();
    let kld = if scores.kld.is_empty() { vec![0.0; scored] } else { scores.kld };
    let same_top = if scores.same_top.is_empty() { vec![true; scored] } else { scores.same_top };
    WindowEntry {
        index: window.index,
        nll: scores.nll,
        base_nll: base.nll.clone(),
        base_top: base.top_probability.clone(),
        kld,
        same_top,
        links,
        time: time.clone(),
        kept,
    }
}
