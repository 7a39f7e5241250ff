//! Rotary tables in panels of tokens, each made once for all blocks that share it.

use strait_ops::{Dtype, RopeConfig, RopeTable};

use crate::kernel::panel_tokens;

/// Cosines and sines `[panels, pairs, panel_tokens]`.
pub(crate) struct RopePanels {
    pub(crate) cos: Vec<f32>,
    pub(crate) sin: Vec<f32>,
    /// Pairs of channels that turn.
    pub(crate) pairs: usize,
    /// As in [`RopeConfig`]; if not, cosines and sines are rounded already.
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
        if panels <= self.panels {
            return;
        }
        let (nr, pairs) = (panel_tokens(), self.pairs);
        self.table.extend(panels * nr);
        let arrange = |table: &[f32]| {
            let mut out = vec![0.0; panels * pairs * nr];
            for (position, row) in table.chunks_exact(pairs.max(1)).take(panels * nr).enumerate() {
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
}

/// All rotary positions of a model, for short sequences and for long ones.
#[derive(Default)]
pub(crate) struct Ropes(Vec<(RopeConfig, [RopePanels; 2])>);

impl Ropes {
    /// The place of `config`, where it is put if it is new.
    pub(crate) fn place(&mut self, config: RopeConfig) -> usize {
        if let Some(place) = self.0.iter().position(|(known, _)| *known == config) {
            return place;
        }
        let tables = [false, true].map(|long| RopePanels::new(&config, long));
        self.0.push((config, tables));
        self.0.len() - 1
    }

    /// The table at `place` for sequences of `tokens`.
    pub(crate) fn table(&mut self, place: usize, tokens: usize, dtype: Dtype) -> &RopePanels {
        let (config, tables) = &mut self.0[place];
        let table = &mut tables[usize::from(config.is_long(tokens))];
        table.extend(tokens.div_ceil(panel_tokens()), dtype);
        table
    }
}
