//! Windows outside, cells inside: one group of windows through every stage for every cell.

use std::sync::atomic::{AtomicBool, Ordering};

use strait_data::Window;
use strait_model::{Hidden, Reference, ScoreRange, SequenceScores, Stage};
use strait_schema::Link;

use crate::cell::{Cell, PerLink, cross_all};
use crate::clock::{Stopwatch, timed};
use crate::convert;
use crate::error::RunnerError;
use crate::journal::{WindowEntry, WindowTime};
use crate::link::Sequence;

/// What stays the same over all windows.
pub(crate) struct Pass<'a> {
    pub(crate) stages: &'a mut [Box<dyn Stage>],
    pub(crate) links: &'a [Link],
    pub(crate) stream: &'a [u32],
    pub(crate) chunk_tokens: Option<usize>,
    /// Cells that share a pass through a later stage.
    pub(crate) cell_batch: usize,
    /// Set from outside to end the run: looked at before every batch of cells.
    pub(crate) stop: &'a AtomicBool,
    /// Time since the last delivery.
    pub(crate) lap: Lap,
}

/// Time of the batch at work.
pub(crate) struct Lap {
    watch: Stopwatch,
    model_s: f64,
}

impl Lap {
    pub(crate) fn start() -> Self {
        Self { watch: Stopwatch::start(), model_s: 0.0 }
    }

    /// The time since the last call, divided evenly.
    fn split(&mut self, parts: usize) -> WindowTime {
        let lap = std::mem::replace(self, Self::start());
        let parts = parts.max(1) as f64;
        WindowTime { wall_s: lap.watch.seconds() / parts, model_s: lap.model_s / parts }
    }
}

/// What each link cost in every window of a group, for one cell.
type PerWindow = Vec<PerLink>;

/// Called when a cell has been through a group: its windows, or nothing if it failed.
pub(crate) type Deliver<'a> =
    dyn FnMut(&mut Cell, Vec<WindowEntry>) -> Result<(), RunnerError> + 'a;

impl Pass<'_> {
    /// Runs a group of equally long windows through the baseline and then through `cells`.
    ///
    /// The stages before the first link run once; every cell goes on from there. The baseline's
    /// log-probabilities stay in memory until the last cell has been compared with them.
    pub(crate) fn run(
        &mut self,
        windows: &[Window],
        baseline: &mut Cell,
        cells: &mut [&mut Cell],
        deliver: &mut Deliver<'_>,
    ) -> Result<(), RunnerError> {
        let tokens: Vec<u32> = windows.iter().flat_map(|w| w.tokens(self.stream)).collect();
        let ranges: Vec<ScoreRange> = windows.iter().map(|w| score_range(w, self.stream)).collect();
        let prefix = timed(&mut self.lap.model_s, || self.stages[0].embed(&tokens, windows.len()))?;

        let mut alone = [baseline];
        let (hidden, counts) = self.later_stages(&prefix, windows.len(), &mut alone)?;
        let [baseline] = alone;
        let last = self.stages.len() - 1;
        let (scores, reference) =
            timed(&mut self.lap.model_s, || self.stages[last].reference(&hidden, &ranges))?;
        drop(hidden);
        let base: Vec<Vec<f64>> = scores.iter().map(|s| s.nll.clone()).collect();
        let time = self.lap.split(windows.len());
        let entries = self.entries(windows, &base, scores, counts.into_iter().next(), time);
        deliver(baseline, entries)?;

        for cells in cells.chunks_mut(self.cell_batch.max(1)) {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.run_cells(windows, &prefix, &ranges, &reference, &base, cells, deliver)?;
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "one call site: the inner half of `run`")]
    fn run_cells(
        &mut self,
        windows: &[Window],
        prefix: &Hidden,
        ranges: &[ScoreRange],
        reference: &Reference,
        base: &[Vec<f64>],
        cells: &mut [&mut Cell],
        deliver: &mut Deliver<'_>,
    ) -> Result<(), RunnerError> {
        let (hidden, counts) = self.later_stages(prefix, windows.len(), cells)?;
        let ranges: Vec<ScoreRange> = cells.iter().flat_map(|_| ranges.to_vec()).collect();
        let sequence_of: Vec<usize> = cells.iter().flat_map(|_| 0..windows.len()).collect();
        let last = self.stages.len() - 1;
        let scores = timed(&mut self.lap.model_s, || {
            self.stages[last].score(&hidden, &ranges, reference, &sequence_of)
        })?;
        let mut scores = scores.into_iter();
        let time = self.lap.split(cells.len() * windows.len());
        for (cell, counts) in cells.iter_mut().zip(counts) {
            let scores: Vec<SequenceScores> = scores.by_ref().take(windows.len()).collect();
            let entries = self.entries(windows, base, scores, Some(counts), time);
            if cell.failed.is_none() {
                cell.failed = non_finite(&entries);
            }
            let entries = if cell.failed.is_none() { entries } else { Vec::new() };
            deliver(cell, entries)?;
        }
        Ok(())
    }

    /// From the shared prefix over every link and later stage: hidden states `[cells × windows,
    /// tokens, channels]` and for every cell and window what each link cost.
    fn later_stages(
        &mut self,
        prefix: &Hidden,
        windows: usize,
        cells: &mut [&mut Cell],
    ) -> Result<(Hidden, Vec<PerWindow>), RunnerError> {
        let mut counts = vec![vec![Vec::new(); windows]; cells.len()];
        let sequence = Sequence {
            tokens: prefix.tokens,
            channels: prefix.channels,
            dtype: convert::loader_dtype(prefix.dtype),
            chunk_tokens: self.chunk_tokens,
        };
        let mut hidden: Option<Hidden> = None;
        for link in 0..self.links.len() {
            let mut received =
                Hidden::zeros(cells.len() * windows, prefix.tokens, prefix.channels, prefix.dtype);
            let part = windows * sequence.bytes();
            let input = |cell: usize| match &hidden {
                None => &prefix.data[..],
                Some(hidden) => &hidden.data[cell * part..][..part],
            };
            cross_all(cells, link, sequence, input, &mut received.data, &mut counts);
            let forward = || self.stages[link + 1].forward(received);
            hidden = Some(timed(&mut self.lap.model_s, forward)?);
        }
        let hidden = match hidden {
            Some(hidden) => hidden,
            None => Hidden::stack(&vec![prefix; cells.len()])?,
        };
        Ok((hidden, counts))
    }

    fn entries(
        &self,
        windows: &[Window],
        base: &[Vec<f64>],
        scores: Vec<SequenceScores>,
        counts: Option<PerWindow>,
        time: WindowTime,
    ) -> Vec<WindowEntry> {
        let counts = counts.unwrap_or_default();
        let parts = windows.iter().zip(base).zip(scores).zip(counts);
        parts
            .map(|(((window, base), scores), counts)| {
                let n = scores.nll.len();
                WindowEntry {
                    index: window.index,
                    nll: scores.nll,
                    base_nll: base.clone(),
                    kld: if scores.kld.is_empty() { vec![0.0; n] } else { scores.kld },
                    same_top: if scores.same_top.is_empty() {
                        vec![true; n]
                    } else {
                        scores.same_top
                    },
                    links: counts,
                    time,
                }
            })
            .collect()
    }
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
