//! The way of cells that compress the KV cache: a window goes through the model in runs of tokens, and
//! between two runs presses and codecs work on what is cached. What follows attends to what they left.

mod cell;
mod code;
mod compress;
mod ledger;
mod press;
mod reposition;
mod side;
mod travel;

use strait_model::{Reference, Stage};

pub(crate) use self::cell::{Budget, CachePlan, LayerCodecs, OpenCache, PlannedPress};
pub(crate) use self::compress::Model;
pub(crate) use self::travel::{Apart, Traveller};
use super::{Road, score};
use crate::engine::{Arrived, Batch, BoxedBatch, Chosen, Measured, Way};
use crate::error::RunnerError;

/// Cells whose caches are in memory at the same time; they share the first run of a window.
const CACHE_BATCH: usize = 8;

/// Why the output of a model on a compressed cache may have no likelihood.
const BLAME: &str = "on this compressed cache, so there is no likelihood to score: keys or values are outside of what the model can compute with";

/// All cells that compress the cache.
pub(crate) struct Caches<'a> {
    pub(crate) model: Model<'a>,
    pub(crate) cells: Vec<CacheCell<'a>>,
}

/// A cell that compresses the cache.
pub(crate) struct CacheCell<'a> {
    /// Position in the experiment.
    index: usize,
    plan: &'a CachePlan,
    cache: OpenCache,
}

impl<'a> CacheCell<'a> {
    /// Opens its presses and codecs.
    ///
    /// # Errors
    /// What they say.
    pub(crate) fn open(index: usize, plan: &'a CachePlan) -> Result<Self, String> {
        Ok(Self { index, plan, cache: OpenCache::open(plan)? })
    }
}

/// Cells that agree on their runs of tokens and on when keys are RoPE-rotated.
struct CacheBatch<'w, 'a> {
    model: &'w Model<'a>,
    cells: Vec<&'w mut CacheCell<'a>>,
}

impl Way<dyn Stage, Reference> for Caches<'_> {
    fn batches<'w>(
        &'w mut self,
        chosen: &Chosen<'_>,
        road: &mut Road<'_>,
    ) -> Result<Vec<BoxedBatch<'w, dyn Stage, Reference>>, RunnerError> {
        let model = &self.model;
        let tokens = road.group.length();
        let key = |cell: &CacheCell<'_>| (cell.plan.before_rope, cell.plan.runs(tokens));
        let mut batches: Vec<CacheBatch<'w, '_>> = Vec::new();
        for cell in self.cells.iter_mut().filter(|cell| chosen(cell.index)) {
            let room = |batch: &&mut CacheBatch<'_, '_>| {
                batch.cells.len() < CACHE_BATCH && key(batch.cells[0]) == key(cell)
            };
            match batches.iter_mut().find(room) {
                Some(batch) => batch.cells.push(cell),
                None => batches.push(CacheBatch { model, cells: vec![cell] }),
            }
        }
        Ok(batches.into_iter().map(|batch| Box::new(batch) as BoxedBatch<'w, _, _>).collect())
    }
}

impl Batch<dyn Stage, Reference> for CacheBatch<'_, '_> {
    /// One window after the other: a cache belongs to one sequence.
    fn travel(&mut self, road: &mut Road<'_>) -> Result<Arrived<Reference>, RunnerError> {
        let (group, cells) = (road.group, self.cells.len());
        let mut measured: Vec<Vec<Measured>> = (0..cells).map(|_| Vec::new()).collect();
        let mut failed: Vec<Option<String>> = vec![None; cells];
        for (window, tokens) in group.tokens.chunks_exact(group.length().max(1)).enumerate() {
            let mut travellers: Vec<Traveller<'_>> = Vec::with_capacity(cells);
            for cell in &mut self.cells {
                travellers.push(Traveller::new(cell.plan, &mut cell.cache));
            }
            let states = travel::travel(road, self.model, &mut travellers, tokens)?;
            for (failed, traveller) in failed.iter_mut().zip(travellers) {
                let index = group.first_window + window;
                let reason = traveller.failed.map(|reason| format!("window {index}, {reason}"));
                *failed = failed.take().or(reason);
            }
            let scores = score::of_window(road, window, &states)?;
            for ((cell, measured), scores) in self.cells.iter_mut().zip(&mut measured).zip(scores) {
                let (links, kept) = (cell.cache.counts(), std::mem::take(&mut cell.cache.kept));
                measured.push(Measured { scores, links, kept });
            }
        }
        let mut trips = Vec::with_capacity(cells);
        for ((cell, measured), failed) in self.cells.iter().zip(measured).zip(failed) {
            trips.push(score::trip(cell.index, failed, group.first_window, measured, BLAME));
        }
        Ok(Arrived { trips, reference: None })
    }
}
