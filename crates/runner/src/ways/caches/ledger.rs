//! The ledger of a cache: what each cached entry costs, and the attention that it has received. The
//! entries themselves are with the model.

use strait_model::{AttentionShape, CacheContents, HeadEntries};

/// What is known of the entries of one layer, beside their keys and values.
#[derive(Debug, Default)]
pub(crate) struct LayerLedger {
    /// One for each key head.
    pub(crate) heads: Vec<HeadLedger>,
    /// Entries before this position have been coded.
    pub(crate) coded: u32,
    /// Of every query head the queries of the last tokens, as many as presses ask for.
    pub(crate) queries: TokenRows,
    /// What the block read of the last tokens, as many as presses ask for; of no head.
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
    /// For every query head of the group, attention received by every entry.
    pub(crate) attention: Vec<Vec<f32>>,
    /// The same of how much each value can add; empty unless a press asks.
    pub(crate) outputs: Vec<Vec<f32>>,
    /// `[rows, entries]`, the attention that the last queries pay; empty unless a press asks.
    pub(crate) window: Vec<Vec<f32>>,
}

/// Bytes of an entry; a coded one has its share of a payload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct EntryCost {
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
            let fresh = EntryCost {
                key_bytes: (channels * size) as f64,
                value_bytes: (shape.head_dim * size) as f64,
                coded: false,
            };
            ledger.entries.resize(head.len(), fresh);
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
    /// Keeps these entries.
    pub(crate) fn keep(&mut self, kept: &[usize]) {
        let before = self.entries.len().max(1);
        self.entries = kept.iter().map(|&entry| self.entries[entry]).collect();
        for rows in &mut self.window {
            let of_row = |row: &[f32]| kept.iter().map(|&entry| row[entry]).collect::<Vec<f32>>();
            *rows = rows.chunks_exact(before).flat_map(of_row).collect();
        }
        for of_head in self.attention.iter_mut().chain(&mut self.outputs) {
            *of_head = kept.iter().map(|&entry| of_head[entry]).collect();
        }
    }
}

/// Keeps these entries of a key head.
pub(crate) fn keep(head: &mut HeadEntries, kept: &[usize], dim: usize) {
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
    head.values = rows(&head.values, dim);
    head.positions = kept.iter().map(|&entry| head.positions[entry]).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

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
        // Of a long run only as many were looked at as are wanted.
        all.follow(&fresh(5..8), 3);
        assert_eq!(first(&all), (3, vec![5.0, 6.0, 7.0]));
        all.follow(&fresh(8..9), usize::MAX);
        assert_eq!(first(&all), (4, vec![5.0, 6.0, 7.0, 8.0]));
    }
}
