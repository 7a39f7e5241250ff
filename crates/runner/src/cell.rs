//! A cell at work: its codec on every link, its journal, and its running sums.

use std::path::Path;
use std::sync::Arc;

use rayon::ThreadPool;
use rayon::prelude::*;
use serde_json::{Map, Value};
use strait_loader::{CodecEntry, Side};
use strait_metrics::PairedSums;
use strait_schema::{Link, LinkCounts, Metric, RecordCell};

use crate::error::RunnerError;
use crate::journal::{Journal, WindowEntry};
use crate::kv::{CachePlan, OpenCache};
use crate::link::{CellLink, Ends, Sequence, widen};
use crate::look::{Ask, Told};
use crate::progress::CellProgress;
use crate::rerun::Rerun;

/// A cell before it runs: everything about it is known, nothing of it is open.
pub(crate) struct PlannedCell {
    pub(crate) label: String,
    /// `None` passes every message on as it is.
    pub(crate) codec: Option<CellCodec>,
    /// `None` leaves the KV cache alone.
    pub(crate) cache: Option<Arc<CachePlan>>,
    /// What runs again for this cell; `None` if it goes on from the baseline's first stage.
    pub(crate) rerun: Option<Rerun>,
    pub(crate) identity: RecordCell,
    pub(crate) id: String,
}

/// The codec of a cell with its resolved parameters.
pub(crate) struct CellCodec {
    pub(crate) entry: CodecEntry,
    pub(crate) params: Map<String, Value>,
    /// For every link; the links of a cell may share one.
    pub(crate) artifacts: Vec<Option<Arc<Vec<u8>>>>,
    /// For every link whether the codec works there.
    pub(crate) active: Vec<bool>,
    /// What it is told beside the messages.
    pub(crate) ask: Option<Arc<Ask>>,
}

/// A cell that runs.
pub(crate) struct Cell {
    /// Position in the experiment: 0 is the baseline.
    pub(crate) index: usize,
    pub(crate) rerun: Option<Rerun>,
    pub(crate) links: Vec<CellLink>,
    /// The first link where something is compressed; the last one if none is.
    pub(crate) first: usize,
    /// What its codec is told beside the messages.
    pub(crate) ask: Option<Arc<Ask>>,
    pub(crate) cache: Option<(Arc<CachePlan>, OpenCache)>,
    pub(crate) journal: Journal,
    pub(crate) running: Running,
    pub(crate) failed: Option<String>,
}

/// What one sequence cost on each link.
pub(crate) type PerLink = Vec<LinkCounts>;

/// Sums over the windows so far, for the live line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running {
    sums: PairedSums,
    kld_sum: f64,
    /// Whether keys and values are counted, of which a token has one each.
    cached: bool,
    tokens: u64,
    messages: u64,
    values: u64,
    payload_bytes: u64,
}

impl Cell {
    /// Opens the cell's journal and, unless it is left out because its plugin `crashed`, its codecs.
    ///
    /// # Errors
    /// When the journal cannot be opened. A codec that cannot be opened fails the cell alone.
    pub(crate) fn open(
        index: usize,
        planned: &PlannedCell,
        journal: &Path,
        links: &[Link],
        crashed: Option<&str>,
    ) -> Result<Self, RunnerError> {
        let mut running = Running { cached: planned.cache.is_some(), ..Running::default() };
        let journal = Journal::open(journal, |entry| running.add(entry))?;
        let active =
            planned.codec.as_ref().and_then(|codec| codec.active.iter().position(|&on| on));
        let first = active.unwrap_or(links.len().saturating_sub(1));
        let opened = match crashed {
            Some(reason) => Err(reason.to_owned()),
            None => open_links(planned, links),
        };
        let (links, mut failed) = match opened {
            Ok(links) => (links, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        let mut cache = None;
        if let Some(plan) = planned.cache.as_ref().filter(|_| failed.is_none()) {
            match OpenCache::open(plan) {
                Ok(open) => cache = Some((Arc::clone(plan), open)),
                Err(reason) => failed = Some(reason),
            }
        }
        let (rerun, codec) = (planned.rerun, planned.codec.as_ref());
        let ask = codec.and_then(|codec| codec.ask.clone());
        Ok(Self { index, rerun, links, first, ask, cache, journal, running, failed })
    }

    /// Sends `sequences` hidden states over one link, one after the other, each as its own
    /// sequence. A failure marks the cell; `output` then holds the input, so that a stacked pass
    /// can go on for the others.
    pub(crate) fn cross(
        &mut self,
        link: usize,
        sequence: Sequence,
        input: &[u8],
        output: &mut [u8],
        counts: &mut [PerLink],
        told: Told<'_>,
    ) {
        let length = sequence.bytes();
        let pairs = input.chunks(length).zip(output.chunks_mut(length)).zip(counts);
        for (position, ((input, output), counts)) in pairs.enumerate() {
            if self.failed.is_none() {
                let importances = self.importances(link, position, told, sequence, input);
                let sent = importances.and_then(|importances| {
                    self.links[link].send(sequence, input, output, importances.as_deref())
                });
                match sent {
                    Ok(crossing) => {
                        counts.push(crossing);
                        continue;
                    }
                    Err(reason) => {
                        let window = self.journal.windows() + position;
                        self.failed = Some(format!("window {window}, link {link}: {reason}"));
                    }
                }
            }
            output.copy_from_slice(input);
        }
    }

    /// What the codec of a link is told of the tokens of a window, if it asks.
    fn importances(
        &self,
        link: usize,
        window: usize,
        told: Told<'_>,
        sequence: Sequence,
        input: &[u8],
    ) -> Result<Option<Vec<f32>>, String> {
        let Some(ask) = self.ask.as_ref().filter(|_| self.links[link].compresses()) else {
            return Ok(None);
        };
        let mut states = Vec::new();
        if ask.kind.metric == Metric::HiddenNorm {
            widen(sequence.dtype, input, &mut states);
        }
        ask.importances(link, window, told, &states, sequence.channels).map(Some)
    }

    /// Appends one window to the journal and to the running sums.
    pub(crate) fn finish_window(&mut self, entry: &WindowEntry) -> Result<(), RunnerError> {
        self.journal.append(entry)?;
        self.running.add(entry);
        Ok(())
    }
}

fn open_links(planned: &PlannedCell, links: &[Link]) -> Result<Vec<CellLink>, String> {
    let Some(codec) = &planned.codec else {
        return Ok(links.iter().map(|link| CellLink::new(&link.name, None)).collect());
    };
    let open = |side, link: usize| {
        let artifact = codec.artifacts[link].as_ref().map(|artifact| artifact.as_slice());
        codec.entry.open(side, &codec.params, artifact).map_err(|error| error.to_string())
    };
    links
        .iter()
        .map(|link| {
            let ends = match codec.active[link.index] {
                true => {
                    let encoder = open(Side::Encoder, link.index)?;
                    Some(Ends { encoder, decoder: open(Side::Decoder, link.index)? })
                }
                false => None,
            };
            Ok(CellLink::new(&link.name, ends))
        })
        .collect()
}

/// Lets every cell send over one link at the same time. `input(i)`, with what is told of it, and the i-th
/// part of `output` belong to the i-th cell. One cell alone stays on its own thread, beside the pool's.
pub(crate) fn cross_all<'a>(
    pool: &ThreadPool,
    cells: &mut [&mut Cell],
    link: usize,
    sequence: Sequence,
    input: impl Fn(usize) -> (&'a [u8], Told<'a>) + Sync,
    output: &mut [u8],
    counts: &mut [Vec<PerLink>],
) {
    if let ([cell], [counts]) = (&mut *cells, &mut *counts) {
        let (input, told) = input(0);
        return cell.cross(link, sequence, input, output, counts, told);
    }
    let part = output.len() / cells.len().max(1);
    pool.install(|| {
        let cells = cells.par_iter_mut().zip(output.par_chunks_mut(part.max(1)));
        cells.zip(counts.par_iter_mut()).enumerate().for_each(|(i, ((cell, output), counts))| {
            let (input, told) = input(i);
            cell.cross(link, sequence, input, output, counts, told);
        });
    });
}

impl Running {
    pub(crate) fn add(&mut self, entry: &WindowEntry) {
        for (&a, &b) in entry.nll.iter().zip(&entry.base_nll) {
            self.sums.push(a, b);
        }
        self.kld_sum += entry.kld.iter().map(|&x| f64::from(x)).sum::<f64>();
        for (at, link) in entry.links.iter().enumerate() {
            self.tokens += if self.cached && at > 0 { 0 } else { link.tokens };
            self.messages += link.messages;
            self.values += link.values;
            self.payload_bytes += link.payload_bytes;
        }
    }

    pub(crate) fn progress(&self, windows_done: usize) -> CellProgress {
        let paired = self.sums.summary();
        CellProgress {
            windows_done,
            scored: self.sums.n,
            nll: self.sums.a,
            payload_bytes: self.payload_bytes,
            tokens: self.tokens,
            messages: self.messages,
            ppl: paired.ppl,
            ppl_delta: paired.delta,
            ppl_delta_error: paired.delta_error,
            kld_mean: self.kld_sum / self.sums.n as f64,
            bytes_per_token: self.payload_bytes as f64 / self.tokens as f64,
            bits_per_value: 8.0 * self.payload_bytes as f64 / self.values as f64,
        }
    }
}
