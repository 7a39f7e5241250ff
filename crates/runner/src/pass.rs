//! Windows outside, cells inside: one group of windows through every stage for every cell.
//!
//! Batches of cells travel in lanes. A device serves one batch at a time; meanwhile the codecs of
//! another batch run, or another device. Journals are written by the thread that started the lanes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use rayon::ThreadPool;
use strait_data::Window;
use strait_model::{Hidden, ModelError, Reference, RunInput, ScoreRange, SequenceScores, Stage};
use strait_schema::Link;

use crate::cell::{Cell, PerLink, cross_all};
use crate::clock::Stopwatch;
use crate::error::RunnerError;
use crate::group::{Batch, Group, PublishOnDrop, held};
use crate::journal::{WindowEntry, WindowTime};
use crate::kv::{self, LaneStages, Traveller};
use crate::look::{Ask, Looker, Looks, Told};
use crate::rerun::disturbed;
use crate::trace::{Lane, Trace};

/// Cells whose caches are in memory at the same time; they share the first run of a window.
const CACHE_BATCH: usize = 8;

/// What stays the same over all windows.
pub(crate) struct Pass<'a> {
    pub(crate) stages: Vec<DeviceStage<'a>>,
    /// The stages of every model that is compared with the first.
    pub(crate) others: Vec<Vec<DeviceStage<'a>>>,
    /// Held by the batch that a device serves.
    pub(crate) devices: Vec<Mutex<()>>,
    pub(crate) links: &'a [Link],
    pub(crate) stream: &'a [u32],
    pub(crate) chunk_tokens: Option<usize>,
    /// Cells that share a pass through a later stage.
    pub(crate) cell_batch: usize,
    /// The model, for cells that compress its cache.
    pub(crate) model: kv::Model<'a>,
    /// The threads that compute.
    pub(crate) pool: &'a ThreadPool,
    pub(crate) trace: &'a Trace,
    /// Set from outside to end the run: looked at before every batch of cells.
    pub(crate) stop: &'a AtomicBool,
    /// Time since a stage last ended its work.
    pub(crate) lap: Mutex<Stopwatch>,
}

/// Seconds that a batch took.
pub(crate) struct Spent {
    /// Of the run: from the end of the work before, whoever's it was, to the end of each of its own.
    pub(crate) wall_s: f64,
    /// In each stage.
    pub(crate) stage_s: Vec<f64>,
}

/// A stage, and which of the devices it runs on.
pub(crate) struct DeviceStage<'a> {
    pub(crate) device: usize,
    pub(crate) stage: Mutex<&'a mut Box<dyn Stage>>,
}

/// What each link cost in every window of a group, for one cell.
type PerWindow = Vec<PerLink>;

/// A batch that has been through all stages.
struct Arrived<'c> {
    batch: Batch<'c>,
    /// For every cell of the batch.
    counts: Vec<PerWindow>,
    /// For every cell and window.
    scores: Vec<SequenceScores>,
    spent: Spent,
}

/// Called when a cell has been through a group: its windows, or nothing if it failed.
pub(crate) type Deliver<'a> =
    dyn FnMut(&mut Cell, Vec<WindowEntry>) -> Result<(), RunnerError> + 'a;

impl Pass<'_> {
    /// Runs a group of equally long windows through the baseline and through `cells`.
    ///
    /// The stages before the first link run once; every cell goes on from there. The baseline's
    /// log-probabilities stay in memory until the last cell has been compared with them.
    pub(crate) fn run<'c>(
        &self,
        windows: &[Window],
        baseline: &'c mut Cell,
        cells: Vec<&'c mut Cell>,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), RunnerError> {
        let tokens: Vec<u32> = windows.iter().flat_map(|w| w.tokens(self.stream)).collect();
        let ranges: Vec<ScoreRange> = windows.iter().map(|w| score_range(w, self.stream)).collect();
        let mut first = Spent { wall_s: 0.0, stage_s: vec![0.0; self.stages.len()] };
        let (caches, cells): (Vec<_>, Vec<_>) =
            cells.into_iter().partition(|cell| cell.cache.is_some());
        let (cells, reruns): (Vec<_>, Vec<_>) =
            cells.into_iter().partition(|cell| cell.rerun.is_none());
        let prefix = self.prefix(&tokens, windows.len(), &cells, &mut first)?;

        let deepest = prefix.states.len() - 1;
        let cells_of = |cells, rerun| Batch { cells, baseline: false, from: deepest, rerun };
        let baseline = Batch { baseline: true, ..cells_of(vec![baseline], None) };
        let mut batches = VecDeque::from([baseline]);
        batches.extend(self.link_batches(cells));
        for cell in reruns {
            let rerun = cell.rerun;
            batches.push_back(cells_of(vec![cell], rerun));
        }
        batches.extend(cache_batches(caches, windows[0].length()));
        let lanes = self.lanes().min(batches.len());
        let group = &Group::new(windows, tokens, ranges, prefix, batches);
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            for lane in 1..=lanes {
                let sender = sender.clone();
                scope.spawn(move || self.lane(lane, group, &sender));
            }
            drop(sender);
            let mut outcome = Ok(());
            let mut base: Vec<SequenceScores> = Vec::new();
            for arrived in receiver {
                let delivered = arrived.and_then(|mut arrived: Arrived<'_>| {
                    if arrived.batch.baseline {
                        base.clone_from(&arrived.scores);
                        arrived.spent.wall_s += first.wall_s;
                        let stages = arrived.spent.stage_s.iter_mut().zip(&first.stage_s);
                        stages.for_each(|(spent, first)| *spent += first);
                    }
                    let write = || entries(windows, &base, arrived, deliver);
                    self.trace.span(0, || "journal".to_owned(), write).0
                });
                if outcome.is_ok() && delivered.is_err() {
                    outcome = delivered;
                    group.clear();
                }
            }
            outcome
        })
    }

    /// Batches that are on their way at the same time: one for every device, and one whose codecs run
    /// meanwhile.
    pub(crate) fn lanes(&self) -> usize {
        self.devices.len() + 1
    }

    /// Takes batches until there are none.
    fn lane<'c>(
        &self,
        lane: Lane,
        group: &Group<'c>,
        arrived: &mpsc::Sender<Result<Arrived<'c>, RunnerError>>,
    ) {
        while let Some(batch) = group.next() {
            if !batch.baseline && self.stop.load(Ordering::Relaxed) {
                return;
            }
            let _publish = batch.baseline.then(|| PublishOnDrop(group));
            let (result, reference) = match self.travel(lane, group, batch) {
                Ok((batch, reference)) => (Ok(batch), reference),
                Err(error) => (Err(error), None),
            };
            // The baseline is sent before others can be compared with it. Nobody listens when the
            // run has ended with an error.
            let _ = arrived.send(result);
            if reference.is_some() {
                group.publish(reference);
            }
        }
    }

    /// Takes a batch over every link and through every later stage. The baseline gives the
    /// reference.
    fn travel<'c>(
        &self,
        lane: Lane,
        group: &Group<'c>,
        mut batch: Batch<'c>,
    ) -> Result<(Arrived<'c>, Option<Reference>), RunnerError> {
        if batch.cells.iter().any(|cell| cell.cache.is_some()) {
            return Ok((self.travel_caches(lane, group, batch)?, None));
        }
        let Batch { cells, baseline, from, rerun } = &mut batch;
        let stages = self.stages_of(*rerun);
        let noise = rerun.and_then(|rerun| rerun.noise(group));
        let mut spent = Spent { wall_s: 0.0, stage_s: vec![0.0; stages.len()] };
        let (hidden, counts) = match *rerun {
            None => self.later_stages(lane, group, *from, cells, &mut spent)?,
            Some(rerun) => {
                let hidden = self.rerun(lane, group, rerun, &mut spent)?;
                (hidden, vec![vec![Vec::new(); group.windows]; cells.len()])
            }
        };
        let ranges: Vec<ScoreRange> = cells.iter().flat_map(|_| group.ranges.clone()).collect();
        let last = stages.len() - 1;
        if *baseline {
            let score = |stage: &mut dyn Stage| stage.reference(&hidden, &ranges);
            let (scores, reference) =
                self.stage(lane, stages, last, "baseline", &mut spent, score)?;
            return Ok((Arrived { batch, counts, scores, spent }, Some(reference)));
        }
        if !group.await_reference() {
            return Err(RunnerError::internal("the baseline ended without a reference"));
        }
        let sequence_of: Vec<usize> = cells.iter().flat_map(|_| 0..group.windows).collect();
        let score = |stage: &mut dyn Stage| {
            let compare = |reference: &_| stage.score(&hidden, &ranges, reference, &sequence_of);
            group.with_reference(compare).unwrap_or(Err(ModelError::ForeignReference))
        };
        let score = |stage: &mut dyn Stage| disturbed(stage, &noise, score);
        let scores = self.stage(lane, stages, last, "score", &mut spent, score)?;
        Ok((Arrived { batch, counts, scores, spent }, None))
    }

    /// Takes cells that compress the KV cache through all stages, one window after the other.
    fn travel_caches<'c>(
        &self,
        lane: Lane,
        group: &Group<'c>,
        mut batch: Batch<'c>,
    ) -> Result<Arrived<'c>, RunnerError> {
        let mut spent = Spent { wall_s: 0.0, stage_s: vec![0.0; self.stages.len()] };
        let count = batch.cells.len();
        let mut counts = vec![Vec::with_capacity(group.windows); count];
        let mut scores = vec![Vec::with_capacity(group.windows); count];
        let (last, length) = (self.stages.len() - 1, group.tokens.len() / group.windows.max(1));
        for (window, tokens) in group.tokens.chunks_exact(length.max(1)).enumerate() {
            let open = batch.cells.iter_mut().filter_map(|cell| cell.cache.as_mut());
            let mut travellers: Vec<_> =
                open.map(|(plan, cache)| Traveller::new(plan, cache)).collect();
            let mut stages = LaneStages { pass: self, lane, spent: &mut spent };
            let states = kv::travel(&mut stages, &self.model, &mut travellers, tokens)?;
            let failed: Vec<_> = travellers.into_iter().map(|cell| cell.failed).collect();
            for ((cell, counts), failed) in batch.cells.iter_mut().zip(&mut counts).zip(failed) {
                let index = group.first_window + window;
                cell.failed = failed.map(|reason| format!("window {index}, {reason}"));
                counts.extend(cell.cache.as_ref().map(|(_, cache)| cache.counts()));
            }
            if !group.await_reference() {
                return Err(RunnerError::internal("the baseline ended without a reference"));
            }
            let ranges = vec![group.ranges[window].clone(); count];
            let score = |stage: &mut dyn Stage| {
                let of = vec![window; count];
                let compare = |reference: &_| stage.score_of(&states, &ranges, reference, &of);
                group.with_reference(compare).unwrap_or(Err(ModelError::ForeignReference))
            };
            let found = self.stage(lane, &self.stages, last, "score", &mut spent, score)?;
            scores.iter_mut().zip(found).for_each(|(scores, found)| scores.push(found));
        }
        Ok(Arrived { batch, counts, scores: scores.concat(), spent })
    }

    /// From the shared hidden states at link `from` over every link to the last stage: hidden states `[cells × windows,
    /// tokens, channels]`, and for every cell and window what each link cost.
    fn later_stages(
        &self,
        lane: Lane,
        group: &Group<'_>,
        from: usize,
        cells: &mut [&mut Cell],
        spent: &mut Spent,
    ) -> Result<(Hidden, Vec<PerWindow>), RunnerError> {
        let (prefix, windows) = (&group.prefix.states[from], group.windows);
        let passed = group.prefix.passed.iter().take(from);
        let passed =
            (0..windows).map(|window| passed.clone().map(|link| link[window].clone()).collect());
        let mut counts = vec![passed.collect::<PerWindow>(); cells.len()];
        let sequence = self.sequence(prefix);
        let mut own: Vec<Looks> = (0..cells.len() * windows).map(|_| Looks::default()).collect();
        let mut hidden: Option<Hidden> = None;
        for link in from..self.links.len() {
            let mut received =
                Hidden::zeros(cells.len() * windows, prefix.tokens, prefix.channels, prefix.dtype);
            let part = windows * sequence.bytes();
            let input = |cell: usize| {
                let states = match &hidden {
                    None => &prefix.data[..],
                    Some(hidden) => &hidden.data[cell * part..][..part],
                };
                let own = &own[cell * windows..][..windows];
                (states, Told { shared: &group.prefix.looks, own })
            };
            let output = &mut received.data;
            let cross = || cross_all(self.pool, cells, link, sequence, input, output, &mut counts);
            let window = group.first_window;
            self.trace.span(lane, || format!("codecs of link {link}, window {window}"), cross);
            if link + 1 < self.links.len() {
                let layers = self.layers(link + 1);
                let of = |ask: &Arc<Ask>| ask.wants(&layers, 0..self.links.len());
                let wanted = cells.iter().flat_map(|cell| {
                    let wanted: Vec<_> = cell.ask.iter().flat_map(of).collect();
                    vec![wanted; windows]
                });
                let mut looker = Looker::new(wanted.collect(), self.chunk_tokens);
                let own = &mut own;
                let forward = |stage: &mut dyn Stage| {
                    let states = looker.run(stage, RunInput::Hidden(&received), |stage| {
                        stage.forward(received.clone())
                    })?;
                    looker.add_to(own);
                    Ok(states)
                };
                received = self.stage(lane, &self.stages, link + 1, "forward", spent, forward)?;
            }
            hidden = Some(received);
        }
        let hidden = match hidden {
            Some(hidden) => hidden,
            None => Hidden::stack(&vec![prefix; cells.len()]).map_err(ModelError::from)?,
        };
        Ok((hidden, counts))
    }

    /// Lets a stage work when its device is free.
    pub(crate) fn stage<T: Send>(
        &self,
        lane: Lane,
        stages: &[DeviceStage<'_>],
        index: usize,
        what: &str,
        spent: &mut Spent,
        work: impl FnOnce(&mut dyn Stage) -> Result<T, ModelError> + Send,
    ) -> Result<T, RunnerError> {
        let DeviceStage { device, stage } = &stages[index];
        let _serving = held(&self.devices[*device]);
        let mut stage = held(stage);
        let stage: &mut dyn Stage = &mut ***stage;
        let name = || format!("stage {index}: {what}");
        let run = || self.pool.install(|| work(stage));
        let (result, took) = self.trace.span(lane, name, run);
        spent.stage_s[index] += took;
        let lap = std::mem::replace(&mut *held(&self.lap), Stopwatch::start());
        spent.wall_s += lap.seconds();
        Ok(result?)
    }
}

/// Cells that compress the cache, in batches that agree on their runs of tokens and on when keys are
/// turned.
fn cache_batches<'c>(cells: Vec<&'c mut Cell>, tokens: usize) -> Vec<Batch<'c>> {
    let key = |cell: &Cell| {
        let plan = cell.cache.as_ref().map(|(plan, _)| plan);
        plan.map(|plan| (plan.before_rope, plan.runs(tokens)))
    };
    let mut batches: Vec<Batch<'c>> = Vec::new();
    for cell in cells {
        let room = |batch: &&mut Batch<'_>| {
            batch.cells.len() < CACHE_BATCH && key(batch.cells[0]) == key(cell)
        };
        match batches.iter_mut().find(room) {
            Some(batch) => batch.cells.push(cell),
            None => {
                batches.push(Batch { cells: vec![cell], baseline: false, from: 0, rerun: None })
            }
        }
    }
    batches
}

/// Hands every cell of a batch its windows.
fn entries(
    windows: &[Window],
    base: &[SequenceScores],
    arrived: Arrived<'_>,
    deliver: &mut Deliver<'_>,
) -> Result<(), RunnerError> {
    let Arrived { mut batch, counts, scores, spent } = arrived;
    let parts = (batch.cells.len() * windows.len()).max(1) as f64;
    let stage_s: Vec<f64> = spent.stage_s.iter().map(|seconds| seconds / parts).collect();
    let time = WindowTime { wall_s: spent.wall_s / parts, model_s: stage_s.iter().sum(), stage_s };
    let mut scores = scores.into_iter();
    for (cell, counts) in batch.cells.iter_mut().zip(counts) {
        let parts = windows.iter().zip(base).zip(scores.by_ref()).zip(counts);
        let entries: Vec<WindowEntry> = parts
            .map(|(((window, base), scores), links)| {
                let n = scores.nll.len();
                let or = |values: Vec<bool>| if values.is_empty() { vec![true; n] } else { values };
                WindowEntry {
                    index: window.index,
                    nll: scores.nll,
                    base_nll: base.nll.clone(),
                    base_top: base.top_probability.clone(),
                    kld: if scores.kld.is_empty() { vec![0.0; n] } else { scores.kld },
                    same_top: or(scores.same_top),
                    links,
                    time: time.clone(),
                }
            })
            .collect();
        if cell.failed.is_none() && !batch.baseline {
            cell.failed = non_finite(&entries);
        }
        let entries = if cell.failed.is_none() { entries } else { Vec::new() };
        deliver(cell, entries)?;
    }
    Ok(())
}

fn score_range(window: &Window, stream: &[u32]) -> ScoreRange {
    ScoreRange { first_position: window.first_position(), targets: window.targets(stream).to_vec() }
}

fn non_finite(entries: &[WindowEntry]) -> Option<String> {
    let entry = entries.iter().find(|entry| entry.nll.iter().any(|nll| !nll.is_finite()))?;
    Some(format!(
        "window {}: the model's output is not finite after this codec, so there is no likelihood to score: the decoded values are outside of what the model can compute with",
        entry.index
    ))
}
