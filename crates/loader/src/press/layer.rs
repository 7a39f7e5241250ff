//! One layer's cache as the host passes it to a press, and what the press keeps of it.

use strait_abi::press::{ROPE_HALVES, ROPE_PAIRS};

/// One layer to press. Attention heads `kv * group .. (kv + 1) * group` share kv head `kv`.
#[derive(Clone, Copy, Debug)]
pub struct LayerRef<'a> {
    /// Index of the layer, from 0.
    pub layer: usize,
    /// Number of layers in the model.
    pub layers: usize,
    /// Number of attention heads; a multiple of the kv heads.
    pub heads: usize,
    /// Channels of a key or query.
    pub head_dim: usize,
    /// Channels of a value.
    pub value_dim: usize,
    /// Tokens of the sequence so far, including evicted ones: the position of the next token.
    pub tokens_seen: usize,
    /// How much may stay.
    pub budget: LayerBudget,
    /// Seed for all randomness of the press.
    pub seed: u64,
    /// Factor applied to `q k` before the softmax.
    pub attention_scale: f32,
    /// Scores are `softcap * tanh(score / softcap)` before the softmax; 0 for none.
    pub softcap: f32,
    /// Number of tokens that a query attends to, itself included; 0 for all.
    pub sliding_window: usize,
    /// The rotary position embedding of keys and queries.
    pub rope: RopeRef<'a>,
    /// The entries of each kv head.
    pub kv_heads: &'a [KvHeadRef<'a>],
    /// The side information requested with [`needs`](crate::PressInstance::needs).
    pub side: &'a [SideRef<'a>],
}

/// The entries of one kv head, in the order of their positions.
#[derive(Clone, Copy, Debug)]
pub struct KvHeadRef<'a> {
    /// Keys as cached, `[entries, head_dim]`; a channel that was removed before is 0.
    pub keys: &'a [f32],
    /// Values, `[entries, value_dim]`.
    pub values: &'a [f32],
    /// Position of each entry's token in the sequence, ascending.
    pub positions: &'a [u32],
}

/// Side information: one of the names of this crate, and its values in the layout that
/// `docs/abi.md` gives for the name.
#[derive(Clone, Copy, Debug)]
pub struct SideRef<'a> {
    /// The name.
    pub name: &'a str,
    /// Number of tokens that it covers, the last of the sequence; 0 if it is not indexed by token.
    pub tokens: usize,
    /// The values.
    pub values: &'a [f32],
}

/// The rotary position embedding as the model applies it; without frequencies there is none.
#[derive(Clone, Copy, Debug)]
pub struct RopeRef<'a> {
    /// Angle per position of each pair of channels; the first `2 * len` channels are rotated.
    pub inverse_frequencies: &'a [f32],
    /// Factor applied to sine and cosine; 1 except for scaled ropes.
    pub attention_factor: f32,
    /// Which channels are rotated together.
    pub layout: RopeLayout,
    /// Whether the keys are already rotated.
    pub keys_rotated: bool,
}

/// Which channels are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeLayout {
    /// Channels `i` and `i + rotated / 2`.
    Halves,
    /// Channels `2 i` and `2 i + 1`.
    Pairs,
}

impl RopeLayout {
    pub(crate) fn tag(self) -> u32 {
        match self {
            RopeLayout::Halves => ROPE_HALVES,
            RopeLayout::Pairs => ROPE_PAIRS,
        }
    }
}

/// How much of a layer may stay: the entries of each kv head, or their mean where heads may differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerBudget {
    /// Number of entries that a kv head keeps.
    pub target: usize,
    /// The share of the entries to remove, 0 to 1.
    pub ratio: f64,
}

impl LayerBudget {
    /// Removes the share `ratio` of `entries`, rounding the number kept down; at least one entry
    /// stays, unless the ratio is 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn of_ratio(entries: usize, ratio: f64) -> Self {
        if ratio >= 1.0 || entries == 0 {
            return LayerBudget { target: 0, ratio };
        }
        // The slack keeps a product such as 10 * (1 - 0.9) from losing an entry to rounding.
        let target = (entries as f64 * (1.0 - ratio) + 1e-9) as usize;
        LayerBudget { target: target.clamp(1, entries), ratio }
    }

    /// Keeps at most `size` of `entries`.
    pub fn of_size(entries: usize, size: usize) -> Self {
        let target = size.min(entries);
        let ratio = if entries == 0 { 0.0 } else { 1.0 - target as f64 / entries as f64 };
        LayerBudget { target, ratio }
    }
}

/// What one kv head keeps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptHead {
    /// Indices of the kept entries, ascending, each once.
    pub entries: Vec<usize>,
    /// `[kept, head_dim]`: keys to store in place of the kept ones.
    pub keys: Option<Vec<f32>>,
    /// `[kept, value_dim]`: values to store in place of the kept ones.
    pub values: Option<Vec<f32>>,
    /// Key channels to keep, ascending, each once; `None` keeps all. Either every head of a layer
    /// has a list, or none has.
    pub key_channels: Option<Vec<usize>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_exact() {
        let target = |entries, ratio| LayerBudget::of_ratio(entries, ratio).target;
        assert_eq!([target(10, 0.0), target(10, 0.9), target(10, 0.95)], [10, 1, 1]);
        assert_eq!([target(10, 1.0), target(0, 0.5), target(1, 0.99)], [0, 0, 1]);
        assert_eq!([target(103, 0.5), target(1000, 0.875)], [51, 125]);
        assert_eq!(LayerBudget::of_size(8, 2), LayerBudget { target: 2, ratio: 0.75 });
        assert_eq!(LayerBudget::of_size(8, 9), LayerBudget { target: 8, ratio: 0.0 });
        assert_eq!(LayerBudget::of_size(0, 9), LayerBudget { target: 0, ratio: 0.0 });
    }
}
