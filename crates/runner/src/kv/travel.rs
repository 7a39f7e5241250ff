//! Windows through the model in runs of tokens, for several cells at once.
//!
//! The first run is the same for all cells: it is computed once, and every cell compresses what it
//! cached. From the second run on the cells are the sequences of a batch.

use std::error::Error;

use rayon::prelude::*;
use strait_model::{
    CacheContents, CacheVisitor, CachedLayer, Hidden, RunInput, Stage, StageCaches,
};

use super::compress::{At, Model};
use super::side::Wanted;
use super::{CachePlan, OpenCache};
use crate::error::RunnerError;
use crate::pass::{Pass, Spent};
use crate::trace::Lane;

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

    /// Compresses what one layer keeps; a cell that fails keeps everything from then on.
    fn compress(
        &mut self,
        model: &Model<'_>,
        at: At<'_>,
        contents: CacheContents,
        side: &super::side::SideInformation,
    ) -> CacheContents {
        if self.failed.is_some() {
            return contents;
        }
        let before = contents.clone();
        match self.cache.compress(self.plan, model, at, contents, side) {
            Ok(contents) => contents,
            Err(reason) => {
                self.failed = Some(format!("layer {}, {} tokens: {reason}", at.layer, at.seen));
                before
            }
        }
    }
}

/// The stages, as one lane uses them.
pub(crate) struct LaneStages<'a, 'p> {
    pub(crate) pass: &'a Pass<'p>,
    pub(crate) lane: Lane,
    pub(crate) spent: &'a mut Spent,
}

/// Takes a window's tokens through all stages for every cell; gives the states after all layers,
/// `[cells, tokens, hidden]`. The cells agree on their runs and on when keys are turned.
pub(crate) fn travel(
    stages: &mut LaneStages<'_, '_>,
    model: &Model<'_>,
    cells: &mut [Traveller<'_>],
    tokens: &[u32],
) -> Result<Hidden, RunnerError> {
    let Some(first) = cells.first() else {
        return Ok(Hidden::zeros(0, tokens.len(), model.config.shape.hidden, model.dtype));
    };
    let (turned, runs) = (!first.plan.before_rope, first.plan.runs(tokens.len()));
    let layers = model.config.layers;
    for cell in cells.iter_mut().filter(|cell| cell.failed.is_none()) {
        cell.failed = cell.cache.begin(layers).err();
    }
    let count = cells.len();
    let hidden_size = model.config.shape.hidden;
    let mut states = Hidden::zeros(count, tokens.len(), hidden_size, model.dtype);
    let row = hidden_size * model.dtype.size();
    let mut caches: Vec<StageCaches> = Vec::new();
    let mut start = 0;
    for (index, &length) in runs.iter().enumerate() {
        let (part, later) = (&tokens[start..start + length], runs.len() - index - 1);
        let mut hidden: Option<Hidden> = None;
        for stage in 0..stages.pass.stages.len() {
            let batch = if index == 0 { 1 } else { count };
            let repeated;
            let input = match &hidden {
                Some(hidden) => RunInput::Hidden(hidden),
                None => {
                    repeated = part.repeat(batch);
                    RunInput::Tokens(&repeated)
                }
            };
            let cells = &mut *cells;
            let caches = &mut caches;
            let run = |stage_ref: &mut dyn Stage| {
                if index == 0 {
                    let mut shared = stage_ref.open_caches(1, turned);
                    let first_layer = stage_ref.layers().start;
                    let mut visitor = Shared { model, cells, kept: Vec::new(), later };
                    let given = stage_ref.run(input, &mut shared, 0, Some(&mut visitor))?;
                    let kept = visitor.kept;
                    if later > 0 {
                        let mut own = stage_ref.open_caches(count, turned);
                        for (layer, of_cells) in kept.into_iter().enumerate() {
                            for (sequence, contents) in of_cells.into_iter().enumerate() {
                                let layer = first_layer + layer;
                                stage_ref.fill_cache(&mut own, layer, sequence, contents)?;
                            }
                        }
                        caches.push(own);
                    }
                    return Ok(given);
                }
                let mut visitor = Apart { model, cells, later };
                stage_ref.run(input, &mut caches[stage], start, Some(&mut visitor))
            };
            let LaneStages { pass, lane, spent } = &mut *stages;
            hidden = Some(pass.stage(*lane, &pass.stages, stage, "cache", spent, run)?);
        }
        if later > 0 {
            let tokens = start + length;
            cells.iter_mut().for_each(|cell| cell.cache.measure(model, tokens));
        }
        if let Some(hidden) = hidden {
            for cell in 0..count {
                let given = hidden.sequence(if index == 0 { 0 } else { cell });
                let own = &mut states.sequence_mut(cell)[start * row..];
                own[..given.len()].copy_from_slice(given);
            }
        }
        start += length;
    }
    cells.iter_mut().for_each(|cell| cell.cache.forget());
    Ok(states)
}

/// The first run: one sequence for all cells.
struct Shared<'a, 'c> {
    model: &'a Model<'a>,
    cells: &'a mut [Traveller<'c>],
    /// For every layer, what each cell keeps.
    kept: Vec<Vec<CacheContents>>,
    /// Runs after this one; what nothing comes after is not compressed.
    later: usize,
}

/// What cells want to know of a layer, together.
fn wanted(cells: &[Traveller<'_>], layer: usize) -> Wanted {
    let active = cells.iter().filter(|cell| cell.plan.active[layer]);
    active.fold(Wanted::default(), |wanted, cell| wanted.and(cell.cache.wanted))
}

impl CacheVisitor for Shared<'_, '_> {
    fn looks(&self, layer: usize) -> bool {
        self.later > 0 && wanted(self.cells, layer).anything()
    }

    fn visit(&mut self, layer: &mut dyn CachedLayer) -> Result<(), Box<dyn Error + Send + Sync>> {
        if self.later == 0 {
            return Ok(());
        }
        let contents = layer.contents()?;
        let wanted = wanted(self.cells, layer.number());
        let side = if wanted.anything() { wanted.look(layer)? } else { Default::default() };
        let shape = layer.shape().clone();
        let (seen, again) = (layer.positions().end, self.later > 1);
        let at = At { layer: layer.number(), shape: &shape, seen, again };
        let compress =
            |cell: &mut Traveller<'_>| cell.compress(self.model, at, contents.clone(), &side);
        self.kept.push(self.cells.par_iter_mut().map(compress).collect());
        Ok(())
    }
}

/// A run with a sequence for every cell.
pub(crate) struct Apart<'a, 'c> {
    pub(crate) model: &'a Model<'a>,
    pub(crate) cells: &'a mut [Traveller<'c>],
    /// Runs after this one; what nothing comes after is not compressed.
    pub(crate) later: usize,
}

impl CacheVisitor for Apart<'_, '_> {
    fn looks(&self, layer: usize) -> bool {
        self.later > 0 && wanted(self.cells, layer).anything()
    }

    fn visit(&mut self, layer: &mut dyn CachedLayer) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(cell) = self.cells.get_mut(layer.sequence()) else { return Ok(()) };
        if self.later == 0 || cell.failed.is_some() {
            return Ok(());
        }
        let wanted = cell.cache.wanted;
        let side = match wanted.anything() && cell.plan.active[layer.number()] {
            true => wanted.look(layer)?,
            false => Default::default(),
        };
        let shape = layer.shape().clone();
        let (seen, again) = (layer.positions().end, self.later > 1);
        let at = At { layer: layer.number(), shape: &shape, seen, again };
        let contents = cell.compress(self.model, at, layer.contents()?, &side);
        layer.replace(contents)?;
        Ok(())
    }
}
