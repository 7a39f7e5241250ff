//! The common parameters of presses that score, and the choice by scores.

use serde_json::{Map, Value};
use strait_abi::params::{self, ParamSpec};

use super::budget::{self, Layers};
use super::merge::merged_values;
use super::rank::{CHOSEN, Rank, SCORED, ranks, top};
use super::units::{self, Score};
use super::{Budget, Head, Kept, Layer, Need, PressInfo, Scores};
use crate::{Choice, Error, Params, Result};

/// The choice of entries by their scores, as the common parameters have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    params: CommonParams,
    layers: Layers,
}

/// The common parameters of presses that score entries.
#[derive(Params, Clone, Debug, PartialEq)]
struct CommonParams {
    /// First entries of each head that stay whatever their scores.
    #[param(default = 0)]
    sinks: usize,
    /// Last entries of each head that stay whatever their scores.
    #[param(default = 0)]
    recent: usize,
    /// How the heads of a layer divide what it keeps.
    #[param(default = "layer")]
    budget: Allocation,
    /// With `adakv`: the share of a head's even part that it keeps at least.
    #[param(default = 0.2, min = 0.0, max = 1.0)]
    safeguard: f64,
    /// With `criticalkv`: the share that the scores choose alone, before values count.
    #[param(default = 0.5, min = 0.0, max = 1.0)]
    critical_share: f64,
    /// With `criticalkv`: what is added to a score before it is multiplied by the value's norm.
    #[param(default = 1e-4, min = 0.0)]
    critical_epsilon: f64,
    /// What is chosen at once.
    #[param(default = "token")]
    unit: Unit,
    /// Entries of a chunk or block; 0 is 20 for `chunkkv`, 1024 for `chunk` and 128 for `block`.
    #[param(default = 0)]
    unit_size: usize,
    /// How the layers divide what the model keeps: "even", "pyramid", or a list of ratios.
    #[param(default = "even")]
    layers: Value,
    /// With `pyramid`: how steep it is; the last layer keeps 1 / beta of the mean.
    #[param(default = 20.0, min = 1.0)]
    pyramid_beta: f64,
    /// With `pyramid`: the least that a layer keeps, in entries; flatter pyramids are even ones.
    #[param(default = 64)]
    pyramid_window: usize,
    /// Whether the values of what goes are merged into those of the most similar kept keys.
    #[param(default = false)]
    merge: bool,
}

/// How the heads of a layer divide what it keeps.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// Every head keeps the same number.
    Layer,
    /// The best of all heads stay: heads keep different numbers.
    Adakv,
    /// Every head keeps the same number; a second stage weighs scores by what values add.
    Criticalkv,
    /// Both: numbers as in `adakv`, entries as in `criticalkv`.
    Criticaladakv,
}

/// What is chosen at once.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Single entries.
    Token,
    /// Whole chunks, by their mean score over entries and heads.
    Chunkkv,
    /// Single entries, the same share of every chunk, each chunk scored for itself.
    Chunk,
    /// Single entries, block after block, as if the prompt came in blocks.
    Block,
}

impl Selection {
    /// What the common parameters ask the host for, beside what the press needs itself.
    pub(crate) fn needs(&self, mut needs: Vec<Need>) -> Vec<Need> {
        if matches!(self.params.unit, Unit::Chunk | Unit::Block) {
            for need in &mut needs {
                if matches!(need, Need::Queries(_)) {
                    *need = Need::AllQueries;
                }
            }
        }
        if self.is_critical() {
            needs.push(Need::OutputNorm);
        }
        needs
    }

    /// First entries that stay whatever their scores.
    pub fn sinks(&self) -> usize {
        self.params.sinks
    }

    /// Target and ratio of one layer, after the common parameter `layers`.
    ///
    /// # Errors
    /// A list of ratios that does not fit the number of layers.
    pub fn layer_budget(&self, layer: &Layer<'_>) -> Result<(usize, f64)> {
        self.layers.of(layer)
    }

    /// Chooses by scores.
    ///
    /// # Errors
    /// Those of `score`; scores that do not fit the layer.
    pub fn press(&self, layer: &Layer<'_>, score: Score<'_>) -> Result<Vec<Kept>> {
        let (target, ratio) = self.layer_budget(layer)?;
        let total: usize = layer.heads().iter().map(Head::len).sum();
        let everything = if self.is_adaptive() {
            total <= target.saturating_mul(layer.heads().len())
        } else {
            layer.heads().iter().all(|head| head.len() <= target)
        };
        if everything {
            return Ok(layer
                .heads()
                .iter()
                .map(|h| Kept::entries((0..h.len()).collect()))
                .collect());
        }
        let layer = Layer { target, ratio, ..layer.clone() };
        let ends = (self.params.sinks, self.params.recent);
        let chosen = match self.params.unit {
            Unit::Chunk => units::each_chunk(&layer, score, self.unit_size(), ends)?,
            Unit::Block => units::blocks(&layer, score, self.unit_size(), ends)?,
            Unit::Token | Unit::Chunkkv => {
                let scores = score(&layer)?;
                units::check(&scores, layer.heads())?;
                self.choose(&layer, &scores)?
            }
        };
        let kept = |(head, entries): (&Head<'_>, Vec<usize>)| {
            let values = if self.params.merge { merged_values(head, &entries) } else { None };
            Kept { values, ..Kept::entries(entries) }
        };
        Ok(layer.heads().iter().zip(chosen).map(kept).collect())
    }

    /// The entries of each head that stay.
    fn choose(&self, layer: &Layer<'_>, scores: &Scores) -> Result<Vec<Vec<usize>>> {
        let CommonParams { sinks, recent, safeguard, .. } = self.params;
        let mut all: Vec<Vec<Rank>> = scores
            .iter()
            .map(|scores| ranks(scores, 0..scores.len(), scores.len(), sinks, recent))
            .collect();
        if self.params.unit == Unit::Chunkkv {
            return Ok(units::whole_chunks(&all, scores, self.unit_size(), layer.ratio()));
        }
        let budgets = if self.is_adaptive() {
            budget::adaptive(&mut all, layer.target(), safeguard)
        } else {
            budget::even(layer.heads(), layer.target())
        };
        if self.is_critical() {
            self.weigh(layer, &mut all, &budgets)?;
        }
        Ok(all.iter().zip(budgets).map(|(ranks, budget)| top(ranks, budget)).collect())
    }

    /// The second stage of [CriticalKV](https://arxiv.org/abs/2502.03805): the best share of each
    /// head's budget is chosen; the scores of all others are weighed by what their values add.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn weigh(&self, layer: &Layer<'_>, all: &mut [Vec<Rank>], budgets: &[usize]) -> Result<()> {
        let CommonParams { critical_share: share, critical_epsilon: epsilon, .. } = self.params;
        let norms = layer.output_norm()?;
        let group = layer.group();
        for (kv_head, (ranks, budget)) in all.iter_mut().zip(budgets).enumerate() {
            let first = ((*budget as f64 * share) as usize).max(usize::from(share > 0.0));
            for entry in top(ranks, first.min(*budget)) {
                ranks[entry] = ranks[entry].at_least(CHOSEN);
            }
            for (entry, rank) in ranks.iter_mut().enumerate().filter(|(_, r)| r.class() == SCORED) {
                let heads = kv_head * group..(kv_head + 1) * group;
                let norm = heads.map(|head| norms.head(head)[entry]).sum::<f32>() / group as f32;
                *rank = rank.with_score((rank.score() + epsilon as f32) * norm);
            }
        }
        Ok(())
    }

    fn is_adaptive(&self) -> bool {
        matches!(self.params.budget, Allocation::Adakv | Allocation::Criticaladakv)
    }

    fn is_critical(&self) -> bool {
        matches!(self.params.budget, Allocation::Criticalkv | Allocation::Criticaladakv)
    }

    fn unit_size(&self) -> usize {
        match (self.params.unit_size, self.params.unit) {
            (0, Unit::Token) => 1,
            (0, Unit::Chunkkv) => 20,
            (0, Unit::Chunk) => 1024,
            (0, Unit::Block) => 128,
            (size, _) => size,
        }
    }

    fn read(values: Map<String, Value>) -> Result<Self> {
        let params = CommonParams::from_json(&Value::Object(values))?;
        let layers = Layers::read(&params.layers, params.pyramid_beta, params.pyramid_window)?;
        if params.unit != Unit::Token && params.budget != Allocation::Layer {
            return Err(Error::new(format!(
                "budget: expected `layer` with unit `{}`, found `{}`; choose one of the two",
                params.unit.name(),
                params.budget.name()
            )));
        }
        Ok(Selection { params, layers })
    }
}

/// The parameter table of a press: its own, then the common ones if it scores entries.
pub(crate) fn specs<P: Params>(info: &PressInfo) -> Vec<ParamSpec> {
    let mut specs = P::specs();
    if info.budget == Budget::Entries {
        specs.extend(common_specs(info));
    }
    specs
}

fn common_specs(info: &PressInfo) -> Vec<ParamSpec> {
    let mut specs = CommonParams::specs();
    for spec in &mut specs {
        match spec.name.as_str() {
            "sinks" => spec.default = Some(info.sinks.into()),
            "layers" => spec.default = Some(info.layers.into()),
            _ => {}
        }
    }
    specs
}

/// Reads the values of a press's whole table.
///
/// # Errors
/// The first value that the table refuses, or common values that do not fit together.
pub(crate) fn read<P: Params>(info: &PressInfo, values: &Value) -> Result<(P, Selection)> {
    let empty = Map::new();
    let given = match values {
        Value::Null => &empty,
        Value::Object(values) => values,
        other => return Err(Error::new(format!("parameters: expected a table, found {other}"))),
    };
    let own = P::specs();
    let resolved = params::resolve(&specs::<P>(info), given)?;
    let is_own = |name: &str| own.iter().any(|spec| spec.name == name);
    let (own, mut common): (Map<_, _>, Map<_, _>) =
        resolved.into_iter().partition(|(name, _)| is_own(name));
    if info.budget != Budget::Entries {
        common = params::resolve(&common_specs(info), &Map::new())?;
    }
    Ok((P::from_json(&Value::Object(own))?, Selection::read(common)?))
}

#[cfg(test)]
mod tests;
