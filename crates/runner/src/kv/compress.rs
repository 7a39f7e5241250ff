//! One layer's cache of one cell, compressed: the press first, then the codecs on what it left.

use strait_loader::{KvHeadRef, LayerBudget, LayerRef, MatrixMut, MatrixRef, RopeLayout, RopeRef};
use strait_model::{AttentionShape, CacheContents, Dtype, HeadEntries, LayerConfig, ModelConfig};
use strait_schema::LinkCounts;

use super::side::SideInformation;
use super::store::{HeadStore, keep};
use super::{Budget, CachePlan, OpenCache};
use crate::clock::timed;
use crate::convert;
use crate::link::Ends;
use crate::plausible::shortfall_of_values;

/// What a cell has to know of the model.
pub(crate) struct Model<'a> {
    pub(crate) config: &'a ModelConfig,
    pub(crate) dtype: Dtype,
}

impl Model<'_> {
    /// Values of all keys, and as many of all values, that an uncompressed cache of `tokens` tokens holds.
    pub(crate) fn cache_values(&self, tokens: usize) -> usize {
        let of_block = |block: &LayerConfig| {
            let AttentionShape { kv_heads, head_dim, window, .. } = block.attention;
            window.map_or(tokens, |window| tokens.min(window)) * kv_heads * head_dim
        };
        self.config.blocks.iter().map(of_block).sum()
    }
}

/// One layer, just after a run of tokens.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) layer: usize,
    pub(crate) shape: &'a AttentionShape,
    /// Tokens of the sequence so far.
    pub(crate) seen: usize,
    /// Whether the layer is compressed again after later tokens.
    pub(crate) again: bool,
}

impl OpenCache {
    /// What is left of `contents`.
    pub(crate) fn compress(
        &mut self,
        plan: &CachePlan,
        model: &Model<'_>,
        at: At<'_>,
        mut contents: CacheContents,
        side: &SideInformation,
    ) -> Result<CacheContents, String> {
        let (dim, size) = (at.shape.head_dim, model.dtype.size());
        self.layers[at.layer].follow(&contents, at.shape, size);
        side.add_to(&mut self.layers[at.layer], self.wanted);
        // What no later query sees costs nothing, whoever compresses.
        if let Some(window) = at.shape.window {
            let stores = self.layers[at.layer].heads.iter_mut();
            for (head, store) in contents.heads.iter_mut().zip(stores) {
                let first = head.positions.partition_point(|&p| p as usize + window <= at.seen);
                let kept: Vec<usize> = (first..head.len()).collect();
                keep(head, &kept, dim);
                store.keep(&kept);
            }
        }
        if plan.active[at.layer] {
            for press in 0..self.presses.len() {
                self.press(press, plan, model, at, &mut contents, side)?;
            }
            if plan.reposition && !self.presses.is_empty() {
                let frequencies = frequencies(at);
                for head in &mut contents.heads {
                    reposition(head, &frequencies, dim, plan.before_rope);
                }
            }
            self.code(plan, model, at, &mut contents)?;
        }
        if !at.again {
            self.layers[at.layer].forget_rows();
        }
        Ok(contents)
    }

    fn press(
        &mut self,
        index: usize,
        plan: &CachePlan,
        model: &Model<'_>,
        at: At<'_>,
        contents: &mut CacheContents,
        side: &SideInformation,
    ) -> Result<(), String> {
        let press = &mut self.presses[index];
        let (shape, store) = (at.shape, &mut self.layers[at.layer]);
        let dim = shape.head_dim;
        let positions: Vec<&[u32]> =
            contents.heads.iter().map(|head| &head.positions[..]).collect();
        let arrays = side.arrays(press, store, &positions, at.seen, shape);
        let side: Vec<_> = arrays.iter().map(|array| array.view()).collect();
        let whole: Vec<Option<Vec<f32>>> =
            contents.heads.iter().map(|head| all_channels(head, dim)).collect();
        let heads: Vec<KvHeadRef<'_>> = contents
            .heads
            .iter()
            .zip(&whole)
            .map(|(head, whole)| KvHeadRef {
                keys: whole.as_deref().unwrap_or(&head.keys),
                values: &head.values,
                positions: &head.positions,
            })
            .collect();
        let longest = heads.iter().map(|head| head.positions.len()).max().unwrap_or(0);
        // Of the tokens so far, so that pressing again and again keeps the same share.
        let visible = shape.window.map_or(at.seen, |window| at.seen.min(window));
        let budget = match plan.presses[index].budget {
            Budget::Ratio(ratio) => {
                LayerBudget::of_size(longest, LayerBudget::of_ratio(visible, ratio).target)
            }
            Budget::Size(size) => LayerBudget::of_size(longest, size),
            Budget::Channels(ratio) => LayerBudget::of_ratio(longest, ratio),
        };
        let rope = shape.rope.as_ref();
        let frequencies = frequencies(at);
        let layer = LayerRef {
            layer: at.layer,
            layers: model.config.layers,
            heads: shape.heads,
            head_dim: dim,
            value_dim: dim,
            tokens_seen: at.seen,
            budget,
            seed: plan.seed,
            attention_scale: shape.scale as f32,
            softcap: 0.0,
            sliding_window: shape.window.unwrap_or(0),
            rope: RopeRef {
                inverse_frequencies: &frequencies,
                attention_factor: rope.map_or(1.0, |rope| rope.attention_factor as f32),
                layout: RopeLayout::Halves,
                keys_rotated: !plan.before_rope,
            },
            kv_heads: &heads,
            side: &side,
        };
        let kept = press.press(&layer).map_err(|error| error.to_string())?;
        for ((head, kept), store) in contents.heads.iter_mut().zip(kept).zip(&mut store.heads) {
            if let Some(channels) = &kept.key_channels {
                let before = head.len();
                let mut keys = vec![0.0; before * dim];
                keys.chunks_exact_mut(dim)
                    .enumerate()
                    .for_each(|(entry, key)| head.key(entry, key));
                let rows = keys.chunks_exact(dim);
                head.keys = rows.flat_map(|key| channels.iter().map(|&c| key[c])).collect();
                head.key_channels = Some(channels.iter().map(|&c| c as u16).collect());
                for entry in store.entries.iter_mut().filter(|entry| !entry.coded) {
                    entry.key_bytes = (channels.len() * model.dtype.size()) as f64;
                }
            }
            keep(head, &kept.entries, dim);
            store.keep(&kept.entries);
            if let Some(values) = kept.values {
                head.values = values;
            }
            if let Some(keys) = kept.keys {
                let channels = head.key_channels.as_deref();
                head.keys = match channels {
                    None => keys,
                    Some(channels) => {
                        let rows = keys.chunks_exact(dim);
                        rows.flat_map(|key| channels.iter().map(|&c| key[usize::from(c)])).collect()
                    }
                };
            }
        }
        Ok(())
    }

    /// Codes the entries that have left the recent ones, keys and values apart.
    fn code(
        &mut self,
        plan: &CachePlan,
        model: &Model<'_>,
        at: At<'_>,
        contents: &mut CacheContents,
    ) -> Result<(), String> {
        let OpenCache { ends, layers, counts, payload, .. } = self;
        let [key, value] = &mut ends[plan.codecs_of[at.layer]];
        if key.is_none() && value.is_none() {
            return Ok(());
        }
        let store = &mut layers[at.layer];
        let (first, end) =
            (plan.sinks.max(store.coded as usize), at.seen.saturating_sub(plan.recent));
        if end <= first {
            return Ok(());
        }
        store.coded = end as u32;
        // Entries of every head that are coded now. Repositioned entries are known by their order.
        let ranges: Vec<Vec<usize>> = contents
            .heads
            .iter()
            .zip(&store.heads)
            .map(|(head, store)| {
                let fresh = |entry: &usize| {
                    let position = head.positions[*entry] as usize;
                    !store.entries[*entry].coded && position >= plan.sinks && position < end
                };
                (0..head.len()).filter(fresh).collect()
            })
            .collect();
        let dim = at.shape.head_dim;
        let together = contents.heads.windows(2).all(|pair| {
            pair[0].positions == pair[1].positions
                && pair[0].key_channels.is_none()
                && pair[1].key_channels.is_none()
        });
        let groups: Vec<Vec<usize>> = match together {
            true => vec![(0..contents.heads.len()).collect()],
            false => (0..contents.heads.len()).map(|head| vec![head]).collect(),
        };
        let [key_counts, value_counts] = counts;
        for group in &groups {
            let entries = &ranges[group[0]];
            if entries.is_empty() {
                continue;
            }
            for (part, ends, counts) in [
                (Part::Key, &mut *key, &mut *key_counts),
                (Part::Value, &mut *value, &mut *value_counts),
            ] {
                let Some(ends) = ends else { continue };
                let message = Message { part, group, entries, dim, dtype: model.dtype };
                let bytes = message.cross(ends, payload, contents, counts)?;
                for &head in group {
                    let share = bytes as f64 / (entries.len() * group.len()) as f64;
                    let HeadStore { entries: stores, .. } = &mut store.heads[head];
                    for &entry in entries {
                        match part {
                            Part::Key => stores[entry].key_bytes = share,
                            Part::Value => stores[entry].value_bytes = share,
                        }
                    }
                }
            }
            for &head in group {
                entries.iter().for_each(|&entry| store.heads[head].entries[entry].coded = true);
            }
        }
        Ok(())
    }

    /// What the window's cache costs as it is stored now, beside `tokens` tokens of an uncompressed one.
    pub(crate) fn measure(&mut self, model: &Model<'_>, tokens: usize) {
        let size = model.dtype.size();
        let stored = self.layers.iter().map(|store| store.bytes());
        let stored = stored.fold([0.0; 2], |sum, [keys, values]| [sum[0] + keys, sum[1] + values]);
        let values = model.cache_values(tokens);
        for (counts, stored) in self.counts.iter_mut().zip(stored) {
            counts.tokens = tokens as u64;
            counts.values = values as u64;
            counts.raw_bytes = (values * size) as u64;
            counts.payload_bytes = stored.round() as u64;
        }
    }

    /// The costs of the window.
    pub(crate) fn counts(&self) -> Vec<LinkCounts> {
        self.counts.to_vec()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Key,
    Value,
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
        payload: &mut Vec<u8>,
        contents: &mut CacheContents,
        counts: &mut LinkCounts,
    ) -> Result<usize, String> {
        let width = |head: &HeadEntries| match self.part {
            Part::Key => head.key_channels.as_ref().map_or(self.dim, Vec::len),
            Part::Value => self.dim,
        };
        let widths: Vec<usize> =
            self.group.iter().map(|&head| width(&contents.heads[head])).collect();
        let (rows, channels) = (self.entries.len(), widths.iter().sum::<usize>());
        if channels == 0 {
            return Ok(0);
        }
        let mut sent = Vec::with_capacity(rows * channels);
        for &entry in self.entries {
            for (&head, &width) in self.group.iter().zip(&widths) {
                let head = &contents.heads[head];
                let values = if self.part == Part::Key { &head.keys } else { &head.values };
                sent.extend_from_slice(&values[entry * width..(entry + 1) * width]);
            }
        }
        let mut input = vec![0; sent.len() * self.dtype.size()];
        self.dtype.encode(&sent, &mut input);
        // All ones is NaN in every dtype: what a decoder leaves unwritten cannot pass for a value.
        let mut output = vec![0xff; input.len()];
        let dtype = convert::loader_dtype(self.dtype);
        let what = if self.part == Part::Key { "keys" } else { "values" };
        ends.encoder.reset().map_err(|error| format!("{what}, encoder reset: {error}"))?;
        ends.decoder.reset().map_err(|error| format!("{what}, decoder reset: {error}"))?;
        payload.clear();
        let message = MatrixRef { rows, channels, dtype, bytes: &input, side: &[] };
        timed(&mut counts.encode_s, || ends.encoder.encode(message, payload))
            .map_err(|error| format!("{what}, encode of {rows}x{channels}: {error}"))?;
        let message = MatrixMut { rows, channels, dtype, bytes: &mut output };
        timed(&mut counts.decode_s, || ends.decoder.decode(payload, message)).map_err(|error| {
            format!("{what}, decode of {} bytes to {rows}x{channels}: {error}", payload.len())
        })?;
        counts.messages += 1;
        let mut arrived = vec![0.0; sent.len()];
        self.dtype.decode(&output, &mut arrived);
        counts.distortion.push(&sent, &arrived);
        let bytes = payload.len() as u64;
        counts.shortfall.merge(&shortfall_of_values((channels, dtype), &sent, &arrived, bytes));
        let mut arrived = arrived.as_slice();
        for &entry in self.entries {
            for (&head, &width) in self.group.iter().zip(&widths) {
                let (values, rest) = arrived.split_at(width);
                let head = &mut contents.heads[head];
                let target = if self.part == Part::Key { &mut head.keys } else { &mut head.values };
                target[entry * width..(entry + 1) * width].copy_from_slice(values);
                arrived = rest;
            }
        }
        Ok(payload.len())
    }
}

/// One for each pair of channels that turns.
fn frequencies(at: At<'_>) -> Vec<f32> {
    let rope = at.shape.rope.as_ref();
    rope.map_or_else(Vec::new, |rope| rope.frequencies(rope.is_long(at.seen)))
}

/// Keys with all channels, where some are gone.
fn all_channels(head: &HeadEntries, dim: usize) -> Option<Vec<f32>> {
    head.key_channels.as_ref()?;
    let mut keys = vec![0.0; head.len() * dim];
    keys.chunks_exact_mut(dim).enumerate().for_each(|(entry, key)| head.key(entry, key));
    Some(keys)
}

/// Gives the entries the positions 0, 1, 2, … and turns their keys by the difference.
fn reposition(head: &mut HeadEntries, frequencies: &[f32], dim: usize, unturned: bool) {
    let half = frequencies.len();
    if !unturned && head.key_channels.is_none() {
        for (entry, key) in head.keys.chunks_exact_mut(dim).enumerate() {
            let shift = entry as f64 - f64::from(head.positions[entry]);
            for (pair, &frequency) in frequencies.iter().enumerate() {
                let (sin, cos) = (shift * f64::from(frequency)).sin_cos();
                let (low, high) = (f64::from(key[pair]), f64::from(key[pair + half]));
                key[pair] = (low * cos - high * sin) as f32;
                key[pair + half] = (high * cos + low * sin) as f32;
            }
        }
    }
    head.positions = (0..head.len() as u32).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositioned_keys_are_turned_by_the_difference() {
        let frequencies = [0.5f32, 0.1];
        let turned = |position: f64, raw: [f64; 4]| -> Vec<f32> {
            let mut key = [0.0; 4];
            for pair in 0..2 {
                let (sin, cos) = (position * f64::from(frequencies[pair])).sin_cos();
                key[pair] = raw[pair] * cos - raw[pair + 2] * sin;
                key[pair + 2] = raw[pair + 2] * cos + raw[pair] * sin;
            }
            key.iter().map(|&value| value as f32).collect()
        };
        let raw = [1.0, -2.0, 0.5, 3.0];
        let mut head = HeadEntries {
            positions: vec![3, 70],
            keys: [turned(3.0, raw), turned(70.0, raw)].concat(),
            values: vec![0.0; 8],
            key_channels: None,
        };
        reposition(&mut head, &frequencies, 4, false);
        assert_eq!(head.positions, [0, 1]);
        let expected = [turned(0.0, raw), turned(1.0, raw)].concat();
        for (found, expected) in head.keys.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }
}
