//! The scheduler: windows outside, cells inside.
//!
//! A group of windows goes through the model once for every kind of cell. A [`Way`] says which of its
//! cells go together, and each [`Batch`] takes its cells through the stages. Batches travel in
//! lanes: a device serves one batch at a time, and meanwhile the codecs of another batch run, or
//! another device. What batches leave is delivered by the thread that started the lanes, so that
//! journals have one writer.
//!
//! Nothing here knows what a stage is or what is done between two of them: `S` is whatever serves as a
//! stage, `R` what the baseline leaves for others to be compared with.

mod group;
mod road;
mod schedule;
#[cfg(test)]
mod tests;
mod trace;

use strait_model::SequenceScores;
use strait_schema::LinkCounts;

pub(crate) use self::road::{Road, Spent, Stages};
pub(crate) use self::schedule::Schedule;
pub(crate) use self::trace::Trace;
use crate::error::RunnerError;

/// A way through the model: all cells that take it, over the whole run.
pub(crate) trait Way<S: ?Sized, R>: Send {
    /// Puts the cells that still have windows to run into batches. What the batches of a group share
    /// is computed here, once. The first batch of the first way is the baseline's.
    fn batches<'w>(
        &'w mut self,
        chosen: &Chosen<'_>,
        road: &mut Road<'_, S, R>,
    ) -> Result<Vec<BoxedBatch<'w, S, R>>, RunnerError>;
}

/// Says which cells, by their positions in the experiment, have windows of the group to run.
pub(crate) type Chosen<'a> = dyn Fn(usize) -> bool + 'a;

pub(crate) type BoxedBatch<'w, S, R> = Box<dyn Batch<S, R> + 'w>;

/// Cells that go through the stages together, for one group of windows.
pub(crate) trait Batch<S: ?Sized, R>: Send {
    /// Takes the windows of the road's group through all stages for every cell.
    ///
    /// # Errors
    /// What ends the whole run. A cell that cannot go on is no error: its trip says why.
    fn travel(&mut self, road: &mut Road<'_, S, R>) -> Result<Arrived<R>, RunnerError>;
}

/// A batch that has been through all stages.
pub(crate) struct Arrived<R> {
    /// One for each cell.
    pub(crate) trips: Vec<Trip>,
    /// What the others are compared with: the baseline's batch gives it, and no other.
    pub(crate) reference: Option<R>,
}

/// What one cell leaves of a group of windows.
pub(crate) struct Trip {
    /// Its position in the experiment.
    pub(crate) cell: usize,
    /// Every window of the group in order, or why the cell cannot go on.
    pub(crate) windows: Result<Vec<Measured>, String>,
}

/// What one cell leaves of one window.
pub(crate) struct Measured {
    pub(crate) scores: SequenceScores,
    /// What each link cost, or keys and values.
    pub(crate) links: Vec<LinkCounts>,
}
