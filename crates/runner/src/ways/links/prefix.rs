//! What cells on links share: the stages before their first codecs, run once for a group of windows.

use std::ops::Range;

use strait_model::{Hidden, ModelError, RunInput};
use strait_schema::LinkCounts;

use super::cell::{LinkCell, PerLink};
use super::link::{CellLink, Sequence};
use super::{LinkSetting, Road};
use crate::engine::Spent;
use crate::error::RunnerError;
use crate::ways::probe::{Probe, Probes, Wanted};

/// What is the same for all cells: hidden states after each of the stages before their first codecs.
pub(super) struct Prefix {
    /// Hidden states after each of these stages; there is at least one.
    states: Vec<Hidden>,
    /// For every window, the probes of these stages' layers.
    pub(super) probes: Vec<Probes>,
    /// The cost of the links between these stages, by link and window.
    passed: Vec<Vec<LinkCounts>>,
    /// The time it took.
    pub(super) spent: Spent,
}

impl Prefix {
    /// The last link whose states are here.
    pub(super) fn deepest(&self) -> usize {
        self.states.len().saturating_sub(1)
    }

    /// The hidden states that arrive at a link.
    pub(super) fn states_at(&self, link: usize) -> Result<&Hidden, RunnerError> {
        let states = self.states.get(link);
        states.ok_or_else(|| RunnerError::internal(format!("nothing was kept at link {link}")))
    }

    /// For every window, the cost of the links before `from`.
    pub(super) fn counts_before(&self, from: usize, windows: usize) -> Vec<PerLink> {
        let links = &self.passed[..from.min(self.passed.len())];
        let of_window = |window: usize| links.iter().map(|link| link[window].clone()).collect();
        (0..windows).map(of_window).collect()
    }
}

impl LinkSetting<'_> {
    /// Runs the stages before the deepest link at which any of `cells` begins to compress, once for
    /// all cells. Layers are probed on the way for the cells that request it.
    pub(super) fn prefix(
        &self,
        cells: &[&mut LinkCell],
        road: &mut Road<'_>,
    ) -> Result<Prefix, RunnerError> {
        let group = road.group;
        let deepest = cells.iter().map(|cell| cell.first).max().unwrap_or(0);
        let mut states: Vec<Hidden> = Vec::with_capacity(deepest + 1);
        let mut probes: Vec<Probes> = (0..group.windows).map(|_| Probes::default()).collect();
        let mut passed = Vec::with_capacity(deepest);
        for index in 0..=deepest {
            let wanted = self.wanted(cells, index);
            let mut probe = Probe::new(vec![wanted; group.windows], self.chunk_tokens);
            let before = states.last();
            let next = road.stage(0, index, "shared prefix", |stage| {
                let input = match before {
                    None => RunInput::Tokens { tokens: &group.tokens, batch: group.windows },
                    Some(states) => RunInput::Hidden(states),
                };
                let states = probe.run(stage, input)?;
                probe.add_to(&mut probes);
                Ok::<_, ModelError>(states)
            })?;
            if index < deepest {
                passed.push(self.passed(index, &next));
            }
            states.push(next);
        }
        let spent = std::mem::take(&mut road.spent);
        Ok(Prefix { states, probes, passed, spent })
    }

    /// What cells that have not compressed anything yet want to know about the layers of a stage.
    fn wanted(&self, cells: &[&mut LinkCell], stage: usize) -> Vec<Wanted> {
        let layers = self.layers(stage);
        let mut wanted: Vec<Wanted> = Vec::new();
        for cell in cells.iter().filter(|cell| cell.first >= stage) {
            let Some(side) = &cell.side else { continue };
            for want in side.wants(&layers, 0..self.links.len()) {
                if !wanted.contains(&want) {
                    wanted.push(want);
                }
            }
        }
        wanted
    }

    /// The layer numbers of a stage.
    pub(super) fn layers(&self, stage: usize) -> Range<usize> {
        let start = stage.checked_sub(1).map_or(0, |link| self.links[link].after + 1);
        start..self.links.get(stage).map_or(usize::MAX, |link| link.after + 1)
    }

    /// The cost of a link that passes its messages on, for every window.
    fn passed(&self, link: usize, states: &Hidden) -> Vec<LinkCounts> {
        let plain = CellLink::new(&self.links[link].name, None);
        let sequence = Sequence::of(states, self.chunk_tokens);
        let windows = 0..states.batch;
        windows.map(|window| plain.pass(sequence, states.sequence(window))).collect()
    }
}
