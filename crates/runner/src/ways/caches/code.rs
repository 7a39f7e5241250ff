//! Keys and values of one layer through their codecs.

use strait_loader::MatrixRef;
use strait_model::{CacheContents, Dtype, HeadEntries};
use strait_schema::LinkCounts;

use super::cell::{CachePlan, OpenCache};
use super::compress::{At, Model};
use super::ledger::LayerLedger;
use crate::convert;
use crate::ways::ends::Ends;
use crate::ways::plausible::shortfall_of_values;

impl OpenCache {
    /// Codes the entries that have left the recent ones, keys and values apart.
    pub(super) fn code(
        &mut self,
        plan: &CachePlan,
        model: &Model<'_>,
        at: At<'_>,
        contents: &mut CacheContents,
    ) -> Result<(), String> {
        let OpenCache { ends, layers, counts, .. } = self;
        let [key_ends, value_ends] = &mut ends[plan.codecs_of[at.layer]];
        if key_ends.is_none() && value_ends.is_none() {
            return Ok(());
        }
        let ledger = &mut layers[at.layer];
        let first = plan.sinks.max(ledger.coded as usize);
        let end = at.seen.saturating_sub(plan.recent);
        if end <= first {
            return Ok(());
        }
        ledger.coded = end as u32;
        let fresh = fresh_entries(contents, ledger, plan.sinks, end);
        let [key_counts, value_counts] = counts;
        for group in &groups(contents) {
            let entries = &fresh[group[0]];
            if entries.is_empty() {
                continue;
            }
            for (part, ends, counts) in [
                (Part::Key, &mut *key_ends, &mut *key_counts),
                (Part::Value, &mut *value_ends, &mut *value_counts),
            ] {
                let Some(ends) = ends else { continue };
                let dim = at.shape.head_dim;
                let message = Message { part, group, entries, dim, dtype: model.dtype };
                let bytes = message.cross(ends, contents, counts)?;
                ledger.share(part, group, entries, bytes);
            }
            for &head in group {
                entries.iter().for_each(|&entry| ledger.heads[head].entries[entry].coded = true);
            }
        }
        Ok(())
    }
}

/// For every head the entries that are coded now. Repositioned entries are known by their order.
fn fresh_entries(
    contents: &CacheContents,
    ledger: &LayerLedger,
    sinks: usize,
    end: usize,
) -> Vec<Vec<usize>> {
    let heads = contents.heads.iter().zip(&ledger.heads);
    heads
        .map(|(head, ledger)| {
            let is_fresh = |entry: &usize| {
                let position = head.positions[*entry] as usize;
                !ledger.entries[*entry].coded && position >= sinks && position < end
            };
            (0..head.len()).filter(is_fresh).collect()
        })
        .collect()
}

/// Heads whose entries are coded side by side, as one message: all of them, or each alone where a
/// press has kept other entries or channels of each.
fn groups(contents: &CacheContents) -> Vec<Vec<usize>> {
    let alike = |pair: &[HeadEntries]| {
        pair[0].positions == pair[1].positions
            && pair[0].key_channels.is_none()
            && pair[1].key_channels.is_none()
    };
    let heads = 0..contents.heads.len();
    if contents.heads.windows(2).all(alike) {
        vec![heads.collect()]
    } else {
        heads.map(|head| vec![head]).collect()
    }
}

impl LayerLedger {
    /// Divides the bytes of a payload evenly among the entries that it holds.
    fn share(&mut self, part: Part, group: &[usize], entries: &[usize], bytes: u64) {
        let share = bytes as f64 / (entries.len() * group.len()) as f64;
        for &head in group {
            for &entry in entries {
                let cost = &mut self.heads[head].entries[entry];
                match part {
                    Part::Key => cost.key_bytes = share,
                    Part::Value => cost.value_bytes = share,
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Key,
    Value,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Key => "keys",
            Self::Value => "values",
        }
    }

    fn of(self, head: &mut HeadEntries) -> &mut Vec<f32> {
        match self {
            Self::Key => &mut head.keys,
            Self::Value => &mut head.values,
        }
    }

    /// Channels of an entry.
    fn width(self, head: &HeadEntries, dim: usize) -> usize {
        match self {
            Self::Key => head.key_channels.as_ref().map_or(dim, Vec::len),
            Self::Value => dim,
        }
    }
}

/// Keys or values of some heads, side by side: a row is an entry.
struct Message<'a> {
    part: Part,
    group: &'a [usize],
    entries: &'a [usize],
    dim: usize,
    dtype: Dtype,
}

impl Message<'_> {
    /// Replaces what is coded by what its decoder gives; returns the bytes of the payload.
    fn cross(
        &self,
        ends: &mut Ends,
        contents: &mut CacheContents,
        counts: &mut LinkCounts,
    ) -> Result<u64, String> {
        let widths =
            self.group.iter().map(|&head| self.part.width(&contents.heads[head], self.dim));
        let (rows, channels) = (self.entries.len(), widths.sum::<usize>());
        if channels == 0 {
            return Ok(0);
        }
        let mut sent = Vec::with_capacity(rows * channels);
        self.each_piece(contents, |values| sent.extend_from_slice(values));
        let mut input = vec![0; sent.len() * self.dtype.size()];
        self.dtype.encode(&sent, &mut input);
        let mut output = vec![0; input.len()];
        let dtype = convert::loader_dtype(self.dtype);
        let message = MatrixRef { rows, channels, dtype, bytes: &input, side: &[] };
        let crossed = ends.reset().and_then(|()| ends.cross(message, &mut output, counts));
        let bytes = crossed.map_err(|error| format!("{}, {error}", self.part.name()))?;
        let mut arrived = vec![0.0; sent.len()];
        self.dtype.decode(&output, &mut arrived);
        counts.distortion.push(&sent, &arrived);
        let shape = (channels, self.dtype);
        counts.shortfall.merge(&shortfall_of_values(shape, &sent, &arrived, bytes));
        let mut arrived = arrived.as_slice();
        self.each_piece(contents, |values| {
            let (own, rest) = arrived.split_at(values.len());
            values.copy_from_slice(own);
            arrived = rest;
        });
        Ok(bytes)
    }

    /// Visits what the message is made of, row by row and head by head.
    fn each_piece(&self, contents: &mut CacheContents, mut visit: impl FnMut(&mut [f32])) {
        for &entry in self.entries {
            for &head in self.group {
                let head = &mut contents.heads[head];
                let width = self.part.width(head, self.dim);
                visit(&mut self.part.of(head)[entry * width..(entry + 1) * width]);
            }
        }
    }
}
