//! The scheduler: windows in the outer loop, cells in the inner one.
//!
//! A group of windows goes through the model once for every kind of cell. A [`Way`] decides which of
//! its cells go together, and each [`Batch`] takes its cells through the stages. Batches travel in
//! lanes: a device serves one batch at a time, while the codecs of another batch, or another device,
//! are at work. The results of batches are delivered by the thread that started the lanes, so that
//! journals have one writer.
//!
//! Nothing here knows what a stage is or what happens between two of them: `S` is whatever serves as a
//! stage, `R` is what the baseline leaves for other cells to be compared with.

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
use crate::book::journal::Kept;
use crate::error::RunnerError;

/// A way through the model, with all cells that take it, over the whole run.
pub(crate) trait Way<S: ?Sized, R>: Send {
    /// Groups the cells that still have windows to run into batches. What the batches of a group share
    /// is computed here, once. The first batch of the first way is the baseline's.
    fn batches<'w>(
        &'w mut self,
        chosen: &Chosen<'_>,
        road: &mut Road<'_, S, R>,
    ) -> Result<Vec<BoxedBatch<'w, S, R>>, RunnerError>;
}

/// Decides which cells, given by their index in the experiment, have windows of the group to run.
pub(crate) type Chosen<'a> = dyn Fn(usize) -> bool + 'a;

pub(crate) type BoxedBatch<'w, S, R> = Box<dyn Batch<S, R> + 'w>;

/// Cells that go through the stages together, for one group of windows.
pub(crate) trait Batch<S: ?Sized, R>: Send {
    /// Takes the windows of the road's group through all stages for every cell.
    ///
    /// # Errors
    /// An error ends the whole run. A cell that cannot continue is no error: its trip says why.
    fn travel(&mut self, road: &mut Road<'_, S, R>) -> Result<Arrived<R>, RunnerError>;
}

/// A batch that has been through all stages.
pub(crate) struct Arrived<R> {
    /// One trip for each cell.
    pub(crate) trips: Vec<Trip>,
    /// What other cells are compared with; only the baseline's batch provides it.
    pub(crate) reference: Option<R>,
}

/// What one cell leaves of a group of windows.
pub(crate) struct Trip {
    /// Index of the cell in the experiment.
    pub(crate) cell: usize,
    /// Every window of the group in order, or why the cell cannot continue.
    pub(crate) windows: Result<Vec<Measured>, String>,
}

/// What one cell leaves of one window.
pub(crate) struct Measured {
    pub(crate) scores: SequenceScores,
    /// The cost of each link, or of keys and values.
    pub(crate) links: Vec<LinkCounts>,
    /// What presses kept, where the experiment asks.
    pub(crate) kept: Vec<Kept>,
}

impl Measured {
    /// The scores of a window in which nothing was compressed.
    pub(crate) fn scored(scores: SequenceScores) -> Self {
        Self { scores, links: Vec::new(), kept: Vec::new() }
    }
}
