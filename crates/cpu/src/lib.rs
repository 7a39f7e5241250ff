//! The CPU's own operations: panels of tokens in vector lanes, threads over panels and heads.
//!
//! In f16 and bf16 the values are f32 numbers that are rounded to the type after every operation
//! (norm, projection, rotation, softmax, attention, activation, sum); sums inside an operation and
//! the logits stay f32. In bf16 the products run on the CPU's tile unit where it has one.

mod amx;
mod attention;
mod blocks;
mod head;
mod kernel;
mod math;
mod mlp;
mod norm;
mod panels;
mod product;

use std::ops::Range;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use crate::attention::{
    AttendTask, Attention, Heads, KeysValues, OutputTask, ProjectTask, RopePanels,
};
use crate::blocks::Blocks;
use crate::head::{HeadTask, Logits, ReferencePanels, Scored};
use crate::kernel::{dispatch, panel_tokens};
use crate::mlp::{Mlp, MlpTask};
use crate::panels::{Floats, Panels, balanced, per_sequence, runs, with_scratch, zeros};
use crate::product::Unit;
use strait_ops::{
    AttentionTensors, Dtype, Hidden, LinearTensors, MlpTensors, Ops, OpsError, RopeTable,
    ScoreRange, SequenceScores, Shape,
};

/// Right operands of a run that should stay in a core's second-level cache.
const CACHED_BYTES: usize = 1280 * 1024;

/// The CPU's operations for one model.
pub struct CpuOps {
    heads: Heads,
    hidden: usize,
    vocab: usize,
    widest: usize,
    eps: f32,
    dtype: Dtype,
    unit: Unit,
    table: RopeTable,
    rope: RopePanels,
    rope_panels: usize,
    projected: Floats,
    context: Floats,
    cache: KeysValues,
    spare: Spare,
}

impl CpuOps {
    /// Operations for a model of this shape, its values rounded to `dtype`.
    #[must_use]
    pub fn new(shape: &Shape, dtype: Dtype) -> CpuOps {
        let empty = || zeros(0);
        CpuOps {
            heads: Heads { queries: shape.heads, keys: shape.kv_heads, dim: shape.head_dim },
            hidden: shape.hidden,
            vocab: shape.vocab,
            widest: shape.intermediate + shape.hidden,
            eps: shape.norm_eps as f32,
            dtype,
            unit: Unit::of(dtype),
            table: RopeTable::new(&shape.rope, shape.head_dim),
            rope: RopePanels::default(),
            rope_panels: 0,
            projected: empty(),
            context: empty(),
            cache: KeysValues::new(Unit::of(dtype)),
            spare: Arc::new(Mutex::new(empty())),
        }
    }

    /// Panels that one task takes, so that weights are read once for all of them.
    fn run_length(&self) -> usize {
        (CACHED_BYTES / (self.widest * panel_tokens() * self.unit.size())).clamp(1, 8)
    }

    /// The same for the head.
    fn head_run(&self) -> usize {
        (CACHED_BYTES / (self.hidden * panel_tokens() * self.unit.size())).clamp(1, 4)
    }

    fn extend_rope(&mut self, panels: usize) {
        if panels <= self.rope_panels {
            return;
        }
        let (nr, half) = (panel_tokens(), self.heads.dim / 2);
        self.table.extend(panels * nr);
        let arrange = |table: &[f32]| {
            let mut out = vec![0.0; panels * half * nr];
            for (position, row) in table.chunks_exact(half).take(panels * nr).enumerate() {
                for (pair, value) in row.iter().enumerate() {
                    out[(position / nr * half + pair) * nr + position % nr] = *value;
                }
            }
            out
        };
        self.rope = RopePanels { cos: arrange(&self.table.cos), sin: arrange(&self.table.sin) };
        self.rope_panels = panels;
    }

    fn rounded(&self, mut weight: Vec<f32>) -> Vec<f32> {
        self.dtype.round(&mut weight);
        weight
    }
}

/// A buffer for logits that waits to be used again: a fresh one costs a page fault every 4 KiB.
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
    type Mlp = Mlp;
    type Table = Blocks;
    type Norm = Vec<f32>;
    type Logits = KeptLogits;

    fn device(&self) -> String {
        "cpu".to_owned()
    }

    fn prepare_attention(&self, tensors: AttentionTensors) -> Attention {
        let AttentionTensors { norm, query, key, value, output } = tensors;
        Attention {
            norm: self.rounded(norm),
            project: Blocks::stacked(vec![query, key, value], self.unit, self.dtype),
            output: Blocks::new(output, self.unit, self.dtype),
        }
    }

    fn prepare_mlp(&self, tensors: MlpTensors) -> Mlp {
        let MlpTensors { norm, gate, up, down } = tensors;
        Mlp {
            norm: self.rounded(norm),
            gate: Blocks::new(gate, self.unit, self.dtype),
            up: Blocks::new(up, self.unit, self.dtype),
            down: Blocks::new(down, self.unit, self.dtype),
        }
    }

    fn prepare_table(&self, weight: Vec<f32>) -> Blocks {
        let (outputs, inputs) = (self.vocab, self.hidden);
        Blocks::new(LinearTensors { weight, bias: None, outputs, inputs }, self.unit, self.dtype)
    }

    fn prepare_norm(&self, weight: Vec<f32>) -> Vec<f32> {
        self.rounded(weight)
    }

    fn upload(&self, hidden: &Hidden) -> Panels {
        Panels::from_hidden(hidden)
    }

    fn download(&self, stream: Panels) -> Result<Hidden, OpsError> {
        Ok(stream.to_hidden(self.dtype))
    }

    fn embed(&self, table: &Blocks, tokens: &[u32], batch: usize) -> Panels {
        let length = tokens.len() / batch.max(1);
        let mut panels = Panels::zeros(batch, length, self.hidden);
        panels.fill(length, |row, values| table.row(tokens[row] as usize, values));
        panels
    }

    fn attention(&mut self, mut x: Panels, weights: &Attention, wanted: usize) -> Panels {
        let panels = per_sequence(x.tokens);
        self.extend_rope(panels);
        let (nr, count, run, heads) = (panel_tokens(), x.count(), self.run_length(), self.heads);
        let (eps, unit, dtype, rope) = (self.eps, self.unit, self.dtype, &self.rope);
        let wanted = wanted / nr;
        let width = weights.project.outputs;
        let projected = panels::grow(&mut self.projected, count * width * nr);
        balanced(projected, count, run).into_par_iter().with_max_len(1).for_each(|(first, out)| {
            let size = self.hidden * nr;
            let x = &x.data[first * size..][..out.len() / width * self.hidden];
            with_scratch(|scratch| {
                dispatch(ProjectTask {
                    x,
                    out,
                    weights,
                    heads,
                    rope,
                    scratch,
                    first,
                    panels,
                    wanted,
                    eps,
                    unit,
                    dtype,
                });
            });
        });
        self.cache.pack(projected, heads, x.batch, x.tokens, unit);
        let cache = &self.cache;
        let projected = &*projected;
        let context_width = heads.queries * heads.dim;
        let context = panels::grow(&mut self.context, count * context_width * nr);
        let tokens = x.tokens;
        context.par_chunks_mut((heads.dim * nr).max(1)).enumerate().for_each(|(index, out)| {
            let (panel, head) = (index / heads.queries, index % heads.queries);
            if panel % panels < wanted {
                return;
            }
            with_scratch(|scratch| {
                dispatch(AttendTask {
                    projected,
                    cache,
                    out,
                    scratch,
                    heads,
                    panel,
                    panels,
                    head,
                    tokens,
                    unit,
                    dtype,
                });
            });
        });
        let context = &*context;
        x.wanted(wanted, run).into_par_iter().with_max_len(1).for_each(|(first, x)| {
            let context = &context[first * context_width * nr..];
            let context = &context[..x.len() / self.hidden * context_width];
            let weights = &weights.output;
            with_scratch(|scratch| {
                dispatch(OutputTask { x, context, weights, scratch, unit, dtype });
            });
        });
        x
    }

    fn mlp(&mut self, mut x: Panels, weights: &Mlp, wanted: usize) -> Panels {
        let (run, wanted) = (self.run_length(), wanted / panel_tokens());
        let (eps, unit, dtype) = (self.eps, self.unit, self.dtype);
        x.wanted(wanted, run).into_par_iter().with_max_len(1).for_each(|(_, x)| {
            with_scratch(|scratch| dispatch(MlpTask { x, weights, scratch, eps, unit, dtype }));
        });
        x
    }

    fn score(
        &mut self,
        x: &Panels,
        sequence: usize,
        (norm, head): (&Vec<f32>, &Blocks),
        range: &ScoreRange,
        reference: Option<&KeptLogits>,
    ) -> Result<(SequenceScores, Option<KeptLogits>), OpsError> {
        let (nr, hidden) = (panel_tokens(), self.hidden);
        let (eps, dtype, size) = (self.eps, self.dtype, self.vocab * panel_tokens());
        let unit = self.unit;
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
                dispatch(HeadTask { x, norm, head, targets, logits, scratch, eps, unit, dtype })
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
