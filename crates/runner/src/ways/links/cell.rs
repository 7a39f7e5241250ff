//! A cell on links: its codec at every link, and the crossing of one sequence after another.

use std::sync::Arc;

use rayon::ThreadPool;
use rayon::prelude::*;
use strait_schema::{Link, LinkCounts, Metric};

use super::link::{CellLink, Sequence};
use crate::plan::CellCodec;
use crate::ways::ends::Ends;
use crate::ways::probe::{Probed, SideRequest};

/// A cell that compresses what crosses links, or nothing at all, as the baseline does.
pub(crate) struct LinkCell {
    /// Index of the cell in the experiment.
    pub(super) index: usize,
    pub(super) links: Vec<CellLink>,
    /// The first link where something is compressed; the last link if there is none.
    pub(super) first: usize,
    /// The side information that its codec gets with the messages.
    pub(super) side: Option<Arc<SideRequest>>,
    /// Why the cell cannot continue.
    pub(super) failed: Option<String>,
}

/// The cost of one sequence on each link so far.
pub(super) type PerLink = Vec<LinkCounts>;

/// A cell's sequences and what is known about them.
#[derive(Clone, Copy)]
pub(super) struct Departure<'a> {
    /// The sequences of all windows, concatenated.
    pub(super) states: &'a [u8],
    pub(super) probed: Probed<'a>,
}

impl LinkCell {
    /// A cell that passes every message on unchanged.
    pub(crate) fn plain(index: usize, links: &[Link]) -> Self {
        let last = links.len().saturating_sub(1);
        let links = links.iter().map(|link| CellLink::new(&link.name, None)).collect();
        Self { index, links, first: last, side: None, failed: None }
    }

    /// Opens a cell's codec at every link where it works.
    ///
    /// # Errors
    /// The codec's error.
    pub(crate) fn open(index: usize, codec: &CellCodec, links: &[Link]) -> Result<Self, String> {
        let mut cell = Self { side: codec.side.clone(), ..Self::plain(index, links) };
        for link in links.iter().filter(|link| codec.active[link.index]) {
            let artifact = codec.artifacts[link.index].as_ref().map(|artifact| &artifact[..]);
            let ends = Ends::open(&codec.entry, &codec.params, artifact)?;
            cell.links[link.index] = CellLink::new(&link.name, Some(ends));
        }
        if let Some(first) = cell.links.iter().position(CellLink::compresses) {
            cell.first = first;
        }
        Ok(cell)
    }

    /// Sends the sequences of all windows over one link, one after another. A failure marks the cell;
    /// `output` then holds the input, so that a stacked pass can continue for the others.
    fn cross(
        &mut self,
        link: usize,
        first_window: usize,
        sequence: Sequence,
        from: Departure<'_>,
        output: &mut [u8],
        counts: &mut [PerLink],
    ) {
        let length = sequence.bytes();
        let pairs = from.states.chunks(length).zip(output.chunks_mut(length)).zip(counts);
        for (position, ((input, output), counts)) in pairs.enumerate() {
            if self.failed.is_none() {
                match self.send(link, position, sequence, from.probed, input, output) {
                    Ok(crossing) => {
                        counts.push(crossing);
                        continue;
                    }
                    Err(reason) => {
                        let window = first_window + position;
                        self.failed = Some(format!("window {window}, link {link}: {reason}"));
                    }
                }
            }
            output.copy_from_slice(input);
        }
    }

    fn send(
        &mut self,
        link: usize,
        position: usize,
        sequence: Sequence,
        probed: Probed<'_>,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<LinkCounts, String> {
        let importances = self.importances(link, position, sequence, probed, input)?;
        self.links[link].send(sequence, input, output, importances.as_deref())
    }

    /// The side information for a link's codec in a window, if it requests any.
    fn importances(
        &self,
        link: usize,
        position: usize,
        sequence: Sequence,
        probed: Probed<'_>,
        input: &[u8],
    ) -> Result<Option<Vec<f32>>, String> {
        let Some(side) = &self.side else { return Ok(None) };
        if !self.links[link].compresses() {
            return Ok(None);
        }
        let mut states = Vec::new();
        if side.kind.metric == Metric::HiddenNorm {
            states.resize(input.len() / sequence.dtype.size(), 0.0);
            sequence.dtype.decode(input, &mut states);
        }
        side.importances(link, position, probed, &states, sequence.channels).map(Some)
    }

    /// Counts the sequences of all windows on a link where this cell passes them on unchanged.
    fn pass(&self, link: usize, sequence: Sequence, states: &[u8], counts: &mut [PerLink]) {
        if self.failed.is_none() {
            for (states, counts) in states.chunks(sequence.bytes()).zip(counts) {
                counts.push(self.links[link].pass(sequence, states));
            }
        }
    }
}

/// A link that cells cross together.
#[derive(Clone, Copy)]
pub(super) struct Crossing {
    pub(super) link: usize,
    /// Index of the first window in the protocol.
    pub(super) first_window: usize,
    pub(super) sequence: Sequence,
}

/// Sends every cell over one link in parallel. `from(i)` and the i-th part of `output` belong to the i-th
/// cell. A single cell runs on its own thread, outside the pool.
pub(super) fn cross_all<'a>(
    pool: &ThreadPool,
    cells: &mut [&mut LinkCell],
    crossing: Crossing,
    from: impl Fn(usize) -> Departure<'a> + Sync,
    output: &mut [u8],
    counts: &mut [Vec<PerLink>],
) {
    let Crossing { link, first_window, sequence } = crossing;
    if let ([cell], [counts]) = (&mut *cells, &mut *counts) {
        return cell.cross(link, first_window, sequence, from(0), output, counts);
    }
    let part = output.len() / cells.len().max(1);
    pool.install(|| {
        let cells = cells.par_iter_mut().zip(output.par_chunks_mut(part.max(1)));
        cells.zip(counts.par_iter_mut()).enumerate().for_each(|(i, ((cell, output), counts))| {
            cell.cross(link, first_window, sequence, from(i), output, counts);
        });
    });
}

/// Counts a link where every cell passes messages on, without moving any data.
pub(super) fn pass_all<'a>(
    pool: &ThreadPool,
    cells: &mut [&mut LinkCell],
    crossing: Crossing,
    states: impl Fn(usize) -> &'a [u8] + Sync,
    counts: &mut [Vec<PerLink>],
) {
    let Crossing { link, sequence, .. } = crossing;
    if let ([cell], [counts]) = (&mut *cells, &mut *counts) {
        return cell.pass(link, sequence, states(0), counts);
    }
    pool.install(|| {
        let cells = cells.par_iter_mut().zip(counts.par_iter_mut());
        cells.enumerate().for_each(|(i, (cell, counts))| {
            cell.pass(link, sequence, states(i), counts);
        });
    });
}
