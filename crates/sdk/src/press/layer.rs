//! One layer's cache as a press sees it.

use std::borrow::Cow;

use strait_abi::press::LayerRequest;

use super::Rope;
use super::side::Side;
use crate::{Error, Result};

/// One layer to press: its entries, its place in the model, and how much may stay.
#[derive(Clone, Debug)]
pub struct Layer<'a> {
    pub(super) index: usize,
    pub(super) count: usize,
    pub(super) query_heads: usize,
    pub(super) tokens_seen: usize,
    pub(super) target: usize,
    pub(super) ratio: f64,
    pub(super) seed: u64,
    pub(super) sinks: usize,
    pub(super) attention_scale: f32,
    pub(super) softcap: f32,
    pub(super) sliding_window: usize,
    pub(super) rope: Rope<'a>,
    pub(super) heads: Vec<Head<'a>>,
    pub(super) side: Side<'a>,
}

/// The entries of one kv head, in the order of their positions.
#[derive(Clone, Debug)]
pub struct Head<'a> {
    key_dim: usize,
    value_dim: usize,
    keys: Cow<'a, [f32]>,
    values: Cow<'a, [f32]>,
    positions: Cow<'a, [u32]>,
}

impl<'a> Layer<'a> {
    /// Reads a request of the host.
    ///
    /// # Errors
    /// Sizes that do not fit together.
    pub fn new(request: &LayerRequest<'a>) -> Result<Self> {
        let heads = request
            .kv_heads
            .as_slice()
            .iter()
            .map(|head| {
                Head::new(
                    (request.head_dim, request.value_dim),
                    Cow::Borrowed(head.keys.as_slice()),
                    Cow::Borrowed(head.values.as_slice()),
                    Cow::Borrowed(head.positions.as_slice()),
                )
            })
            .collect::<Result<Vec<_>>>()?;
        if heads.is_empty() || !request.heads.is_multiple_of(heads.len()) || request.heads == 0 {
            let found = format!("{} heads over {} kv heads", request.heads, heads.len());
            return Err(Error::new(format!(
                "layer: expected a multiple of kv heads, found {found}"
            )));
        }
        let side = Side::new(request, &heads)?;
        Ok(Layer {
            index: request.layer,
            count: request.layers,
            query_heads: request.heads,
            tokens_seen: request.tokens_seen,
            target: request.target,
            ratio: request.ratio,
            seed: request.seed,
            sinks: 0,
            attention_scale: request.attention_scale,
            softcap: request.softcap,
            sliding_window: request.sliding_window,
            rope: Rope::new(&request.rope)?,
            heads,
            side,
        })
    }

    /// The same layer with this many sinks.
    #[must_use]
    pub fn with_sinks(self, sinks: usize) -> Self {
        Layer { sinks, ..self }
    }

    /// The kv heads.
    pub fn heads(&self) -> &[Head<'a>] {
        &self.heads
    }

    /// Index of the layer, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Layers of the model.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Attention heads that share one kv head.
    pub fn group(&self) -> usize {
        self.query_heads / self.heads.len()
    }

    /// Attention heads of all groups.
    pub fn query_heads(&self) -> usize {
        self.query_heads
    }

    /// Channels of a key and of a query.
    pub fn head_dim(&self) -> usize {
        self.heads[0].key_dim
    }

    /// Tokens of the sequence so far, evicted ones too: the position of the next token.
    pub fn tokens_seen(&self) -> usize {
        self.tokens_seen
    }

    /// Entries that a kv head keeps, or keeps on average.
    pub fn target(&self) -> usize {
        self.target
    }

    /// The share of the entries that goes, 0 to 1.
    pub fn ratio(&self) -> f64 {
        self.ratio
    }

    /// Seed of everything random.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// First entries of each kv head that stay whatever their scores: the common parameter `sinks`.
    pub fn sinks(&self) -> usize {
        self.sinks
    }

    /// What `q k` is multiplied by before the softmax.
    pub fn attention_scale(&self) -> f32 {
        self.attention_scale
    }

    /// How positions are put into keys and queries.
    pub fn rope(&self) -> &Rope<'a> {
        &self.rope
    }

    /// The entries `from[kv head]` of every kv head, with the queries and the tokens seen up to the
    /// position `end`: the layer as it was when the token before `end` was the last one.
    pub(super) fn part(&self, from: &[Vec<usize>], begin: usize, end: usize) -> Layer<'_> {
        let heads: Vec<_> =
            self.heads.iter().zip(from).map(|(head, entries)| head.gather(entries)).collect();
        let side = self.side.part(self, from, begin, end);
        Layer { tokens_seen: end, rope: self.rope.clone(), heads, side, ..*self }
    }
}

impl<'a> Head<'a> {
    fn new(
        (key_dim, value_dim): (usize, usize),
        keys: Cow<'a, [f32]>,
        values: Cow<'a, [f32]>,
        positions: Cow<'a, [u32]>,
    ) -> Result<Self> {
        let entries = positions.len();
        let fits = |dim: usize, found: usize| entries.checked_mul(dim) == Some(found);
        if key_dim == 0
            || value_dim == 0
            || !fits(key_dim, keys.len())
            || !fits(value_dim, values.len())
        {
            return Err(Error::new(format!(
                "layer: expected {entries} keys of {key_dim} channels and values of {value_dim}, \
                 found {} and {} numbers",
                keys.len(),
                values.len()
            )));
        }
        Ok(Head { key_dim, value_dim, keys, values, positions })
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The keys, one slice `[head_dim]` for each entry.
    pub fn keys(&self) -> std::slice::ChunksExact<'_, f32> {
        self.keys.chunks_exact(self.key_dim)
    }

    /// The values, one slice `[value_dim]` for each entry.
    pub fn values(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.value_dim)
    }

    /// One key.
    pub fn key(&self, entry: usize) -> &[f32] {
        &self.keys[entry * self.key_dim..][..self.key_dim]
    }

    /// One value.
    pub fn value(&self, entry: usize) -> &[f32] {
        &self.values[entry * self.value_dim..][..self.value_dim]
    }

    /// All keys, `[entries, head_dim]`.
    pub fn all_keys(&self) -> &[f32] {
        &self.keys
    }

    /// All values, `[entries, value_dim]`.
    pub fn all_values(&self) -> &[f32] {
        &self.values
    }

    /// Channels of a value.
    pub fn value_dim(&self) -> usize {
        self.value_dim
    }

    /// Position of each entry's token in the sequence.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    fn gather<'b>(&self, entries: &[usize]) -> Head<'b> {
        let rows = |dim: usize, all: &[f32]| -> Vec<f32> {
            entries.iter().flat_map(|e| &all[e * dim..][..dim]).copied().collect()
        };
        Head {
            key_dim: self.key_dim,
            value_dim: self.value_dim,
            keys: Cow::Owned(rows(self.key_dim, &self.keys)),
            values: Cow::Owned(rows(self.value_dim, &self.values)),
            positions: entries.iter().map(|e| self.positions[*e]).collect(),
        }
    }
}
