//! The way of cells that compress what crosses links. The stages before their first codecs run once for
//! all of them; from there every cell continues with its own states, several of them stacked into one
//! pass. The baseline goes this way too, without a codec on any link.

mod cell;
mod link;
mod prefix;

use std::borrow::Cow;
use std::sync::Arc;

use strait_model::{Hidden, ModelError, Reference, RunInput, SequenceScores, Stage};
use strait_schema::Link;

pub(crate) use self::cell::LinkCell;
use self::cell::{Crossing, Departure, PerLink, cross_all, pass_all};
use self::link::Sequence;
use self::prefix::Prefix;
use super::probe::{Probe, Probed, Probes};
use super::{Road, score};
use crate::engine::{Arrived, Batch, BoxedBatch, Chosen, Measured, Trip, Way};
use crate::error::RunnerError;

/// Explains why the output of a model after a codec may have no likelihood.
const BLAME: &str = "after this codec, so there is no likelihood to score: the decoded values are outside of what the model can compute with";

/// Settings that stay the same over all windows.
#[derive(Clone, Copy)]
pub(crate) struct LinkSetting<'a> {
    pub(crate) links: &'a [Link],
    /// Tokens per message; `None` sends whole sequences.
    pub(crate) chunk_tokens: Option<usize>,
    /// Number of cells that share a pass through a later stage.
    pub(crate) cell_batch: usize,
}

/// The baseline, and all cells with a codec on links.
pub(crate) struct Links<'a> {
    pub(crate) setting: LinkSetting<'a>,
    pub(crate) baseline: LinkCell,
    pub(crate) cells: Vec<LinkCell>,
}

/// Cells that start from the same hidden states and share every pass from there.
struct LinkBatch<'w, 'a> {
    setting: LinkSetting<'a>,
    prefix: Arc<Prefix>,
    cells: Vec<&'w mut LinkCell>,
    /// The link at whose hidden states they start.
    from: usize,
    /// Whether this is the baseline, which the others are compared with.
    baseline: bool,
    /// Whether its cell probes layers after its first codec: their attention is that of its own states,
    /// so nothing else may be stacked with it.
    alone: bool,
}

impl Way<dyn Stage, Reference> for Links<'_> {
    fn batches<'w>(
        &'w mut self,
        chosen: &Chosen<'_>,
        road: &mut Road<'_>,
    ) -> Result<Vec<BoxedBatch<'w, dyn Stage, Reference>>, RunnerError> {
        let Self { setting, baseline, cells } = self;
        let cells: Vec<&mut LinkCell> =
            cells.iter_mut().filter(|cell| chosen(cell.index)).collect();
        let prefix = Arc::new(setting.prefix(&cells, road)?);
        let leading = LinkBatch {
            setting: *setting,
            from: prefix.deepest(),
            prefix: Arc::clone(&prefix),
            cells: vec![baseline],
            baseline: true,
            alone: true,
        };
        let mut batches = vec![leading];
        for cell in cells {
            let (alone, from) = (setting.probes_behind(cell), cell.first);
            let room = |batch: &&mut LinkBatch<'_, '_>| {
                !batch.alone
                    && !alone
                    && batch.from == from
                    && batch.cells.len() < setting.cell_batch.max(1)
            };
            match batches.iter_mut().find(room) {
                Some(batch) => batch.cells.push(cell),
                None => batches.push(LinkBatch {
                    setting: *setting,
                    prefix: Arc::clone(&prefix),
                    cells: vec![cell],
                    from,
                    baseline: false,
                    alone,
                }),
            }
        }
        Ok(batches.into_iter().map(|batch| Box::new(batch) as BoxedBatch<'w, _, _>).collect())
    }
}

impl LinkSetting<'_> {
    /// Whether a cell probes layers after its first codec.
    fn probes_behind(&self, cell: &LinkCell) -> bool {
        let Some(side) = &cell.side else { return false };
        let behind = self.links[cell.first].after + 1;
        !side.wants(&(behind..usize::MAX), 0..self.links.len()).is_empty()
    }
}

impl Batch<dyn Stage, Reference> for LinkBatch<'_, '_> {
    fn travel(&mut self, road: &mut Road<'_>) -> Result<Arrived<Reference>, RunnerError> {
        let prefix = Arc::clone(&self.prefix);
        let (hidden, counts) = self.later_stages(&prefix, road)?;
        if self.baseline {
            // The time of the stages that all cells share is attributed to the baseline.
            road.spent.add(&prefix.spent);
            let (scores, reference) = score::baseline(road, &hidden)?;
            let trips = self.trips(road.group.first_window, scores, counts);
            return Ok(Arrived { trips, reference: Some(reference) });
        }
        let scores = score::stacked(road, 0, &hidden, self.cells.len(), None)?;
        let trips = self.trips(road.group.first_window, scores, counts);
        Ok(Arrived { trips, reference: None })
    }
}

impl LinkBatch<'_, '_> {
    /// Goes from the shared hidden states over every link to the last stage. Returns hidden states
    /// `[cells × windows, tokens, channels]`, and the cost of each link for every cell and window.
    fn later_stages<'p>(
        &mut self,
        prefix: &'p Prefix,
        road: &mut Road<'_>,
    ) -> Result<(Cow<'p, Hidden>, Vec<Vec<PerLink>>), RunnerError> {
        let LinkSetting { links, chunk_tokens, .. } = self.setting;
        let (windows, first_window) = (road.group.windows, road.group.first_window);
        let cells = self.cells.len();
        let mut counts = vec![prefix.counts_before(self.from, windows); cells];
        let mut own: Vec<Probes> = (0..cells * windows).map(|_| Probes::default()).collect();
        let mut states = Cow::Borrowed(prefix.states_at(self.from)?);
        let sequence = Sequence::of(&states, chunk_tokens);
        let part = windows * sequence.bytes();
        for link in self.from..links.len() {
            let crossing = Crossing { link, first_window, sequence };
            // Shared states belong to every cell; later on each cell has its own part.
            let start = |cell: usize, all: &Cow<'_, Hidden>| match all {
                Cow::Borrowed(_) => 0,
                Cow::Owned(_) => cell * part,
            };
            let name = || format!("codecs of link {link}, window {first_window}");
            if self.cells.iter().any(|cell| cell.links[link].compresses()) {
                let Hidden { tokens, channels, dtype, .. } = *states;
                let mut received = Hidden::zeros(cells * windows, tokens, channels, dtype);
                let from = |cell: usize| Departure {
                    states: &states.data[start(cell, &states)..][..part],
                    probed: Probed {
                        shared: &prefix.probes,
                        own: &own[cell * windows..][..windows],
                    },
                };
                let (pool, output) = (road.pool(), &mut received.data);
                road.span(name, || {
                    cross_all(pool, &mut self.cells, crossing, from, output, &mut counts);
                });
                states = Cow::Owned(received);
            } else {
                let of = |cell: usize| &states.data[start(cell, &states)..][..part];
                let pool = road.pool();
                road.span(name, || pass_all(pool, &mut self.cells, crossing, of, &mut counts));
            }
            if link + 1 < links.len() {
                let layers = self.setting.layers(link + 1);
                let wanted = self.cells.iter().flat_map(|cell| {
                    let side = cell.side.as_ref();
                    let of_cell = side.map(|side| side.wants(&layers, 0..links.len()));
                    vec![of_cell.unwrap_or_default(); windows]
                });
                let mut probe = Probe::new(wanted.collect(), chunk_tokens);
                let sent = stacked(states, cells)?;
                let received = road.stage(0, link + 1, "forward", |stage| {
                    let states = probe.run(stage, RunInput::Hidden(&sent))?;
                    probe.add_to(&mut own);
                    Ok::<_, ModelError>(states)
                })?;
                states = Cow::Owned(received);
            }
        }
        Ok((stacked(states, cells)?, counts))
    }

    /// The trips of all cells, in the order of the cells.
    fn trips(
        &self,
        first_window: usize,
        scores: Vec<SequenceScores>,
        counts: Vec<Vec<PerLink>>,
    ) -> Vec<Trip> {
        let mut scores = scores.into_iter();
        let mut trips = Vec::with_capacity(self.cells.len());
        for (cell, counts) in self.cells.iter().zip(counts) {
            let of_cell = scores.by_ref().take(counts.len()).zip(counts);
            let measured = of_cell
                .map(|(scores, links)| Measured { links, ..Measured::scored(scores) })
                .collect();
            let failed = cell.failed.clone();
            trips.push(score::trip(cell.index, failed, first_window, measured, BLAME));
        }
        trips
    }
}

/// One part for each cell: states that are still shared are repeated, unless there is only one cell.
fn stacked(states: Cow<'_, Hidden>, cells: usize) -> Result<Cow<'_, Hidden>, ModelError> {
    match states {
        Cow::Borrowed(shared) if cells > 1 => {
            Ok(Cow::Owned(Hidden::stack(&vec![shared; cells]).map_err(ModelError::from)?))
        }
        states => Ok(states),
    }
}
