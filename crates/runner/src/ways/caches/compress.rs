//! One layer's cache of one cell, compressed: first what no later query sees goes, then the presses
//! choose, then the codecs work on what is left.

use strait_model::{AttentionShape, CacheContents, Dtype, LayerConfig, ModelConfig};
use strait_schema::LinkCounts;

use super::cell::{CachePlan, OpenCache};
use super::ledger::{LayerLedger, keep};
use super::reposition;
use super::side::SideInformation;
use crate::book::journal::Kept;

/// What a cell has to know of the model.
pub(crate) struct Model<'a> {
    pub(crate) config: &'a ModelConfig,
    pub(crate) dtype: Dtype,
}

impl Model<'_> {
    /// Numbers of values in all keys, and in all values, that an uncompressed cache of `tokens` tokens holds for
    /// later queries.
    pub(crate) fn cache_values(&self, tokens: usize) -> [usize; 2] {
        let of_block = |block: &LayerConfig| {
            let AttentionShape { kv_heads, head_dim, value_dim, window, .. } = block.attention;
            // The window counts the query itself, so one entry fewer before it is visible.
            let seen = window.map_or(tokens, |window| tokens.min(window.saturating_sub(1)));
            [head_dim, value_dim].map(|dim| seen * kv_heads * dim)
        };
        let blocks = self.config.blocks.iter().map(of_block);
        blocks.fold([0; 2], |sum, [keys, values]| [sum[0] + keys, sum[1] + values])
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

impl At<'_> {
    /// RoPE's frequencies in radians per position, one for each pair of rotated channels.
    pub(super) fn frequencies(&self) -> Vec<f32> {
        let rope = self.shape.rope.as_ref();
        rope.map_or_else(Vec::new, |rope| rope.frequencies(rope.is_long(self.seen)))
    }
}

impl OpenCache {
    /// Compresses `contents` and returns what is left.
    ///
    /// # Errors
    /// The error of a press or codec. The ledger of the layer then no longer fits any contents.
    pub(crate) fn compress(
        &mut self,
        plan: &CachePlan,
        model: &Model<'_>,
        at: At<'_>,
        mut contents: CacheContents,
        side: &SideInformation,
    ) -> Result<CacheContents, String> {
        let ledger = &mut self.layers[at.layer];
        ledger.follow(&contents, at.shape, model.dtype.size());
        side.add_to(ledger, self.wanted);
        drop_unseen(ledger, &mut contents, at);
        if plan.active[at.layer] {
            for press in 0..self.presses.len() {
                self.press(press, plan, model, at, &mut contents, side)?;
            }
            if plan.notes_kept {
                self.note_kept(at);
            }
            if plan.reposition && !self.presses.is_empty() {
                self.close_up(plan, at, &mut contents)?;
            }
            self.code(plan, model, at, &mut contents)?;
        }
        if !at.again {
            self.layers[at.layer].forget_rows();
        }
        Ok(contents)
    }

    /// Notes which entries of a layer are left.
    fn note_kept(&mut self, at: At<'_>) {
        let words = [at.seen, at.layer].map(|word| word as u32);
        for (head, ledger) in self.layers[at.layer].heads.iter().enumerate() {
            let positions = ledger.entries.iter().map(|entry| entry.token).collect();
            self.kept.push(Kept { seen: words[0], layer: words[1], head: head as u32, positions });
        }
    }

    /// Closes the gaps that the presses left between the entries of a layer.
    fn close_up(
        &self,
        plan: &CachePlan,
        at: At<'_>,
        contents: &mut CacheContents,
    ) -> Result<(), String> {
        let frequencies = at.frequencies();
        for (head, ledger) in contents.heads.iter_mut().zip(&self.layers[at.layer].heads) {
            if !plan.before_rope && ledger.channels.iter().any(Option::is_some) {
                return Err(reposition::lost_channels());
            }
            let dim = at.shape.head_dim;
            reposition::close_up(head, &frequencies, dim, at.seen, plan.before_rope)?;
        }
        Ok(())
    }

    /// What the window's cache costs as it is stored now, beside `tokens` tokens of an uncompressed one.
    pub(crate) fn measure(&mut self, model: &Model<'_>, tokens: usize) {
        let size = model.dtype.size();
        let stored = self.layers.iter().map(LayerLedger::bytes);
        let stored = stored.fold([0.0; 2], |sum, [keys, values]| [sum[0] + keys, sum[1] + values]);
        let values = model.cache_values(tokens);
        for ((counts, stored), values) in self.counts.iter_mut().zip(stored).zip(values) {
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

/// Drops the entries outside the attention window. The uncompressed cache is counted without them too, so
/// this saves a cell nothing.
fn drop_unseen(ledger: &mut LayerLedger, contents: &mut CacheContents, at: At<'_>) {
    let Some(window) = at.shape.window else { return };
    for (head, ledger) in contents.heads.iter_mut().zip(&mut ledger.heads) {
        let first = head.positions.partition_point(|&p| p as usize + window <= at.seen);
        let kept: Vec<usize> = (first..head.len()).collect();
        keep(head, &kept, [at.shape.head_dim, at.shape.value_dim]);
        ledger.keep(&kept);
    }
}
