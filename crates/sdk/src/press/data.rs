//! A layer that owns its memory, for tests and tools.

use strait_abi::press::{KvHeadView, LayerRequest, ROPE_HALVES, RopeView, SideArray};

use super::{Kept, Opened, Press, Scores};
use crate::Result;
use crate::serde_json::Value;

/// A layer with its own memory. The fields are those of
/// [`LayerRequest`]; [`LayerData::new`] fills in what seldom matters.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "as in LayerRequest")]
pub struct LayerData {
    pub layer: usize,
    pub layers: usize,
    pub heads: usize,
    pub head_dim: usize,
    pub value_dim: usize,
    pub tokens_seen: usize,
    pub target: usize,
    pub ratio: f64,
    pub seed: u64,
    pub attention_scale: f32,
    pub softcap: f32,
    pub sliding_window: usize,
    pub inverse_frequencies: Vec<f32>,
    pub attention_factor: f32,
    pub rope_layout: u32,
    pub keys_rotated: bool,
    pub kv_heads: Vec<HeadData>,
    pub side: Vec<SideData>,
}

/// The entries of one kv head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeadData {
    /// `[entries, head_dim]`.
    pub keys: Vec<f32>,
    /// `[entries, value_dim]`.
    pub values: Vec<f32>,
    /// Position of each entry.
    pub positions: Vec<u32>,
}

/// Side information.
#[derive(Clone, Debug, PartialEq)]
pub struct SideData {
    /// One of the names of [`abi`](super::abi).
    pub name: String,
    /// Tokens that it covers.
    pub tokens: usize,
    /// The values.
    pub values: Vec<f32>,
}

impl LayerData {
    /// A layer of `heads` attention heads over these kv heads, with keys and values of `head_dim`
    /// channels. It is the only layer, all entries may stay, and there is no rope.
    pub fn new(heads: usize, head_dim: usize, kv_heads: Vec<HeadData>) -> Self {
        let entries = |head: &HeadData| head.positions.len();
        let tokens_seen = kv_heads.iter().filter_map(|head| head.positions.last()).max();
        LayerData {
            layer: 0,
            layers: 1,
            heads,
            head_dim,
            value_dim: head_dim,
            tokens_seen: tokens_seen.map_or(0, |last| *last as usize + 1),
            target: kv_heads.iter().map(entries).max().unwrap_or(0),
            ratio: 0.0,
            seed: 0,
            attention_scale: 1.0 / (head_dim as f32).sqrt(),
            softcap: 0.0,
            sliding_window: 0,
            inverse_frequencies: Vec::new(),
            attention_factor: 1.0,
            rope_layout: ROPE_HALVES,
            keys_rotated: true,
            kv_heads,
            side: Vec::new(),
        }
    }

    /// The same layer, pressed to the share that `ratio` leaves.
    #[must_use]
    pub fn pressed(&self, ratio: f64) -> Self {
        let entries = self.kv_heads.iter().map(|head| head.positions.len()).max().unwrap_or(0);
        LayerData { target: super::budget::kept(entries, ratio), ratio, ..self.clone() }
    }

    /// Calls `f` with the layer as it crosses the boundary.
    pub fn with_request<R>(&self, f: impl FnOnce(LayerRequest<'_>) -> R) -> R {
        let mut kv_heads = Vec::with_capacity(self.kv_heads.len());
        for head in &self.kv_heads {
            kv_heads.push(KvHeadView {
                keys: head.keys.as_slice().into(),
                values: head.values.as_slice().into(),
                positions: head.positions.as_slice().into(),
            });
        }
        let mut side = Vec::with_capacity(self.side.len());
        for array in &self.side {
            side.push(SideArray {
                name: array.name.as_str().into(),
                tokens: array.tokens,
                values: array.values.as_slice().into(),
            });
        }
        f(LayerRequest {
            layer: self.layer,
            layers: self.layers,
            heads: self.heads,
            head_dim: self.head_dim,
            value_dim: self.value_dim,
            tokens_seen: self.tokens_seen,
            target: self.target,
            ratio: self.ratio,
            seed: self.seed,
            attention_scale: self.attention_scale,
            softcap: self.softcap,
            sliding_window: self.sliding_window,
            rope: RopeView {
                inverse_frequencies: self.inverse_frequencies.as_slice().into(),
                attention_factor: self.attention_factor,
                layout: self.rope_layout,
                keys_rotated: self.keys_rotated,
            },
            kv_heads: kv_heads.as_slice().into(),
            side: side.as_slice().into(),
        })
    }

    /// What a press keeps of the layer, opened with these parameters.
    ///
    /// # Errors
    /// Those of the press.
    pub fn press<P: Press>(&self, params: &Value) -> Result<Vec<Kept>> {
        let mut press = Opened::<P>::new(params)?;
        self.with_request(|request| press.press(&request))
    }

    /// The scores of a press for the layer, opened with these parameters.
    ///
    /// # Errors
    /// Those of the press.
    pub fn score<P: Press>(&self, params: &Value) -> Result<Scores> {
        let mut press = Opened::<P>::new(params)?;
        self.with_request(|request| press.score(&request))
    }
}
