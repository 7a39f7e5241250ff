//! One press on one layer: what it is given, and what becomes of its choice.

use std::sync::Arc;

use strait_loader::{KeptHead, KvHeadRef, LayerBudget, LayerRef, RopeLayout, RopeRef};
use strait_model::{CacheContents, HeadEntries};

use super::cell::{Budget, CachePlan, OpenCache};
use super::compress::{At, Model};
use super::ledger::{HeadLedger, keep};
use super::side::SideInformation;

impl OpenCache {
    /// Lets press `index` choose which entries of a layer stay.
    pub(super) fn press(
        &mut self,
        index: usize,
        plan: &CachePlan,
        model: &Model<'_>,
        at: At<'_>,
        contents: &mut CacheContents,
        side: &SideInformation,
    ) -> Result<(), String> {
        let press = &mut self.presses[index];
        let (shape, ledger) = (at.shape, &mut self.layers[at.layer]);
        let dim = shape.head_dim;
        let arrays = side.arrays(press, ledger, at.seen, shape);
        let side: Vec<_> = arrays.iter().map(|array| array.view()).collect();
        // An earlier press may have removed channels; the boundary has whole keys, so zeros fill them.
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
        let rope = shape.rope.as_ref();
        let frequencies = at.frequencies();
        let layer = LayerRef {
            layer: at.layer,
            layers: model.config.layers,
            heads: shape.heads,
            head_dim: dim,
            value_dim: shape.value_dim,
            tokens_seen: at.seen,
            budget: budget(plan.presses[index].budget, longest, at),
            seed: plan.seed,
            attention_scale: shape.scale as f32,
            softcap: shape.cap.unwrap_or(0.0) as f32,
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
        for ((head, kept), ledger) in contents.heads.iter_mut().zip(kept).zip(&mut ledger.heads) {
            let dims = [dim, shape.value_dim];
            apply(kept, head, ledger, dims, (model.dtype.size(), plan.cut_later_keys));
        }
        Ok(())
    }
}

/// How much a press keeps of a layer whose longest head has `longest` entries.
fn budget(budget: Budget, longest: usize, at: At<'_>) -> LayerBudget {
    match budget {
        Budget::Ratio(ratio) => {
            // A share of the tokens so far, so that pressing again and again keeps the same share.
            let visible = at.shape.window.map_or(at.seen, |window| at.seen.min(window));
            LayerBudget::of_size(longest, LayerBudget::of_ratio(visible, ratio).target)
        }
        Budget::Size(size) => LayerBudget::of_size(longest, size),
        Budget::Channels(ratio) => LayerBudget::of_ratio(longest, ratio),
    }
}

/// Reduces a head, whose keys and values have `dims` channels, to what a press keeps. `size` is the number of bytes of a value in the model's dtype;
/// `cut_later` says whether the keys of later tokens lose the removed channels too.
fn apply(
    kept: KeptHead,
    head: &mut HeadEntries,
    ledger: &mut HeadLedger,
    dims: [usize; 2],
    (size, cut_later): (usize, bool),
) {
    let [dim, _] = dims;
    if let Some(channels) = &kept.key_channels {
        let left: Vec<u16> = channels.iter().map(|&channel| channel as u16).collect();
        if cut_later {
            cut_all(left, head, ledger, dim, size);
        } else {
            ledger.cut(&Arc::from(left), size);
            ledger.clear(&mut head.keys, dim);
        }
    }
    keep(head, &kept.entries, dims);
    ledger.keep(&kept.entries);
    if let Some(values) = kept.values {
        head.values = values;
    }
    if let Some(keys) = kept.keys {
        head.keys = match head.key_channels.as_deref() {
            None => {
                let mut keys = keys;
                // A press may write to channels that are gone, which must stay zero: they are not counted.
                ledger.clear(&mut keys, dim);
                keys
            }
            Some(channels) => {
                let rows = keys.chunks_exact(dim);
                rows.flat_map(|key| channels.iter().map(|&c| key[usize::from(c)])).collect()
            }
        };
    }
}

/// Leaves of a head these key channels, now and of all that is cached later.
fn cut_all(
    left: Vec<u16>,
    head: &mut HeadEntries,
    ledger: &mut HeadLedger,
    dim: usize,
    size: usize,
) {
    let keys = all_keys(head, dim);
    let of_key = |key: &[f32]| left.iter().map(|&c| key[usize::from(c)]).collect::<Vec<f32>>();
    head.keys = keys.chunks_exact(dim).flat_map(of_key).collect();
    // A coded entry's bytes are its share of a payload, which has been written already.
    for entry in ledger.entries.iter_mut().filter(|entry| !entry.coded) {
        entry.key_bytes = (left.len() * size) as f64;
    }
    head.key_channels = Some(left);
}

/// Keys with all channels, where some are gone.
fn all_channels(head: &HeadEntries, dim: usize) -> Option<Vec<f32>> {
    head.key_channels.as_ref().map(|_| all_keys(head, dim))
}

/// Keys with all channels; those that are gone are zero.
fn all_keys(head: &HeadEntries, dim: usize) -> Vec<f32> {
    let mut keys = vec![0.0; head.len() * dim];
    keys.chunks_exact_mut(dim).enumerate().for_each(|(entry, key)| head.key(entry, key));
    keys
}
