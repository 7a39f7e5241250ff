//! The ledger of a cache: what each cached entry costs, and the attention that it has received. The
//! entries themselves are with the model.

use std::sync::Arc;

use strait_model::{AttentionShape, CacheContents, HeadEntries};

/// What is known of the entries of one layer, beside their keys and values.
#[derive(Debug, Default)]
pub(crate) struct LayerLedger {
    /// One for each key head.
    pub(crate) heads: Vec<HeadLedger>,
    /// Entries before this position have been coded.
    pub(crate) coded: u32,
    /// The queries of the last tokens by every query head, for as many tokens as presses request.
    pub(crate) queries: TokenRows,
    /// The attention block's input after its norm for the last tokens, as many as presses request; it
    /// counts as the only head.
    pub(crate) states: TokenRows,
}

/// For every head a row for each of the same tokens, the last ones so far.
#[derive(Debug, Default)]
pub(crate) struct TokenRows {
    /// Number of tokens.
    pub(crate) count: usize,
    /// `[count, width]` of every head.
    pub(crate) heads: Vec<Vec<f32>>,
}

impl TokenRows {
    /// Takes in the rows of `fresh` tokens that follow, and keeps the last `most`.
    pub(crate) fn follow(&mut self, fresh: &TokenRows, most: usize) {
        self.heads.resize_with(fresh.heads.len(), Vec::new);
        let gone = (self.count + fresh.count).saturating_sub(most).min(self.count);
        for (rows, fresh) in self.heads.iter_mut().zip(&fresh.heads) {
            rows.drain(..gone * (rows.len() / self.count.max(1)));
            rows.extend_from_slice(fresh);
        }
        self.count = self.count - gone + fresh.count;
    }
}

/// What is known of the entries of one key head, in their order.
#[derive(Debug, Default)]
pub(crate) struct HeadLedger {
    pub(crate) entries: Vec<EntryCost>,
    /// The key channels that every entry still has; `None` for all. The model stores zeros in channels that
    /// a press removed from the keys cached by then, because the keys that it adds later are whole.
    pub(crate) channels: Vec<Option<Arc<[u16]>>>,
    /// The attention that every entry has received so far from each query head of the group.
    pub(crate) attention: Vec<Vec<f32>>,
    /// The 1-norm of what every value adds to the block's output through each query head of the group;
    /// empty unless a press requests it.
    pub(crate) outputs: Vec<Vec<f32>>,
    /// The attention of the last queries, `[rows, entries]` for each query head of the group; empty unless
    /// a press requests it.
    pub(crate) window: Vec<Vec<f32>>,
}

/// Which token an entry belongs to, and what it costs in bytes: the share of a payload once it is coded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct EntryCost {
    /// Position of its token in the sequence, whichever position its key is rotated to.
    pub(crate) token: u32,
    pub(crate) key_bytes: f64,
    pub(crate) value_bytes: f64,
    pub(crate) coded: bool,
}

impl LayerLedger {
    /// Takes in the entries that were added since the last time. `size` is the bytes of a value in the
    /// model's dtype.
    pub(crate) fn follow(&mut self, contents: &CacheContents, shape: &AttentionShape, size: usize) {
        let group = shape.heads / shape.kv_heads;
        self.heads.resize_with(contents.heads.len(), HeadLedger::default);
        for (ledger, head) in self.heads.iter_mut().zip(&contents.heads) {
            let channels = head.key_channels.as_ref().map_or(shape.head_dim, Vec::len);
            let fresh = |&token: &u32| EntryCost {
                token,
                key_bytes: (channels * size) as f64,
                value_bytes: (shape.value_dim * size) as f64,
                coded: false,
            };
            // Whatever removes entries removes them here too, so new ones come after those that are known.
            let known = ledger.entries.len().min(head.len());
            ledger.entries.truncate(known);
            ledger.entries.extend(head.positions[known..].iter().map(fresh));
            ledger.channels.resize(head.len(), None);
            ledger.attention.resize_with(group, Vec::new);
            ledger.attention.iter_mut().for_each(|received| received.resize(head.len(), 0.0));
        }
    }

    /// Forgets what only presses ask for.
    pub(crate) fn forget_rows(&mut self) {
        (self.queries, self.states) = Default::default();
        for head in &mut self.heads {
            (head.attention, head.outputs, head.window) = Default::default();
        }
    }

    /// Bytes of all keys and of all values.
    pub(crate) fn bytes(&self) -> [f64; 2] {
        let entries = self.heads.iter().flat_map(|head| &head.entries);
        entries.fold([0.0; 2], |[keys, values], entry| {
            [keys + entry.key_bytes, values + entry.value_bytes]
        })
    }
}

impl HeadLedger {
    /// Removes all but these key channels from the entries that still have all. `size` is the bytes of
    /// a value in the model's dtype.
    pub(crate) fn cut(&mut self, channels: &Arc<[u16]>, size: usize) {
        for (left, cost) in self.channels.iter_mut().zip(&mut self.entries) {
            if left.is_none() && !cost.coded {
                *left = Some(Arc::clone(channels));
                cost.key_bytes = (channels.len() * size) as f64;
            }
        }
    }

    /// Makes the key channels zero that the entries no longer have.
    pub(crate) fn clear(&self, keys: &mut [f32], dim: usize) {
        for (key, channels) in keys.chunks_exact_mut(dim).zip(&self.channels) {
            let Some(channels) = channels else { continue };
            let mut left = channels.iter().map(|&channel| usize::from(channel)).peekable();
            for (channel, value) in key.iter_mut().enumerate() {
                if left.next_if_eq(&channel).is_none() {
                    *value = 0.0;
                }
            }
        }
    }

    /// Keeps these entries.
    pub(crate) fn keep(&mut self, kept: &[usize]) {
        let before = self.entries.len().max(1);
        self.entries = kept.iter().map(|&entry| self.entries[entry]).collect();
        self.channels = kept.iter().map(|&entry| self.channels[entry].clone()).collect();
        for rows in &mut self.window {
            let of_row = |row: &[f32]| kept.iter().map(|&entry| row[entry]).collect::<Vec<f32>>();
            *rows = rows.chunks_exact(before).flat_map(of_row).collect();
        }
        for of_head in self.attention.iter_mut().chain(&mut self.outputs) {
            *of_head = kept.iter().map(|&entry| of_head[entry]).collect();
        }
    }
}

/// Keeps these entries of a key head, whose keys and values have this many channels.
pub(crate) fn keep(head: &mut HeadEntries, kept: &[usize], [dim, value_dim]: [usize; 2]) {
    let channels = head.key_channels.as_ref().map_or(dim, Vec::len);
    let rows = |values: &[f32], width: usize| -> Vec<f32> {
        // No more room than is needed: what is kept stays as long as the sequence.
        let mut rows = Vec::with_capacity(kept.len() * width);
        for &entry in kept {
            rows.extend_from_slice(&values[entry * width..(entry + 1) * width]);
        }
        rows
    };
    head.keys = rows(&head.keys, channels);
    head.values = rows(&head.values, value_dim);
    head.positions = kept.iter().map(|&entry| head.positions[entry]).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_go_once_from_every_entry() {
        let entry = |token| EntryCost { token, key_bytes: 8.0, value_bytes: 8.0, coded: false };
        let mut head = HeadLedger {
            entries: vec![entry(3), entry(7)],
            channels: vec![None, None],
            ..HeadLedger::default()
        };
        head.cut(&Arc::from([0, 2]), 2);
        head.entries.push(entry(8));
        head.channels.push(None);
        head.cut(&Arc::from([1]), 2);
        let mut keys = [1.0; 12];
        head.clear(&mut keys, 4);
        assert_eq!(keys, [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        let bytes: Vec<f64> = head.entries.iter().map(|entry| entry.key_bytes).collect();
        assert_eq!(bytes, [4.0, 4.0, 2.0]);
        head.keep(&[0, 2]);
        assert_eq!(head.channels[1].as_deref(), Some(&[1][..]));
        assert_eq!((head.entries[1].token, head.channels.len()), (8, 2));
    }

    #[test]
    fn the_last_tokens_are_known() {
        let mut all = TokenRows::default();
        let fresh = |tokens: std::ops::Range<usize>| TokenRows {
            count: tokens.len(),
            heads: vec![tokens.flat_map(|token| [token as f32, 0.5]).collect()],
        };
        let first = |rows: &TokenRows| {
            let tokens: Vec<f32> = rows.heads[0].iter().step_by(2).copied().collect();
            (rows.count, tokens)
        };
        all.follow(&fresh(0..2), 3);
        assert_eq!(first(&all), (2, vec![0.0, 1.0]));
        all.follow(&fresh(2..4), 3);
        assert_eq!(first(&all), (3, vec![1.0, 2.0, 3.0]));
        // In a long run, only as many tokens are probed as are wanted.
        all.follow(&fresh(5..8), 3);
        assert_eq!(first(&all), (3, vec![5.0, 6.0, 7.0]));
        all.follow(&fresh(8..9), usize::MAX);
        assert_eq!(first(&all), (4, vec![5.0, 6.0, 7.0, 8.0]));
    }
}
