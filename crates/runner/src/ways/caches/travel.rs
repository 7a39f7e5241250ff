//! A window through the model in runs of tokens, for several cells at once.
//!
//! The first run is the same for all cells: it is computed once, and every cell compresses what it
//! cached. From the second run on the cells are the sequences of a batch.

use std::error::Error;

use rayon::prelude::*;
use strait_model::{
    CacheContents, CacheVisitor, CachedLayer, CachedRun, Hidden, ModelError, RunInput, Stage,
    StageCaches,
};

use super::cell::{CachePlan, OpenCache};
use super::compress::{At, Model};
use super::side::{SideInformation, Wanted};
use crate::error::RunnerError;
use crate::ways::Road;

/// One cell on its way: what it does, and why it stopped if it did.
pub(crate) struct Traveller<'a> {
    pub(crate) plan: &'a CachePlan,
    pub(crate) cache: &'a mut OpenCache,
    pub(crate) failed: Option<String>,
}

impl<'a> Traveller<'a> {
    pub(crate) fn new(plan: &'a CachePlan, cache: &'a mut OpenCache) -> Traveller<'a> {
        Traveller { plan, cache, failed: None }
    }

    /// Compresses a layer's cache. `None` once the cell has failed: its cache then stays as it is, so that
    /// the batch can continue for the others.
    fn compress(
        &mut self,
        model: &Model<'_>,
        at: At<'_>,
        contents: CacheContents,
        side: &SideInformation,
    ) -> Option<CacheContents> {
        if self.failed.is_some() {
            return None;
        }
        match self.cache.compress(self.plan, model, at, contents, side) {
            Ok(contents) => Some(contents),
            Err(reason) => {
                self.failed = Some(format!("layer {}, {} tokens: {reason}", at.layer, at.seen));
                None
            }
        }
    }
}

/// A run of tokens of a window.
#[derive(Clone, Copy)]
struct Run<'a> {
    tokens: &'a [u32],
    /// Position of its first token.
    start: usize,
    /// Number of runs after this one. After the last run nothing reads the cache, so it is not compressed.
    later: usize,
}

/// Takes a window's tokens through all stages for every cell; gives the states after all layers,
/// `[cells, tokens, hidden]`. The cells agree on their runs and on when keys are RoPE-rotated.
pub(super) fn travel(
    road: &mut Road<'_>,
    model: &Model<'_>,
    cells: &mut [Traveller<'_>],
    tokens: &[u32],
) -> Result<Hidden, RunnerError> {
    let (count, hidden_size) = (cells.len(), model.config.shape.hidden);
    let mut states = Hidden::zeros(count, tokens.len(), hidden_size, model.dtype);
    let Some(first) = cells.first() else { return Ok(states) };
    let (rotated, lengths) = (!first.plan.before_rope, first.plan.runs(tokens.len()));
    for cell in cells.iter_mut() {
        cell.failed = cell.cache.begin(model.config.layers).err();
    }
    let mut caches: Vec<StageCaches> = Vec::new();
    let mut start = 0;
    for (index, &length) in lengths.iter().enumerate() {
        let later = lengths.len() - index - 1;
        let run = Run { tokens: &tokens[start..start + length], start, later };
        let given = if index == 0 {
            first_run(road, model, cells, run, rotated, &mut caches)?
        } else {
            later_run(road, model, cells, run, &mut caches)?
        };
        start += length;
        if later > 0 {
            cells.iter_mut().for_each(|cell| cell.cache.measure(model, start));
        }
        put(&given, &mut states, run.start);
    }
    cells.iter_mut().for_each(|cell| cell.cache.forget());
    Ok(states)
}

/// The first run, with one sequence for all cells. Adds to `caches`, for every stage, what each cell keeps.
fn first_run(
    road: &mut Road<'_>,
    model: &Model<'_>,
    cells: &mut [Traveller<'_>],
    run: Run<'_>,
    rotated: bool,
    caches: &mut Vec<StageCaches>,
) -> Result<Hidden, RunnerError> {
    let mut hidden: Option<Hidden> = None;
    for index in 0..road.stages_of(0) {
        let input = match &hidden {
            Some(hidden) => RunInput::Hidden(hidden),
            None => RunInput::Tokens { tokens: run.tokens, batch: 1 },
        };
        let count = cells.len();
        let cells = &mut *cells;
        let (given, own) = road.stage(0, index, "cache", |stage| {
            let mut shared = stage.open_caches(1, rotated);
            let mut visitor = Shared { model, cells, kept: Vec::new(), later: run.later };
            let cached =
                CachedRun { caches: &mut shared, first_position: 0, visitor: Some(&mut visitor) };
            let given = stage.run(input, Some(cached))?;
            let kept = visitor.kept;
            Ok::<_, ModelError>((given, apart(stage, count, rotated, kept)?))
        })?;
        caches.push(own);
        hidden = Some(given);
    }
    hidden.ok_or_else(no_stages)
}

/// Caches of a stage with a sequence for every cell, filled with what each keeps of every layer.
fn apart(
    stage: &mut dyn Stage,
    cells: usize,
    rotated: bool,
    kept: Vec<Vec<CacheContents>>,
) -> Result<StageCaches, ModelError> {
    let first_layer = stage.layers().start;
    let mut own = stage.open_caches(cells, rotated);
    for (layer, of_cells) in kept.into_iter().enumerate() {
        for (sequence, contents) in of_cells.into_iter().enumerate() {
            stage.fill_cache(&mut own, first_layer + layer, sequence, contents)?;
        }
    }
    Ok(own)
}

/// A run with a sequence for every cell, each on a cache of its own.
fn later_run(
    road: &mut Road<'_>,
    model: &Model<'_>,
    cells: &mut [Traveller<'_>],
    run: Run<'_>,
    caches: &mut [StageCaches],
) -> Result<Hidden, RunnerError> {
    let repeated = run.tokens.repeat(cells.len());
    let mut hidden: Option<Hidden> = None;
    for (index, caches) in caches.iter_mut().enumerate() {
        let input = match &hidden {
            Some(hidden) => RunInput::Hidden(hidden),
            None => RunInput::Tokens { tokens: &repeated, batch: cells.len() },
        };
        let cells = &mut *cells;
        let given = road.stage(0, index, "cache", |stage| {
            let mut visitor = Apart { model, cells, later: run.later };
            let cached =
                CachedRun { caches, first_position: run.start, visitor: Some(&mut visitor) };
            stage.run(input, Some(cached))
        })?;
        hidden = Some(given);
    }
    hidden.ok_or_else(no_stages)
}

/// Copies a run's states to their place in those of every cell; a single sequence belongs to all cells.
fn put(given: &Hidden, states: &mut Hidden, start: usize) {
    let row = given.channels * given.dtype.size();
    for cell in 0..states.batch {
        let given = given.sequence(if given.batch == 1 { 0 } else { cell });
        let own = &mut states.sequence_mut(cell)[start * row..];
        own[..given.len()].copy_from_slice(given);
    }
}

fn no_stages() -> RunnerError {
    RunnerError::internal("a model without stages")
}

/// The union of what cells request from a layer.
fn wanted(cells: &[Traveller<'_>], layer: usize) -> Wanted {
    let active = cells.iter().filter(|cell| cell.plan.active[layer]);
    active.fold(Wanted::default(), |wanted, cell| wanted.and(cell.cache.wanted))
}

/// Visits the layers of the first run: every cell compresses what one sequence has cached.
struct Shared<'a, 'c> {
    model: &'a Model<'a>,
    cells: &'a mut [Traveller<'c>],
    /// For every layer, what each cell keeps.
    kept: Vec<Vec<CacheContents>>,
    later: usize,
}

impl CacheVisitor for Shared<'_, '_> {
    fn probes(&self, layer: usize) -> bool {
        self.later > 0 && wanted(self.cells, layer).anything()
    }

    fn visit(&mut self, layer: &mut dyn CachedLayer) -> Result<(), Box<dyn Error + Send + Sync>> {
        if self.later == 0 {
            return Ok(());
        }
        let contents = layer.contents()?;
        let wanted = wanted(self.cells, layer.number());
        let side = if wanted.anything() { wanted.probe(layer)? } else { Default::default() };
        let shape = layer.shape().clone();
        let (seen, again) = (layer.positions().end, self.later > 1);
        let at = At { layer: layer.number(), shape: &shape, seen, again };
        let compress = |cell: &mut Traveller<'_>| {
            let kept = cell.compress(self.model, at, contents.clone(), &side);
            kept.unwrap_or_else(|| contents.clone())
        };
        self.kept.push(self.cells.par_iter_mut().map(compress).collect());
        Ok(())
    }
}

/// Visits the layers of a later run: every cell compresses what its own sequence has cached.
pub(crate) struct Apart<'a, 'c> {
    pub(crate) model: &'a Model<'a>,
    pub(crate) cells: &'a mut [Traveller<'c>],
    /// Number of runs after this one; the last run's cache is not compressed.
    pub(crate) later: usize,
}

impl CacheVisitor for Apart<'_, '_> {
    fn probes(&self, layer: usize) -> bool {
        self.later > 0 && wanted(self.cells, layer).anything()
    }

    fn visit(&mut self, layer: &mut dyn CachedLayer) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(cell) = self.cells.get_mut(layer.sequence()) else { return Ok(()) };
        if self.later == 0 || cell.failed.is_some() {
            return Ok(());
        }
        let wanted = cell.cache.wanted;
        let side = if wanted.anything() && cell.plan.active[layer.number()] {
            wanted.probe(layer)?
        } else {
            SideInformation::default()
        };
        let shape = layer.shape().clone();
        let (seen, again) = (layer.positions().end, self.later > 1);
        let at = At { layer: layer.number(), shape: &shape, seen, again };
        if let Some(contents) = cell.compress(self.model, at, layer.contents()?, &side) {
            layer.replace(contents)?;
        }
        Ok(())
    }
}
