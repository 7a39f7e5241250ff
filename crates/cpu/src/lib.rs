//! The CPU implementation of the operations: panels of tokens in vector lanes, threads over panels
//! and heads.
//!
//! In f16 and bf16 the values are f32 numbers that are rounded to the type after every operation
//! (norm, projection, rotation, softmax, attention, activation, sum); sums inside an operation and
//! the logits stay f32. In bf16 the products run on the CPU's tile unit if it has one.

mod activation;
mod amx;
mod attend;
mod attention;
mod blocks;
mod cache;
mod experts;
mod finish;
mod head;
mod instructions;
mod kernel;
mod latent;
mod math;
mod mlp;
mod norm;
mod panels;
mod past;
mod probe;
mod product;
mod project;
mod ranks;
mod rope;
mod rules;
mod single;
mod step;
mod taps;

pub use instructions::instructions;

use std::ops::Range;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use crate::attention::Attention;
use crate::blocks::Blocks;
use crate::cache::KeysValues;
use crate::finish::Ending;
use crate::head::{HeadTask, Logits, ReferencePanels, Scored};
use crate::kernel::{dispatch, panel_tokens};
use crate::mlp::{FeedForward, Mlp};
use crate::norm::Norm;
use crate::panels::{Floats, Panels, balanced, per_sequence, runs, with_scratch, zeros};
use crate::past::Cache;
use crate::rope::Ropes;
use crate::rules::Rules;
use strait_ops::{
    AttentionShape, AttentionTensors, CacheContents, Dtype, FeedForwardTensors, Hidden, LayerTap,
    LinearTensors, MlpTensors, NormTensors, Ops, OpsError, Past, ProbeRequest, ProbeResult,
    ScoreRange, SequenceScores, Shape,
};

/// The CPU's operations for one model.
pub struct CpuOps {
    shape: Shape,
    rules: Rules,
    ropes: Ropes,
    projected: Floats,
    context: Floats,
    cache: KeysValues,
    /// The attention's result, if it is not added to the stream at once.
    beside: Option<Panels>,
    spare: Spare,
}

impl CpuOps {
    /// Operations for a model of this shape, its values rounded to `dtype`.
    #[must_use]
    pub fn new(shape: &Shape, dtype: Dtype) -> CpuOps {
        let rules = Rules::new(shape, dtype);
        CpuOps {
            shape: shape.clone(),
            rules,
            ropes: Ropes::default(),
            projected: zeros(0),
            context: zeros(0),
            cache: KeysValues::new(rules.unit),
            beside: None,
            spare: Arc::new(Mutex::new(zeros(0))),
        }
    }

    /// Number of panels that one task of the head processes.
    fn head_run(&self) -> usize {
        self.rules.run_length(self.shape.hidden).min(4)
    }

    fn rounded(&self, mut weight: Vec<f32>) -> Vec<f32> {
        self.rules.dtype.round(&mut weight);
        weight
    }
}

/// A buffer for logits that is kept for reuse, because a fresh one costs a page fault every 4 KiB.
type Spare = Arc<Mutex<Floats>>;

/// The baseline's logits of one sequence.
pub struct KeptLogits {
    /// `[panels of scored positions, vocab, panel_tokens]`.
    logits: Floats,
    scored: Vec<Scored>,
    spare: Spare,
}

impl Drop for KeptLogits {
    fn drop(&mut self) {
        if let Ok(mut spare) = self.spare.lock()
            && spare.len() < self.logits.len()
        {
            *spare = std::mem::replace(&mut self.logits, zeros(0));
        }
    }
}

impl Ops for CpuOps {
    type Stream = Panels;
    type Attention = Attention;
    type FeedForward = FeedForward;
    type Mlp = Mlp;
    type Table = Blocks;
    type Positions = Vec<f32>;
    type Norm = Norm;
    type Cache = Cache;
    type Logits = KeptLogits;

    fn device(&self) -> String {
        "cpu".to_owned()
    }

    fn prepare_attention(&mut self, tensors: AttentionTensors) -> Attention {
        Attention::new(tensors, &mut self.ropes, self.rules)
    }

    fn prepare_feed_forward(&mut self, tensors: FeedForwardTensors) -> FeedForward {
        FeedForward::new(tensors, self.rules)
    }

    fn prepare_mlp(&mut self, tensors: MlpTensors<FeedForward>) -> Mlp {
        Mlp::new(tensors, self.rules)
    }

    fn prepare_table(&mut self, weight: Vec<f32>, bias: Option<Vec<f32>>) -> Blocks {
        let (outputs, inputs) = (self.shape.vocab, self.shape.hidden);
        let tensors = LinearTensors { weight, bias, outputs, inputs };
        Blocks::new(tensors, self.rules.unit, self.rules.dtype)
    }

    fn prepare_positions(&mut self, weight: Vec<f32>) -> Vec<f32> {
        self.rounded(weight)
    }

    fn prepare_norm(&mut self, tensors: NormTensors) -> Norm {
        Norm::new(tensors, self.rules)
    }

    fn upload(&self, hidden: &Hidden) -> Panels {
        Panels::from_hidden(hidden)
    }

    fn download(&self, stream: Panels) -> Result<Hidden, OpsError> {
        Ok(stream.to_hidden(self.rules.dtype))
    }

    fn copy(&self, stream: &Panels) -> Panels {
        stream.clone()
    }

    fn embed(
        &self,
        table: &Blocks,
        positions: Option<&Vec<f32>>,
        tokens: &[u32],
        batch: usize,
        first_position: usize,
    ) -> Panels {
        let (length, hidden) = (tokens.len() / batch.max(1), self.shape.hidden);
        let scale = self.rounded(vec![self.shape.embedding_scale as f32])[0];
        let dtype = self.rules.dtype;
        let mut panels = Panels::zeros(batch, length, hidden);
        panels.fill(length, |row, values| {
            table.row(tokens[row] as usize, values);
            if scale != 1.0 {
                values.iter_mut().for_each(|value| *value *= scale);
                dtype.round(values);
            }
            if let Some(positions) = positions {
                let position = first_position + row % length;
                let position = &positions[position * hidden..][..hidden];
                values.iter_mut().zip(position).for_each(|(value, more)| *value += more);
                dtype.round(values);
            }
        });
        panels
    }

    fn attention(
        &mut self,
        x: &Panels,
        weights: &Attention,
        wanted: usize,
        past: Option<Past<'_, Cache>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<Panels, OpsError> {
        self.attention_output(x, weights, wanted / panel_tokens(), past, tap)
    }

    fn mlp(
        &mut self,
        x: &Panels,
        weights: &Mlp,
        wanted: usize,
        tap: &mut LayerTap<'_>,
    ) -> Result<Panels, OpsError> {
        self.mlp_output(x, weights, wanted / panel_tokens(), tap)
    }

    fn add(&mut self, mut x: Panels, y: Panels) -> Panels {
        let (size, dtype) = (1 << 14, self.rules.dtype);
        x.data.par_chunks_mut(size).zip(y.data.par_chunks(size)).for_each(|(x, y)| {
            x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
            dtype.round(x);
        });
        x
    }

    fn add_attention(
        &mut self,
        mut x: Panels,
        weights: &Attention,
        wanted: usize,
        past: Option<Past<'_, Cache>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<Panels, OpsError> {
        let wanted = wanted / panel_tokens();
        self.attend(&x, weights, wanted, past, tap)?;
        self.project_context(&mut x, weights, wanted, Ending::Added(None));
        Ok(x)
    }

    fn add_mlp(
        &mut self,
        mut x: Panels,
        weights: &Mlp,
        wanted: usize,
        tap: &mut LayerTap<'_>,
    ) -> Result<Panels, OpsError> {
        self.think(&mut x, weights, wanted / panel_tokens(), Ending::Added(None), tap)?;
        Ok(x)
    }

    fn add_parallel(
        &mut self,
        mut x: Panels,
        (attention, mlp): (&Attention, &Mlp),
        wanted: usize,
        past: Option<Past<'_, Cache>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<Panels, OpsError> {
        let wanted = wanted / panel_tokens();
        self.attend(&x, attention, wanted, past, tap)?;
        let beside = self.beside.take().filter(|panels| panels.data.len() == x.data.len());
        let mut beside = match beside {
            Some(panels) => Panels { batch: x.batch, tokens: x.tokens, ..panels },
            None => Panels::zeros(x.batch, x.tokens, x.channels),
        };
        self.project_context(&mut beside, attention, wanted, Ending::Alone);
        self.think(&mut x, mlp, wanted, Ending::Added(Some(&beside)), tap)?;
        self.beside = Some(beside);
        Ok(x)
    }

    fn open_cache(&self, shape: &AttentionShape, rotated: bool) -> Cache {
        Cache::new(shape.kv_heads, rotated)
    }

    fn cache_contents(&self, cache: &Cache) -> Result<CacheContents, OpsError> {
        Ok(cache.contents.clone())
    }

    fn set_cache(&mut self, cache: &mut Cache, mut contents: CacheContents) {
        for head in &mut contents.heads {
            self.rules.dtype.round(&mut head.keys);
            self.rules.dtype.round(&mut head.values);
        }
        cache.contents = contents;
    }

    fn probe(
        &mut self,
        x: &Panels,
        sequence: usize,
        weights: &Attention,
        past: (&Cache, usize),
        request: &ProbeRequest,
    ) -> Result<ProbeResult, OpsError> {
        Ok(self.probe(x, sequence, weights, past, request))
    }

    fn score(
        &mut self,
        x: &Panels,
        sequence: usize,
        (norm, head): (&Norm, &Blocks),
        range: &ScoreRange,
        reference: Option<&KeptLogits>,
    ) -> Result<(SequenceScores, Option<KeptLogits>), OpsError> {
        let (nr, hidden, rules) = (panel_tokens(), self.shape.hidden, self.rules);
        let (size, cap) = (self.shape.vocab * nr, self.shape.logit_cap.map(|cap| cap as f32));
        let first_panel = sequence * per_sequence(x.tokens);
        let gather = |first: usize, targets: &[u32]| {
            let mut rows = zeros(targets.len().div_ceil(nr) * hidden * nr);
            for lane in 0..targets.len() {
                let position = range.first_position + first + lane;
                let source = &x.data[(first_panel + position / nr) * hidden * nr..][..hidden * nr];
                let target = &mut rows[lane / nr * hidden * nr..][..hidden * nr];
                for (row, source) in target.chunks_exact_mut(nr).zip(source.chunks_exact(nr)) {
                    row[lane % nr] = source[position % nr];
                }
            }
            rows
        };
        let score = |panels: Range<usize>, logits: Logits<'_>| {
            let lanes = panels.start * nr..range.targets.len().min(panels.end * nr);
            let targets = &range.targets[lanes.clone()];
            let x = &gather(lanes.start, targets);
            with_scratch(|scratch| {
                dispatch(HeadTask { x, norm, head, targets, logits, scratch, cap, rules })
            })
        };
        let panels = range.targets.len().div_ceil(nr);
        if let Some(kept) = reference {
            let scored: Vec<Vec<Scored>> = runs(panels, self.head_run())
                .into_par_iter()
                .with_max_len(1)
                .map(|run| {
                    let logits = &kept.logits[run.start * size..run.end * size];
                    let end = kept.scored.len().min(run.end * nr);
                    let scored = &kept.scored[run.start * nr..end];
                    score(run, Logits::Compare(ReferencePanels { logits, scored }))
                })
                .collect();
            let pairs = || scored.iter().flatten().zip(&kept.scored);
            let scores = SequenceScores {
                nll: scored.iter().flatten().map(nll).collect(),
                kld: pairs().map(|(own, _)| own.kld as f32).collect(),
                top_probability: Vec::new(),
                same_top: pairs().map(|(own, kept)| own.top == kept.top).collect(),
            };
            return Ok((scores, None));
        }
        let mut logits = match self.spare.lock() {
            Ok(mut spare) => std::mem::replace(&mut *spare, zeros(0)),
            Err(_) => zeros(0),
        };
        logits.resize(panels * size, 0.0);
        let scored: Vec<Vec<Scored>> = balanced(&mut logits, panels, self.head_run())
            .into_par_iter()
            .with_max_len(1)
            .map(|(first, keep)| score(first..first + keep.len() / size, Logits::Keep(keep)))
            .collect();
        let scored = scored.concat();
        let scores = SequenceScores {
            nll: scored.iter().map(nll).collect(),
            kld: Vec::new(),
            top_probability: scored.iter().map(top_probability).collect(),
            same_top: vec![true; scored.len()],
        };
        Ok((scores, Some(KeptLogits { logits, scored, spare: Arc::clone(&self.spare) })))
    }

    fn logits(
        &mut self,
        x: &Panels,
        sequence: usize,
        (norm, head): (&Norm, &Blocks),
        position: usize,
    ) -> Result<Vec<f32>, OpsError> {
        Ok(self.logits_of(x.token(sequence, position), norm, head))
    }

    fn logits_row(&self, logits: &KeptLogits, row: usize) -> Result<Vec<f32>, OpsError> {
        let (nr, vocab) = (panel_tokens(), self.shape.vocab);
        if row >= logits.scored.len() {
            return Err(OpsError::size("row of logits, below", logits.scored.len(), row));
        }
        let panel = logits.logits[row / nr * vocab * nr..].chunks_exact(nr).take(vocab);
        Ok(panel.map(|lanes| lanes[row % nr]).collect())
    }

    fn logits_bytes(logits: &KeptLogits) -> usize {
        logits.logits.len() * size_of::<f32>()
    }
}

fn nll(scored: &Scored) -> f64 {
    scored.log_total - f64::from(scored.target_logit)
}

fn top_probability(scored: &Scored) -> f32 {
    (f64::from(scored.top_logit) - scored.log_total).exp() as f32
}
