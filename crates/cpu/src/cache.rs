//! Keys and values of all sequences, packed as left operands.

use crate::attention::Heads;
use crate::kernel::panel_tokens;
use crate::panels::per_sequence;
use crate::past::Cache;
use crate::product::{Left, LeftBlock, ROWS, Unit};

/// Keys are padded to a multiple of this, so that every unit reads them in whole steps.
pub(crate) const KEY_STEP: usize = 32;

/// Keys and values of all sequences as left operands.
pub(crate) struct KeysValues {
    /// Blocks of keys for every sequence and key head, `[padded keys, dim]`.
    keys: Left,
    /// Blocks of channels for every sequence and key head, `[value, padded keys]`.
    values: Left,
    /// Number of tokens, padded to whole panels and steps.
    padded: usize,
}

impl KeysValues {
    pub(crate) fn new(unit: Unit) -> KeysValues {
        KeysValues { keys: Left::zeros(unit, 0, 0), values: Left::zeros(unit, 0, 0), padded: 0 }
    }

    /// Packs keys and values from rows `[panels, queries, keys and values of all heads]`.
    pub(crate) fn pack(
        &mut self,
        projected: &[f32],
        heads: Heads,
        batch: usize,
        tokens: usize,
        unit: Unit,
    ) {
        let nr = panel_tokens();
        let panels = per_sequence(tokens);
        let padded = (panels * nr).next_multiple_of(KEY_STEP);
        let width = heads.width();
        let row = |owner: usize, panel: usize, channel: usize| {
            let panel = owner / heads.keys * panels + panel;
            &projected[(panel * width + channel) * nr..][..nr]
        };
        let owners = batch * heads.keys;
        self.padded = padded;
        self.keys.reuse(unit, owners * (padded / ROWS), heads.dim);
        self.keys.fill(padded / ROWS, |owner, mut group| {
            for panel in 0..panels {
                for c in 0..heads.dim {
                    let channel = (heads.queries + owner % heads.keys) * heads.dim + c;
                    group.set_input(c, panel * nr, row(owner, panel, channel));
                }
            }
        });
        let blocks = heads.value.div_ceil(ROWS);
        self.values.reuse(unit, owners * blocks, padded);
        self.values.fill(1, |index, mut group| {
            let (owner, block) = (index / blocks, index % blocks);
            for c in 0..ROWS.min(heads.value - block * ROWS) {
                let first = heads.values() + owner % heads.keys * heads.value;
                for panel in 0..panels {
                    let channel = first + block * ROWS + c;
                    group.set_output(c, panel * nr, row(owner, panel, channel));
                }
            }
        });
    }

    /// Packs keys and values, with all channels, from the caches of all sequences. `rotated` returns the
    /// keys of a sequence's key head as attention reads them, `[entries, dim]`.
    pub(crate) fn pack_entries(
        &mut self,
        caches: &[Cache],
        rotated: &[Vec<f32>],
        heads: Heads,
        unit: Unit,
    ) {
        let entries = |owner: usize| &caches[owner / heads.keys].contents.heads[owner % heads.keys];
        let owners = caches.len() * heads.keys;
        let longest = (0..owners).map(|owner| entries(owner).len()).max().unwrap_or(0);
        let padded = longest.max(1).next_multiple_of(KEY_STEP);
        self.padded = padded;
        self.keys.reuse(unit, owners * (padded / ROWS), heads.dim);
        self.keys.fill(padded / ROWS, |owner, mut group| {
            for (entry, key) in rotated[owner].chunks_exact(heads.dim).enumerate() {
                group.set_output(entry, 0, key);
            }
        });
        let blocks = heads.value.div_ceil(ROWS);
        self.values.reuse(unit, owners * blocks, padded);
        self.values.fill(1, |index, mut group| {
            let (owner, block) = (index / blocks, index % blocks);
            let channels = ROWS.min(heads.value - block * ROWS);
            let values = &entries(owner).values;
            for (entry, value) in values.chunks_exact(heads.value).enumerate() {
                group.set_input(entry, 0, &value[block * ROWS..][..channels]);
            }
            // Padding values carry no weight, but zero times infinity is not zero.
            for entry in entries(owner).len()..padded {
                group.set_input(entry, 0, &[0.0; ROWS]);
            }
        });
    }

    /// Block `block` of the keys from `from` on, which is a multiple of [`ROWS`]. `owner` is the sequence
    /// times the number of key heads, plus the key head.
    #[inline(always)]
    pub(crate) fn keys(&self, owner: usize, from: usize, block: usize) -> LeftBlock<'_> {
        self.keys.block((owner * self.padded + from) / ROWS + block)
    }

    /// Block `block` of channels for `count` values from `from` on, both in whole steps.
    #[inline(always)]
    pub(crate) fn values(
        &self,
        owner: usize,
        dim: usize,
        block: usize,
        from: usize,
        count: usize,
    ) -> LeftBlock<'_> {
        self.values.block(owner * dim.div_ceil(ROWS) + block).inputs(from, count)
    }
}
