//! One sequence on its way through the model: the context in one run, then token by token on what its
//! cell has left of the cache.

use strait_model::{CacheVisitor, CachedRun, Hidden, RunInput, Stage, StageCaches};

use crate::error::RunnerError;
use crate::ways::caches::{Apart, CachePlan, Model, OpenCache, Traveller};

/// A model, the caches of one sequence, and what compresses them.
pub(crate) struct Sequence<'a> {
    stages: &'a mut [Box<dyn Stage>],
    model: &'a Model<'a>,
    caches: Vec<StageCaches>,
    cell: Option<(&'a CachePlan, OpenCache)>,
    /// Number of tokens that the caches have processed.
    seen: usize,
}

/// Size of keys and values in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CacheBytes {
    /// Bytes as stored.
    pub(crate) stored: u64,
    /// Bytes of the uncompressed values in the model's dtype.
    pub(crate) raw: u64,
}

impl<'a> Sequence<'a> {
    /// An empty sequence whose cache is compressed according to `plan`; with `again`, repeatedly while
    /// it grows.
    ///
    /// # Errors
    /// When a press or codec cannot be opened, or needs more than one token at a time to compress again.
    pub(crate) fn new(
        stages: &'a mut [Box<dyn Stage>],
        model: &'a Model<'a>,
        plan: Option<&'a CachePlan>,
        again: bool,
    ) -> Result<Sequence<'a>, RunnerError> {
        let failed = |reason| RunnerError::Cell { reason };
        let cell = match plan {
            None => None,
            Some(plan) => {
                let mut cache = OpenCache::open(plan).map_err(failed)?;
                cache.begin(model.config.layers).map_err(failed)?;
                if again && cache.probes() {
                    let expected = "expected a press that needs no queries or attention to compress \
                                    again after new tokens, which come one at a time";
                    return Err(failed(expected.to_owned()));
                }
                Some((plan, cache))
            }
        };
        let rotated = plan.is_none_or(|plan| !plan.before_rope);
        let caches = stages.iter_mut().map(|stage| stage.open_caches(1, rotated)).collect();
        Ok(Sequence { stages, model, caches, cell, seen: 0 })
    }

    /// The stages that the sequence goes through.
    pub(crate) fn stages(&mut self) -> &mut [Box<dyn Stage>] {
        self.stages
    }

    /// Processes tokens, then compresses the cache if `compress` is set, and returns the logits of the
    /// next token.
    ///
    /// # Errors
    /// When a token is out of range, or a press, a codec or the device fails.
    pub(crate) fn extend(
        &mut self,
        tokens: &[u32],
        compress: bool,
    ) -> Result<Vec<f32>, RunnerError> {
        let Sequence { stages, model, caches, cell, seen } = self;
        let mut cells: Vec<Traveller<'_>> = match cell {
            Some((plan, cache)) if compress => vec![Traveller::new(plan, cache)],
            _ => Vec::new(),
        };
        let mut hidden: Option<Hidden> = None;
        for (stage, caches) in stages.iter_mut().zip(caches) {
            let input = match &hidden {
                None => RunInput::Tokens { tokens, batch: 1 },
                Some(hidden) => RunInput::Hidden(hidden),
            };
            // At least one more token follows, after which the cell may compress again.
            let mut visitor = Apart { model, cells: &mut cells, later: 2 };
            let visitor = compress.then_some(&mut visitor as &mut dyn CacheVisitor);
            let cached = CachedRun { caches, first_position: *seen, visitor };
            hidden = Some(stage.run(input, Some(cached))?);
        }
        *seen += tokens.len();
        if let Some(reason) = cells.pop().and_then(|cell| cell.failed) {
            return Err(RunnerError::Cell { reason });
        }
        let hidden = hidden.ok_or_else(|| RunnerError::internal("a model without stages"))?;
        self.logits(hidden)
    }

    /// The logits that follow the last token of `hidden`.
    fn logits(&mut self, hidden: Hidden) -> Result<Vec<f32>, RunnerError> {
        let mut last = Hidden::zeros(1, 1, hidden.channels, hidden.dtype);
        let row = last.data.len();
        last.data.copy_from_slice(&hidden.data[hidden.data.len() - row..]);
        drop(hidden);
        let Some(stage) = self.stages.last_mut() else { return Ok(Vec::new()) };
        Ok(stage.next_logits(&last)?)
    }

    /// The size of the cache, if it has just been compressed.
    pub(crate) fn bytes(&mut self) -> CacheBytes {
        let values: usize = self.model.cache_values(self.seen).iter().sum();
        let raw = (values * self.model.dtype.size()) as u64;
        let Some((_, cache)) = &mut self.cell else { return CacheBytes { stored: raw, raw } };
        cache.measure(self.model, self.seen);
        let stored = cache.counts().iter().map(|counts| counts.payload_bytes).sum();
        CacheBytes { stored, raw }
    }

    /// Drops everything known about the cached entries except keys and values, because nothing is
    /// compressed any more.
    pub(crate) fn settle(&mut self) {
        if let Some((_, cache)) = &mut self.cell {
            cache.forget();
        }
    }
}

/// The plan of a sequence without a cell: `None`, or one that evicts entries outside every later query's
/// window.
pub(crate) fn plan_of_baseline(model: &Model<'_>) -> Option<CachePlan> {
    let windowed = model.config.blocks.iter().any(|block| block.attention.window.is_some());
    windowed.then(|| CachePlan::nothing(model.config.layers))
}

#[cfg(test)]
mod tests {
    use strait_model::{Device, Dtype};
    use strait_schema::Experiment;

    use super::*;
    use crate::commands::generate::{Sampler, Sampling};
    use crate::plan::OpenModel;
    use crate::progress::Silent;

    fn open(path: &str) -> OpenModel {
        let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
        let text =
            format!("name = \"t\"\nmodel = {{ source = {path:?} }}\ndata = {{ source = \"x\" }}");
        let experiment = Experiment::parse(&text, "t.toml").unwrap();
        OpenModel::open(&experiment, &experiment.model, &mut Silent).unwrap()
    }

    /// Tokens and logits of a greedy generation.
    fn generated(path: &str, cuts: &[usize], again: bool) -> Vec<(u32, Vec<f32>)> {
        let open = open(path);
        let mut loaded = open.load(cuts, &[Device::Cpu]).unwrap();
        let model = Model { config: &open.config, dtype: Dtype::F32 };
        let prompt: Vec<u32> = (0..40).map(|i| (i * i * 31 % 131) as u32).collect();
        let plan = plan_of_baseline(&model);
        let plan = plan.as_ref();
        let mut sequence = Sequence::new(loaded.stages(), &model, plan, again).unwrap();
        let mut sampler = Sampler::new(Sampling::GREEDY);
        let mut logits = sequence.extend(&prompt, plan.is_some()).unwrap();
        let mut all = Vec::new();
        for _ in 0..16 {
            let token = sampler.choose(&logits);
            all.push((token, logits));
            logits = sequence.extend(&[token], again).unwrap();
        }
        all
    }

    /// The same generation, with every token computed by a pass over everything before it.
    fn whole(path: &str) -> Vec<(u32, Vec<f32>)> {
        let open = open(path);
        let mut loaded = open.load(&[], &[Device::Cpu]).unwrap();
        let mut tokens: Vec<u32> = (0..40).map(|i| (i * i * 31 % 131) as u32).collect();
        let mut all = Vec::new();
        for _ in 0..16 {
            let stage = &mut loaded.stages()[0];
            let mut caches = stage.open_caches(1, true);
            let input = RunInput::Tokens { tokens: &tokens, batch: 1 };
            let cached = CachedRun { caches: &mut caches, first_position: 0, visitor: None };
            let states = stage.run(input, Some(cached)).unwrap();
            let logits = stage.next_logits(&states).unwrap();
            let token = Sampler::new(Sampling::GREEDY).choose(&logits);
            all.push((token, logits));
            tokens.push(token);
        }
        all
    }

    #[test]
    fn tokens_are_those_of_whole_passes() {
        let families = "crates/model/tests/families";
        let [sliding, mixed] = ["qwen2-window", "gemma3"].map(|name| format!("{families}/{name}"));
        for path in ["assets/models/wiki-4m", &sliding, &mixed] {
            let whole = whole(path);
            for (cuts, again) in [(&[][..], false), (&[0], false), (&[], true)] {
                let generated = generated(path, cuts, again);
                for ((token, logits), (expected, wanted)) in generated.iter().zip(&whole) {
                    assert_eq!(token, expected, "{path}");
                    let largest = wanted.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
                    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 5e-5 * largest;
                    assert!(logits.iter().zip(wanted).all(close), "{path}");
                }
            }
        }
    }
}
