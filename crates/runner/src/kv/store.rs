//! What each cached entry costs, and the attention that it has received.

use strait_model::{AttentionShape, CacheContents, HeadEntries};

/// What is known of the entries of one layer, beside their keys and values.
#[derive(Debug, Default)]
pub(crate) struct LayerStore {
    /// One for each key head.
    pub(crate) heads: Vec<HeadStore>,
    /// Entries before this position have been coded.
    pub(crate) coded: u32,
}

/// What is known of the entries of one key head, in their order.
#[derive(Debug, Default)]
pub(crate) struct HeadStore {
    pub(crate) entries: Vec<EntryStore>,
    /// For every query head of the group, attention received by every entry.
    pub(crate) attention: Vec<Vec<f32>>,
}

/// Bytes of an entry; a coded one has its share of a payload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct EntryStore {
    pub(crate) key_bytes: f64,
    pub(crate) value_bytes: f64,
    pub(crate) coded: bool,
}

impl LayerStore {
    /// Takes in the entries that were added since the last time. `size` is the bytes of a value in the
    /// model's dtype.
    pub(crate) fn follow(&mut self, contents: &CacheContents, shape: &AttentionShape, size: usize) {
        let group = shape.heads / shape.kv_heads;
        self.heads.resize_with(contents.heads.len(), HeadStore::default);
        for (store, head) in self.heads.iter_mut().zip(&contents.heads) {
            let channels = head.key_channels.as_ref().map_or(shape.head_dim, Vec::len);
            let fresh = EntryStore {
                key_bytes: (channels * size) as f64,
                value_bytes: (shape.head_dim * size) as f64,
                coded: false,
            };
            store.entries.resize(head.len(), fresh);
            store.attention.resize_with(group, Vec::new);
            store.attention.iter_mut().for_each(|received| received.resize(head.len(), 0.0));
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

impl HeadStore {
    /// Keeps these entries.
    pub(crate) fn keep(&mut self, kept: &[usize]) {
        self.entries = kept.iter().map(|&entry| self.entries[entry]).collect();
        for received in &mut self.attention {
            *received = kept.iter().map(|&entry| received[entry]).collect();
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
