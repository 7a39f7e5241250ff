//! What cells share: the stages before their first codecs, run once for a group of windows.

use std::ops::Range;
use std::sync::Arc;

use strait_model::{Hidden, RunInput, Stage};
use strait_schema::LinkCounts;

use crate::cell::Cell;
use crate::convert;
use crate::error::RunnerError;
use crate::group::{Batch, Prefix};
use crate::link::{CellLink, Sequence};
use crate::look::{Ask, Looker, Looks};
use crate::pass::{Pass, Spent};

impl Pass<'_> {
    /// The stages that all cells share, run once: up to the first link where any of `cells` compresses
    /// something and nothing was compressed before. Layers are looked at there for the cells that ask.
    pub(crate) fn prefix(
        &self,
        tokens: &[u32],
        windows: usize,
        cells: &[&mut Cell],
        spent: &mut Spent,
    ) -> Result<Prefix, RunnerError> {
        let deepest = cells.iter().map(|cell| cell.first).max().unwrap_or(0);
        let mut states: Vec<Hidden> = Vec::with_capacity(deepest + 1);
        let mut looks: Vec<Looks> = (0..windows).map(|_| Looks::default()).collect();
        let mut passed = Vec::with_capacity(deepest);
        for index in 0..=deepest {
            let before = states.last();
            let mut wanted = Vec::new();
            for cell in cells.iter().filter(|cell| cell.first >= index) {
                let of = |ask: &Arc<Ask>| ask.wants(&self.layers(index), 0..self.links.len());
                for want in cell.ask.iter().flat_map(of) {
                    if !wanted.contains(&want) {
                        wanted.push(want);
                    }
                }
            }
            let mut looker = Looker::new(vec![wanted; windows], self.chunk_tokens);
            let looks = &mut looks;
            let run = |stage: &mut dyn Stage| {
                let states = match before {
                    None => looker
                        .run(stage, RunInput::Tokens(tokens), |stage| stage.embed(tokens, windows)),
                    Some(states) => looker.run(stage, RunInput::Hidden(states), |stage| {
                        stage.forward(states.clone())
                    }),
                }?;
                looker.add_to(looks);
                Ok(states)
            };
            let next = self.stage(1, &self.stages, index, "shared prefix", spent, run)?;
            if index < deepest {
                passed.push(self.passed(index, &next));
            }
            states.push(next);
        }
        Ok(Prefix { states, looks, passed })
    }

    /// The layers of a stage.
    pub(crate) fn layers(&self, stage: usize) -> Range<usize> {
        let start = stage.checked_sub(1).map_or(0, |link| self.links[link].after + 1);
        start..self.links.get(stage).map_or(usize::MAX, |link| link.after + 1)
    }

    /// What a link costs that passes its messages on, for every window.
    fn passed(&self, link: usize, states: &Hidden) -> Vec<LinkCounts> {
        let mut plain = CellLink::new(&self.links[link].name, None);
        let sequence = self.sequence(states);
        let mut arrived = vec![0; sequence.bytes()];
        (0..states.batch)
            .filter_map(|window| {
                plain.send(sequence, states.sequence(window), &mut arrived, None).ok()
            })
            .collect()
    }

    /// How hidden states cross a link.
    pub(crate) fn sequence(&self, states: &Hidden) -> Sequence {
        Sequence {
            tokens: states.tokens,
            channels: states.channels,
            dtype: convert::loader_dtype(states.dtype),
            chunk_tokens: self.chunk_tokens,
        }
    }

    /// Cells that compress what crosses links, in batches that start from the same hidden states. One that
    /// looks at layers behind its first codec goes alone.
    pub(crate) fn link_batches<'c>(&self, cells: Vec<&'c mut Cell>) -> Vec<Batch<'c>> {
        let alone = |cell: &Cell| {
            let looks = |ask: &Ask| {
                let behind = self.links[cell.first].after + 1;
                !ask.wants(&(behind..usize::MAX), 0..self.links.len()).is_empty()
            };
            cell.ask.as_deref().is_some_and(looks)
        };
        let mut batches: Vec<(bool, Batch<'c>)> = Vec::new();
        for cell in cells {
            let (alone, from) = (alone(cell), cell.first);
            let room = |(taken, batch): &&mut (bool, Batch<'_>)| {
                !*taken
                    && !alone
                    && batch.from == from
                    && batch.cells.len() < self.cell_batch.max(1)
            };
            match batches.iter_mut().find(room) {
                Some((_, batch)) => batch.cells.push(cell),
                None => {
                    let batch = Batch { cells: vec![cell], baseline: false, from, rerun: None };
                    batches.push((alone, batch));
                }
            }
        }
        batches.into_iter().map(|(_, batch)| batch).collect()
    }
}
