//! Several presses on one layer, one after the other.

use strait_abi::press::{ATTENTION_COUNT, ATTENTION_SUM, OUTPUT_NORM, WINDOW_ATTENTION};

use super::{KeptHead, KvHeadRef, LayerBudget, LayerRef, PressError, PressInstance, SideRef};

/// Presses a layer with several presses in turn, each with a budget of its own: each sees what the
/// ones before it have left, with merged values and with removed key channels as 0.
///
/// A budget is made from the entries that are left: `budgets[i](entries)`. Shares multiply: what
/// stays of ratios `r` is `(1 - r_1) (1 - r_2) …`.
///
/// # Errors
/// Those of [`PressInstance::press`].
pub fn press_in_turn(
    layer: &LayerRef<'_>,
    presses: &mut [(&mut PressInstance, &dyn Fn(usize) -> LayerBudget)],
) -> Result<Vec<KeptHead>, PressError> {
    let mut left = Left::of(layer);
    for (press, budget) in presses {
        let heads = left.heads();
        let side = left.side();
        let longest = heads.iter().map(|head| head.positions.len()).max().unwrap_or(0);
        let budget = budget(longest);
        let kept = press.press(&LayerRef { budget, kv_heads: &heads, side: &side, ..*layer })?;
        left.keep(layer, kept);
    }
    Ok(left.into_kept())
}

/// What is left of a layer.
struct Left<'a> {
    heads: Vec<LeftHead>,
    side: Vec<(SideRef<'a>, Option<Vec<f32>>)>,
}

struct LeftHead {
    /// Places in the layer as it was at first.
    entries: Vec<usize>,
    keys: Vec<f32>,
    values: Vec<f32>,
    positions: Vec<u32>,
    keys_changed: bool,
    values_changed: bool,
    key_channels: Option<Vec<usize>>,
}

impl<'a> Left<'a> {
    fn of(layer: &LayerRef<'a>) -> Self {
        let head = |head: &KvHeadRef<'_>| LeftHead {
            entries: (0..head.positions.len()).collect(),
            keys: head.keys.to_vec(),
            values: head.values.to_vec(),
            positions: head.positions.to_vec(),
            keys_changed: false,
            values_changed: false,
            key_channels: None,
        };
        let side = layer.side.iter().map(|array| (*array, None)).collect();
        Left { heads: layer.kv_heads.iter().map(head).collect(), side }
    }

    fn heads(&self) -> Vec<KvHeadRef<'_>> {
        let heads = self.heads.iter();
        heads
            .map(|LeftHead { keys, values, positions, .. }| KvHeadRef { keys, values, positions })
            .collect()
    }

    fn side(&self) -> Vec<SideRef<'_>> {
        let mut side = Vec::with_capacity(self.side.len());
        for (array, values) in &self.side {
            side.push(SideRef { values: values.as_deref().unwrap_or(array.values), ..*array });
        }
        side
    }

    fn keep(&mut self, layer: &LayerRef<'_>, kept: Vec<KeptHead>) {
        let before: Vec<usize> = self.heads.iter().map(|head| head.entries.len()).collect();
        for (array, values) in &mut self.side {
            let per_query_head = layer.heads / self.heads.len();
            let (rows, tokens) = match array.name {
                ATTENTION_SUM | OUTPUT_NORM => (per_query_head, 1),
                WINDOW_ATTENTION => (per_query_head, array.tokens),
                ATTENTION_COUNT => (1, 1),
                _ => continue,
            };
            let from = values.as_deref().unwrap_or(array.values);
            let mut left = Vec::new();
            let mut begin = 0;
            for (entries, kept) in before.iter().zip(&kept) {
                for _ in 0..rows * tokens {
                    left.extend(kept.entries.iter().map(|e| from[begin + e]));
                    begin += entries;
                }
            }
            *values = Some(left);
        }
        for (head, kept) in self.heads.iter_mut().zip(kept) {
            head.keep((layer.head_dim, layer.value_dim), kept);
        }
    }

    fn into_kept(self) -> Vec<KeptHead> {
        let kept = |head: LeftHead| KeptHead {
            entries: head.entries,
            keys: head.keys_changed.then_some(head.keys),
            values: head.values_changed.then_some(head.values),
            key_channels: head.key_channels,
        };
        self.heads.into_iter().map(kept).collect()
    }
}

impl LeftHead {
    fn keep(&mut self, (key_dim, value_dim): (usize, usize), kept: KeptHead) {
        let gather = |all: &[f32], dim: usize| -> Vec<f32> {
            kept.entries.iter().flat_map(|e| &all[e * dim..][..dim]).copied().collect()
        };
        self.keys_changed |= kept.keys.is_some();
        self.values_changed |= kept.values.is_some();
        self.keys = kept.keys.unwrap_or_else(|| gather(&self.keys, key_dim));
        self.values = kept.values.unwrap_or_else(|| gather(&self.values, value_dim));
        self.positions = kept.entries.iter().map(|e| self.positions[*e]).collect();
        self.entries = kept.entries.iter().map(|e| self.entries[*e]).collect();
        if let Some(channels) = kept.key_channels {
            // A channel that an earlier press removed stays removed.
            let before = self.key_channels.take();
            let still = |channel: &usize| before.as_ref().is_none_or(|b| b.contains(channel));
            let channels: Vec<usize> = channels.into_iter().filter(still).collect();
            for key in self.keys.chunks_exact_mut(key_dim) {
                for (channel, value) in key.iter_mut().enumerate() {
                    if channels.binary_search(&channel).is_err() {
                        *value = 0.0;
                    }
                }
            }
            self.key_channels = Some(channels);
        }
    }
}
