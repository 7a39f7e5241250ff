//! Keys and values of one layer through their codecs.

use std::sync::Arc;

use strait_loader::MatrixRef;
use strait_model::{AttentionShape, CacheContents, Dtype, HeadEntries};
use strait_schema::LinkCounts;

use super::cell::{CachePlan, OpenCache};
use super::compress::{At, Model};
use super::ledger::{EntryCost, HeadLedger, LayerLedger};
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
        let fresh = fresh_entries(ledger, plan.sinks, end);
        let [key_counts, value_counts] = counts;
        for Group { heads, entries, channels } in &groups(contents, ledger, fresh) {
            for (part, ends, counts) in [
                (Part::Key, &mut *key_ends, &mut *key_counts),
                (Part::Value, &mut *value_ends, &mut *value_counts),
            ] {
                let Some(ends) = ends else { continue };
                let dim = part.channels(at.shape);
                // Presses remove channels of keys alone.
                let channels = if part == Part::Key { channels.as_deref() } else { None };
                let message = Message { part, heads, entries, channels, dim, dtype: model.dtype };
                let bytes = message.cross(ends, contents, counts)?;
                ledger.share(part, heads, entries, bytes);
            }
            for &head in heads {
                entries.iter().for_each(|&entry| ledger.heads[head].entries[entry].coded = true);
            }
        }
        Ok(())
    }
}

/// For every head, the indices of the entries to code now: uncoded ones of tokens `sinks..end`.
fn fresh_entries(ledger: &LayerLedger, sinks: usize, end: usize) -> Vec<Vec<usize>> {
    let of_head = |head: &HeadLedger| {
        let is_fresh = |entry: &usize| {
            let EntryCost { token, coded, .. } = head.entries[*entry];
            !coded && (sinks..end).contains(&(token as usize))
        };
        (0..head.entries.len()).filter(is_fresh).collect()
    };
    ledger.heads.iter().map(of_head).collect()
}

/// What is coded as one message.
struct Group {
    heads: Vec<usize>,
    /// Indices of the entries, the same in every head.
    entries: Vec<usize>,
    /// The channels that their keys still have; `None` for all.
    channels: Option<Arc<[u16]>>,
}

/// Groups what one message can hold as a matrix. All heads go side by side, unless a press has kept other
/// entries or channels in some of them; then each head is alone, divided by the channels of its entries.
fn groups(contents: &CacheContents, ledger: &LayerLedger, fresh: Vec<Vec<usize>>) -> Vec<Group> {
    let alike = |pair: &[HeadEntries]| {
        pair[0].positions == pair[1].positions
            && pair[0].key_channels.is_none()
            && pair[1].key_channels.is_none()
    };
    let cut = |head: &HeadLedger| head.channels.iter().any(Option::is_some);
    // Equal positions are not enough: once gaps are closed, they may belong to different tokens.
    let together = contents.heads.windows(2).all(alike)
        && fresh.windows(2).all(|pair| pair[0] == pair[1])
        && !ledger.heads.iter().any(cut);
    let mut groups: Vec<Group> = Vec::new();
    for (head, entries) in fresh.into_iter().enumerate() {
        if together {
            match groups.first_mut() {
                Some(group) => group.heads.push(head),
                None => groups.push(Group { heads: vec![head], entries, channels: None }),
            }
            continue;
        }
        let first = groups.len();
        for entry in entries {
            let channels = &ledger.heads[head].channels[entry];
            match groups[first..].iter_mut().find(|group| group.channels == *channels) {
                Some(group) => group.entries.push(entry),
                None => groups.push(Group {
                    heads: vec![head],
                    entries: vec![entry],
                    channels: channels.clone(),
                }),
            }
        }
    }
    groups.retain(|group| !group.entries.is_empty());
    groups
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

    /// Channels of an entry of which none were removed.
    fn channels(self, shape: &AttentionShape) -> usize {
        match self {
            Self::Key => shape.head_dim,
            Self::Value => shape.value_dim,
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
    heads: &'a [usize],
    entries: &'a [usize],
    /// The channels of a head's row that are in the message; `None` for all.
    channels: Option<&'a [u16]>,
    dim: usize,
    dtype: Dtype,
}

impl Message<'_> {
    /// Replaces the message's values by the decoded ones; returns the payload's size in bytes.
    fn cross(
        &self,
        ends: &mut Ends,
        contents: &mut CacheContents,
        counts: &mut LinkCounts,
    ) -> Result<u64, String> {
        let width = |&head: &usize| match self.channels {
            Some(channels) => channels.len(),
            None => self.part.width(&contents.heads[head], self.dim),
        };
        let (rows, channels) = (self.entries.len(), self.heads.iter().map(width).sum::<usize>());
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
            for &head in self.heads {
                let head = &mut contents.heads[head];
                let width = self.part.width(head, self.dim);
                let row = &mut self.part.of(head)[entry * width..(entry + 1) * width];
                match self.channels {
                    None => visit(row),
                    Some(channels) => visit_some(row, channels, &mut visit),
                }
            }
        }
    }
}

/// Visits some channels of a row.
fn visit_some(row: &mut [f32], channels: &[u16], visit: &mut impl FnMut(&mut [f32])) {
    let mut some: Vec<f32> = channels.iter().map(|&channel| row[usize::from(channel)]).collect();
    visit(&mut some);
    for (&channel, value) in channels.iter().zip(some) {
        row[usize::from(channel)] = value;
    }
}
