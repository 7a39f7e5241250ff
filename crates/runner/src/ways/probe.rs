//! Importances of tokens, for codecs on links that request them: which layers are probed, and what
//! accompanies a message.
//!
//! A probe gives one value for every token, so memory stays linear in the number of tokens; the
//! attention of all heads is never in memory at once. The layers before a cell's first codec are probed
//! once for all cells.

use std::error::Error;
use std::ops::Range;
use std::sync::Arc;

use strait_model::{
    CacheVisitor, CachedLayer, CachedRun, Hidden, ModelError, ProbeRequest, ProbeResult, RunInput,
    Stage,
};
use strait_schema::{Aggregate, Metric};

use super::score::is_exact;

/// The name under which codecs request it.
pub(crate) const IMPORTANCE: &str = "importance";

/// The importance that is computed for one layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kind {
    pub(crate) metric: Metric,
    pub(crate) weights: Option<Arc<HeadWeights>>,
}

/// A layer by its number in the model, and the importance wanted from it.
pub(crate) type Wanted = (usize, Kind);

/// Weights of attention heads, and their source.
#[derive(Debug, PartialEq)]
pub(crate) struct HeadWeights {
    pub(crate) sha256: String,
    /// One weight per query head, for every layer.
    pub(crate) layers: Vec<Vec<f32>>,
}

/// The side information that the codec of a cell requests with its messages.
#[derive(Debug)]
pub(crate) struct SideRequest {
    pub(crate) kind: Kind,
    pub(crate) aggregate: Aggregate,
    /// For every link, the layers before it that are probed.
    pub(crate) layers: Vec<Vec<usize>>,
}

/// The probes of a sequence so far.
#[derive(Debug, Default)]
pub(crate) struct Probes(Vec<(usize, Kind, Vec<f32>)>);

/// The probes of a cell's windows: from the layers that all cells share, and from the cell's own.
#[derive(Clone, Copy)]
pub(crate) struct Probed<'a> {
    pub(crate) shared: &'a [Probes],
    pub(crate) own: &'a [Probes],
}

impl SideRequest {
    /// What the request needs from these layers, before any of `links`.
    pub(crate) fn wants(&self, layers: &Range<usize>, links: Range<usize>) -> Vec<Wanted> {
        let mut wanted: Vec<usize> = self.layers[links].concat();
        wanted.retain(|layer| layers.contains(layer));
        wanted.sort_unstable();
        wanted.dedup();
        wanted.into_iter().map(|layer| (layer, self.kind.clone())).collect()
    }

    /// The importances of the tokens that cross a link in window `window`.
    ///
    /// # Errors
    /// A layer that was not probed.
    pub(crate) fn importances(
        &self,
        link: usize,
        window: usize,
        probed: Probed<'_>,
        states: &[f32],
        channels: usize,
    ) -> Result<Vec<f32>, String> {
        if self.kind.metric == Metric::HiddenNorm {
            return Ok(norms(states, channels));
        }
        let mut of_layers = Vec::with_capacity(self.layers[link].len());
        for &layer in &self.layers[link] {
            let probes = [probed.shared.get(window), probed.own.get(window)];
            let found =
                probes.into_iter().flatten().find_map(|probes| probes.get(layer, &self.kind));
            of_layers.push(found.ok_or_else(|| format!("layer {layer} was not probed"))?);
        }
        Ok(aggregate(&of_layers, self.aggregate))
    }
}

impl Probes {
    pub(crate) fn get(&self, layer: usize, kind: &Kind) -> Option<&[f32]> {
        let mut found = self.0.iter();
        let found = found.find(|(number, known, _)| *number == layer && known == kind);
        found.map(|(_, _, values)| &values[..])
    }
}

/// Probes layers while sequences go through a stage.
pub(crate) struct Probe {
    /// What is wanted for every sequence of the batch.
    wanted: Vec<Vec<Wanted>>,
    chunk_tokens: Option<usize>,
    found: Vec<Probes>,
}

impl Probe {
    pub(crate) fn new(wanted: Vec<Vec<Wanted>>, chunk_tokens: Option<usize>) -> Self {
        let found = wanted.iter().map(|_| Probes::default()).collect();
        Self { wanted, chunk_tokens, found }
    }

    /// Appends the probes of this stage to those of earlier stages in `before`.
    pub(crate) fn add_to(self, before: &mut [Probes]) {
        before.iter_mut().zip(self.found).for_each(|(before, found)| before.0.extend(found.0));
    }

    /// Runs a stage and probes it, if anything is wanted. If a run with caches may round differently,
    /// the states returned are those of a run without, so that no numbers depend on which cells probe.
    pub(crate) fn run(
        &mut self,
        stage: &mut dyn Stage,
        input: RunInput<'_>,
    ) -> Result<Hidden, ModelError> {
        if self.wanted.iter().all(Vec::is_empty) {
            return stage.run(input, None);
        }
        let mut caches = stage.open_caches(self.wanted.len(), true);
        let cached = CachedRun { caches: &mut caches, first_position: 0, visitor: Some(self) };
        let states = stage.run(input, Some(cached))?;
        if is_exact(stage) { Ok(states) } else { stage.run(input, None) }
    }

    fn kinds(&self, sequence: usize, layer: usize) -> impl Iterator<Item = &Kind> {
        let wanted = self.wanted[sequence].iter();
        wanted.filter(move |(number, _)| *number == layer).map(|(_, kind)| kind)
    }
}

impl CacheVisitor for Probe {
    fn probes(&self, layer: usize) -> bool {
        (0..self.wanted.len()).any(|sequence| self.kinds(sequence, layer).next().is_some())
    }

    fn visit(&mut self, layer: &mut dyn CachedLayer) -> Result<(), Box<dyn Error + Send + Sync>> {
        let (number, sequence) = (layer.number(), layer.sequence());
        let kinds: Vec<Kind> = self.kinds(sequence, number).cloned().collect();
        if kinds.is_empty() {
            return Ok(());
        }
        let values = at_layer(layer, &kinds, self.chunk_tokens)?;
        let found = kinds.into_iter().zip(values).map(|(kind, values)| (number, kind, values));
        self.found[sequence].0.extend(found);
        Ok(())
    }
}

/// The importances of the run's tokens by each of `kinds`, for messages of `chunk_tokens` tokens.
pub(crate) fn at_layer(
    layer: &mut dyn CachedLayer,
    kinds: &[Kind],
    chunk_tokens: Option<usize>,
) -> Result<Vec<Vec<f32>>, Box<dyn Error + Send + Sync>> {
    let tokens = layer.positions().len();
    let any = |metrics: &[Metric]| kinds.iter().any(|kind| metrics.contains(&kind.metric));
    let sums = any(&[Metric::ColumnMean, Metric::HeadWeighted, Metric::ValueNorm]);
    let entropy = any(&[Metric::Entropy]);
    let lengths = if any(&[Metric::ValueNorm]) { value_norms(layer)? } else { Vec::new() };
    let mut values = vec![Vec::with_capacity(tokens); kinds.len()];
    let chunk = chunk_tokens.unwrap_or(tokens).max(1);
    for start in (0..tokens).step_by(chunk) {
        let rows = start..(start + chunk).min(tokens);
        let mut seen = ProbeResult::default();
        if sums || entropy {
            seen =
                layer.probe(&ProbeRequest { sums, entropy, ..ProbeRequest::at(rows.clone()) })?;
        }
        if any(&[Metric::LastRow]) {
            let last = ProbeRequest { each: true, ..ProbeRequest::at(rows.end - 1..rows.end) };
            seen.each = layer.probe(&last)?.each;
        }
        for (values, kind) in values.iter_mut().zip(kinds) {
            values.extend(of_chunk(kind, layer.number(), &seen, &lengths, &rows));
        }
    }
    Ok(values)
}

/// The importances of the tokens of one message.
fn of_chunk(
    kind: &Kind,
    layer: usize,
    seen: &ProbeResult,
    lengths: &[Vec<f32>],
    rows: &Range<usize>,
) -> Vec<f32> {
    let mean = |heads: &[Vec<f32>], from: usize, count: usize| -> Vec<f32> {
        (0..rows.len())
            .map(|token| {
                let all: f64 = heads.iter().map(|head| f64::from(head[from + token])).sum();
                (all / (heads.len() * count).max(1) as f64) as f32
            })
            .collect()
    };
    let weighted = |weight: &dyn Fn(usize, usize) -> f64| -> Vec<f32> {
        (rows.clone())
            .map(|token| {
                let heads = seen.sums.iter().enumerate();
                let all: f64 =
                    heads.map(|(head, sums)| weight(head, token) * f64::from(sums[token])).sum();
                (all / rows.len() as f64) as f32
            })
            .collect()
    };
    match kind.metric {
        Metric::ColumnMean => mean(&seen.sums, rows.start, rows.len()),
        Metric::LastRow => mean(&seen.each, rows.start, 1),
        Metric::Entropy => mean(&seen.entropy, 0, 1),
        Metric::HeadWeighted => {
            let of = kind.weights.as_ref().and_then(|weights| weights.layers.get(layer));
            let weight = |head: usize| of.and_then(|weights| weights.get(head)).map_or(1.0, |w| *w);
            weighted(&|head, _| f64::from(weight(head)))
        }
        Metric::ValueNorm => {
            let (heads, group) = (seen.sums.len(), seen.sums.len() / lengths.len().max(1));
            weighted(&|head, token| {
                f64::from(lengths[head / group.max(1)][token]) / heads.max(1) as f64
            })
        }
        // This depends on the hidden state alone, which a layer's attention does not have.
        Metric::HiddenNorm => vec![0.0; rows.len()],
    }
}

/// The Euclidean norms of the values, for every key head.
fn value_norms(layer: &dyn CachedLayer) -> Result<Vec<Vec<f32>>, ModelError> {
    let (contents, dim) = (layer.contents()?, layer.shape().value_dim);
    let first = layer.positions().start as u32;
    let of = |head: &strait_model::HeadEntries| {
        let skip = head.positions.partition_point(|&position| position < first);
        norms(&head.values[skip * dim..], dim)
    };
    Ok(contents.heads.iter().map(of).collect())
}

/// The Euclidean norms of rows.
pub(crate) fn norms(values: &[f32], channels: usize) -> Vec<f32> {
    let norm = |row: &[f32]| {
        let square: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        square.sqrt() as f32
    };
    values.chunks_exact(channels.max(1)).map(norm).collect()
}

/// Combines the importances of several layers, given in the order of the layers.
pub(crate) fn aggregate(of_layers: &[&[f32]], by: Aggregate) -> Vec<f32> {
    let Some((last, _)) = of_layers.split_last() else { return Vec::new() };
    let over = |token: usize| of_layers.iter().map(move |layer| f64::from(layer[token]));
    let one = |token: usize| -> f64 {
        match by {
            Aggregate::Last => f64::from(last[token]),
            Aggregate::Mean => over(token).sum::<f64>() / of_layers.len() as f64,
            Aggregate::RunningMean => over(token).reduce(f64::midpoint).unwrap_or(0.0),
            Aggregate::Maximum => over(token).fold(f64::NEG_INFINITY, f64::max),
        }
    };
    (0..last.len()).map(|token| one(token) as f32).collect()
}

#[cfg(test)]
mod golden;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_become_one() {
        let layers: [&[f32]; 3] = [&[1.0, 0.0], &[3.0, 8.0], &[4.0, 2.0]];
        let by = |by| aggregate(&layers, by);
        assert_eq!(by(Aggregate::Last), [4.0, 2.0]);
        assert_eq!(by(Aggregate::Mean), [8.0 / 3.0, 10.0 / 3.0]);
        assert_eq!(by(Aggregate::RunningMean), [3.0, 3.0]);
        assert_eq!(by(Aggregate::Maximum), [4.0, 8.0]);
        assert!(aggregate(&[], Aggregate::Mean).is_empty());
    }

    #[test]
    fn a_message_knows_its_own_queries_alone() {
        let heads = vec![vec![1.0, 2.0, 3.0, 4.0], vec![3.0, 2.0, 1.0, 0.0]];
        let seen = ProbeResult {
            sums: heads.clone(),
            entropy: vec![vec![0.5, 1.0]; 2],
            each: heads,
            ..ProbeResult::default()
        };
        let weights =
            Arc::new(HeadWeights { sha256: String::new(), layers: vec![vec![1.0, -1.0]] });
        let of = |metric, weights| {
            of_chunk(&Kind { metric, weights }, 0, &seen, &[vec![1.0, 1.0, 2.0, 4.0]], &(2..4))
        };
        assert_eq!(of(Metric::ColumnMean, None), [1.0, 1.0]);
        assert_eq!(of(Metric::LastRow, None), [2.0, 2.0]);
        assert_eq!(of(Metric::Entropy, None), [0.5, 1.0]);
        assert_eq!(of(Metric::HeadWeighted, Some(weights)), [1.0, 2.0]);
        assert_eq!(of(Metric::ValueNorm, None), [2.0, 4.0]);
        assert_eq!(norms(&[3.0, 4.0, 0.0, 2.0], 2), [5.0, 2.0]);
    }

    #[test]
    fn only_layers_of_the_stage_are_wanted() {
        let kind = Kind { metric: Metric::ColumnMean, weights: None };
        let layers = vec![vec![0, 1], vec![0, 3]];
        let request = SideRequest { kind, aggregate: Aggregate::Mean, layers };
        let numbers = |layers, links| -> Vec<usize> {
            request.wants(&layers, links).into_iter().map(|(layer, _)| layer).collect()
        };
        assert_eq!(numbers(0..2, 0..2), [0, 1]);
        assert_eq!(numbers(2..4, 0..2), [3]);
        assert_eq!(numbers(0..4, 0..1), [0, 1]);
    }
}
