//! What a press is given and what it returns: the types of plugin kind 2 that cross the boundary.
//!
//! A press is called once for each layer, with the entries of the layer's cache. Attention heads
//! that share one kv head are a group; heads `kv * group .. (kv + 1) * group` belong to kv head `kv`.
//! Each kv head may have another number of entries, so arrays over heads and entries are the rows of
//! the heads one after the other, each as long as its own kv head.

use abi_stable::StableAbi;
use abi_stable::std_types::{ROption, RSlice, RStr, RVec};
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// Side information: queries before rope, `[heads, tokens, head_dim]`, of the last tokens.
pub const QUERIES: &str = "queries";
/// Side information: attention that each entry has received, `[heads, entries]`, summed over queries.
pub const ATTENTION_SUM: &str = "attention-sum";
/// Side information: how many queries could see each entry and are in the sum, `[kv_heads, entries]`.
pub const ATTENTION_COUNT: &str = "attention-count";
/// Side information: attention of the last queries, `[heads, tokens, entries]`.
pub const WINDOW_ATTENTION: &str = "window-attention";
/// Side information: input of the layer's attention after its norm, `[tokens, hidden]`.
pub const HIDDEN_STATES: &str = "hidden-states";
/// Side information: the 1-norm of what each value adds to the layer's output, `|W_o v|`,
/// `[heads, entries]`.
pub const OUTPUT_NORM: &str = "output-norm";

/// [`RopeView::layout`]: channel `i` turns with channel `i + rotated / 2`.
pub const ROPE_HALVES: u32 = 0;
/// [`RopeView::layout`]: channel `2 i` turns with channel `2 i + 1`.
pub const ROPE_PAIRS: u32 = 1;

/// One layer to press; borrowed until the call returns.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct LayerRequest<'a> {
    /// Index of the layer, from 0.
    pub layer: usize,
    /// Number of layers of the model.
    pub layers: usize,
    /// Attention heads; a multiple of the kv heads.
    pub heads: usize,
    /// Channels of a key and of a query.
    pub head_dim: usize,
    /// Channels of a value.
    pub value_dim: usize,
    /// Tokens of the sequence so far, evicted ones too: the position of the next token.
    pub tokens_seen: usize,
    /// Entries that a kv head keeps, or keeps on average where heads may differ.
    pub target: usize,
    /// The share of the entries that goes, 0 to 1, from which the target was made.
    pub ratio: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// What a score `q k` is multiplied by before the softmax.
    pub attention_scale: f32,
    /// Scores are `softcap * tanh(score / softcap)` before the softmax; 0 for none.
    pub softcap: f32,
    /// A query sees this many tokens, itself too; 0 for all.
    pub sliding_window: usize,
    /// How positions are put into keys and queries.
    pub rope: RopeView<'a>,
    /// The entries of each kv head.
    pub kv_heads: RSlice<'a, KvHeadView<'a>>,
    /// What the instance asked for with `needs`, and possibly more.
    pub side: RSlice<'a, SideArray<'a>>,
}

/// The entries of one kv head, in the order of their positions.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct KvHeadView<'a> {
    /// `[entries, head_dim]` as cached; a channel that was removed before is 0.
    pub keys: RSlice<'a, f32>,
    /// `[entries, value_dim]`.
    pub values: RSlice<'a, f32>,
    /// Position of each entry's token in the sequence.
    pub positions: RSlice<'a, u32>,
}

/// Rope as the model applies it; without frequencies there is none.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct RopeView<'a> {
    /// Angle per position of each pair of channels; the first `2 * len` channels are rotated.
    pub inverse_frequencies: RSlice<'a, f32>,
    /// What sine and cosine are multiplied by; 1 but for scaled ropes.
    pub attention_factor: f32,
    /// [`ROPE_HALVES`] or [`ROPE_PAIRS`].
    pub layout: u32,
    /// Whether the keys are given rotated.
    pub keys_rotated: bool,
}

/// Named side information. A later minor may add names; a press ignores those that it does not know.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct SideArray<'a> {
    /// One of the names above.
    pub name: RStr<'a>,
    /// Tokens that it covers, the last ones of the sequence; 0 where it is not over tokens.
    pub tokens: usize,
    /// The values, in the layout of the name.
    pub values: RSlice<'a, f32>,
}

/// Result of `press`. With an ok outcome there is one head for each kv head.
#[repr(C)]
#[derive(Debug, StableAbi)]
pub struct Pressed {
    /// How the call ended.
    pub outcome: Outcome,
    /// What each kv head keeps; owned by the host, freed by the plugin's allocator.
    pub kv_heads: RVec<PressedHead>,
}

/// What one kv head keeps.
#[repr(C)]
#[derive(Debug, StableAbi)]
pub struct PressedHead {
    /// Indices of the kept entries, ascending, each once.
    pub kept: RVec<u32>,
    /// `[kept, head_dim]`: keys to store in place of the kept ones.
    pub keys: ROption<RVec<f32>>,
    /// `[kept, value_dim]`: values to store in place of the kept ones.
    pub values: ROption<RVec<f32>>,
    /// Key channels to keep, ascending, each once; all where absent.
    pub key_channels: ROption<RVec<u32>>,
}

/// What an open press wants beside keys and values: the JSON of `needs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PressNeeds {
    /// Side information by name.
    pub side: Vec<SideNeed>,
}

/// One piece of side information that an open press wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideNeed {
    /// One of the names above.
    pub name: String,
    /// Of how many last tokens, where the name is over tokens; absent for every token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
}
