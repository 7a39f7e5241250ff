//! Rotary tables in panels of tokens, each made once for all blocks that share it.

use strait_ops::{Dtype, RopeConfig, RopeTable};

use crate::kernel::panel_tokens;

/// Tables of cosines and sines, `[panels, pairs, panel_tokens]`.
pub(crate) struct RopePanels {
    pub(crate) cos: Vec<f32>,
    pub(crate) sin: Vec<f32>,
    /// Number of channel pairs that are rotated.
    pub(crate) pairs: usize,
    /// As in [`RopeConfig`]; if false, cosines and sines are already rounded.
    pub(crate) rounded_once: bool,
    panels: usize,
    table: RopeTable,
}

impl RopePanels {
    fn new(config: &RopeConfig, long: bool) -> RopePanels {
        let (pairs, rounded_once) = (config.rotated / 2, config.rounded_once);
        let table = RopeTable::new(config, long);
        RopePanels { cos: Vec::new(), sin: Vec::new(), pairs, rounded_once, panels: 0, table }
    }

    fn extend(&mut self, panels: usize, dtype: Dtype) {
        if panels > self.panels {
            self.arrange(0, panels, dtype);
        }
    }

    /// Arranges the positions from `first` on in `panels` panels.
    fn arrange(&mut self, first: usize, panels: usize, dtype: Dtype) {
        let (nr, pairs) = (panel_tokens(), self.pairs);
        self.table.extend(first + panels * nr);
        let arrange = |table: &[f32]| {
            let mut out = vec![0.0; panels * pairs * nr];
            let rows = table.chunks_exact(pairs.max(1)).skip(first).take(panels * nr);
            for (position, row) in rows.enumerate() {
                for (pair, value) in row.iter().enumerate() {
                    out[(position / nr * pairs + pair) * nr + position % nr] = *value;
                }
            }
            if !self.rounded_once {
                dtype.round(&mut out);
            }
            out
        };
        (self.cos, self.sin) = (arrange(&self.table.cos), arrange(&self.table.sin));
        self.panels = panels;
    }

    /// Rotates the first channels of a head's row.
    fn rotate(&self, position: usize, row: &mut [f32], dtype: Dtype) {
        let start = position * self.pairs;
        let mut cos = self.table.cos[start..start + self.pairs].to_vec();
        let mut sin = self.table.sin[start..start + self.pairs].to_vec();
        if !self.rounded_once {
            dtype.round(&mut cos);
            dtype.round(&mut sin);
        }
        let (cos, sin) = (cos.as_chunks::<1>().0, sin.as_chunks::<1>().0);
        rotate(row.as_chunks_mut().0, cos, sin, self.rounded_once, dtype);
    }
}

/// Rotates the first channels of a head, pair by pair.
#[inline(always)]
pub(crate) fn rotate<const NR: usize>(
    head: &mut [[f32; NR]],
    cos: &[[f32; NR]],
    sin: &[[f32; NR]],
    rounded_once: bool,
    dtype: Dtype,
) {
    let (low, high) = head.split_at_mut(cos.len());
    for (((low, high), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
        if rounded_once || dtype == Dtype::F32 {
            rotate_pair(low, high, cos, sin);
        } else {
            rotate_in_steps(low, high, cos, sin, dtype);
        }
        dtype.round(low);
        dtype.round(high);
    }
}

/// All rotary positions of a model.
#[derive(Default)]
pub(crate) struct Ropes(Vec<Rope>);

struct Rope {
    config: RopeConfig,
    /// Tables from position 0 on, for short sequences and for long ones.
    tables: [RopePanels; 2],
    /// Tables from a later position on: that position, the number of tokens, and the tables.
    later: (usize, usize, [RopePanels; 2]),
}

impl Ropes {
    /// The index of `config`, which is added if it is new.
    pub(crate) fn place(&mut self, config: RopeConfig) -> usize {
        if let Some(place) = self.0.iter().position(|rope| rope.config == config) {
            return place;
        }
        let both = || [false, true].map(|long| RopePanels::new(&config, long));
        let (tables, later) = (both(), (0, 0, both()));
        self.0.push(Rope { config, tables, later });
        self.0.len() - 1
    }

    /// The table at index `place` for `tokens` positions from `first` on, where the sequence ends.
    pub(crate) fn table(
        &mut self,
        place: usize,
        first: usize,
        tokens: usize,
        dtype: Dtype,
    ) -> &RopePanels {
        let rope = &mut self.0[place];
        let kind = usize::from(rope.config.is_long(first + tokens));
        let panels = tokens.div_ceil(panel_tokens());
        if first == 0 {
            rope.tables[kind].extend(panels, dtype);
            return &rope.tables[kind];
        }
        let (known, count, tables) = &mut rope.later;
        if (*known, *count) != (first, tokens) {
            tables[kind].arrange(first, panels, dtype);
            (*known, *count) = (first, tokens);
        }
        &tables[kind]
    }

    /// Rotates rows of `dim` channels by their positions, in a sequence of `length` tokens.
    pub(crate) fn rotate(
        &mut self,
        place: usize,
        length: usize,
        dim: usize,
        positions: impl Iterator<Item = usize>,
        rows: &mut [f32],
        dtype: Dtype,
    ) {
        let rope = &mut self.0[place];
        let table = &mut rope.tables[usize::from(rope.config.is_long(length))];
        table.table.extend(length);
        for (position, row) in positions.zip(rows.chunks_exact_mut(dim)) {
            table.rotate(position, row, dtype);
        }
    }
}

#[inline(always)]
fn rotate_pair<const NR: usize>(
    low: &mut [f32; NR],
    high: &mut [f32; NR],
    cos: &[f32; NR],
    sin: &[f32; NR],
) {
    for t in 0..NR {
        let (a, b) = (low[t], high[t]);
        low[t] = a * cos[t] - b * sin[t];
        high[t] = b * cos[t] + a * sin[t];
    }
}

/// Rotates with every product rounded.
#[inline(always)]
fn rotate_in_steps<const NR: usize>(
    low: &mut [f32; NR],
    high: &mut [f32; NR],
    cos: &[f32; NR],
    sin: &[f32; NR],
    dtype: Dtype,
) {
    let (mut low_sin, mut high_sin) = (*low, *high);
    for t in 0..NR {
        low[t] *= cos[t];
        high[t] *= cos[t];
        low_sin[t] *= sin[t];
        high_sin[t] *= sin[t];
    }
    dtype.round(low);
    dtype.round(high);
    dtype.round(&mut low_sin);
    dtype.round(&mut high_sin);
    for t in 0..NR {
        low[t] -= high_sin[t];
        high[t] += low_sin[t];
    }
}
