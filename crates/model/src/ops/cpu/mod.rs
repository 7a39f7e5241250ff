//! The CPU's own operations: panels of tokens in vector lanes, threads over panels and heads.
//!
//! In f16 and bf16 the values are f32 numbers that are rounded to the type after every operation
//! (norm, projection, rotation, attention, activation, sum); products and sums inside an operation,
//! the softmax and the logits stay f32.

mod attention;
mod head;
mod kernel;
mod math;
mod mlp;
mod norm;
mod panels;

use rayon::prelude::*;

use self::attention::{
    AttendTask, Attention, Heads, KeysValues, OutputTask, ProjectTask, RopePanels,
};
use self::head::{HeadTask, ReferencePanel, Scored};
use self::kernel::{dispatch, panel_tokens};
use self::mlp::{Mlp, MlpTask};
use self::panels::{Blocks, Floats, Panels, balanced, per_sequence, zeros};
use super::{AttentionTensors, LinearTensors, MlpTensors, Ops};
use crate::config::ModelConfig;
use crate::dtype::Dtype;
use crate::error::ModelError;
use crate::hidden::Hidden;
use crate::rope::RopeTable;
use crate::stage::{ScoreRange, SequenceScores};

/// Values of a run's panels that should stay in a core's second-level cache.
const CACHED_VALUES: usize = 320 * 1024;

/// The CPU's operations for one model.
pub(crate) struct CpuOps {
    heads: Heads,
    hidden: usize,
    vocab: usize,
    widest: usize,
    eps: f32,
    dtype: Dtype,
    table: RopeTable,
    rope: RopePanels,
    rope_panels: usize,
    projected: Floats,
    context: Floats,
}

impl CpuOps {
    pub(crate) fn new(config: &ModelConfig, dtype: Dtype) -> CpuOps {
        let empty = || zeros(0);
        CpuOps {
            heads: Heads { queries: config.heads, keys: config.kv_heads, dim: config.head_dim },
            hidden: config.hidden,
            vocab: config.vocab,
            widest: config.intermediate + config.hidden,
            eps: config.norm_eps as f32,
            dtype,
            table: RopeTable::new(&config.rope, config.head_dim),
            rope: RopePanels::default(),
            rope_panels: 0,
            projected: empty(),
            context: empty(),
        }
    }

    /// Panels that one task takes, so that weights are read once for all of them.
    fn run_length(&self) -> usize {
        (CACHED_VALUES / (self.widest * panel_tokens())).clamp(1, 4)
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

/// The baseline's logits of one sequence.
pub(crate) struct KeptLogits {
    /// `[panels of scored positions, vocab, panel_tokens]`.
    logits: Floats,
    scored: Vec<Vec<Scored>>,
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
            project: Blocks::stacked(vec![query, key, value], self.dtype),
            output: Blocks::new(output, self.dtype),
        }
    }

    fn prepare_mlp(&self, tensors: MlpTensors) -> Mlp {
        let MlpTensors { norm, gate, up, down } = tensors;
        Mlp {
            norm: self.rounded(norm),
            gate: Blocks::new(gate, self.dtype),
            up: Blocks::new(up, self.dtype),
            down: Blocks::new(down, self.dtype),
        }
    }

    fn prepare_table(&self, weight: Vec<f32>) -> Blocks {
        let (outputs, inputs) = (self.vocab, self.hidden);
        Blocks::new(LinearTensors { weight, bias: None, outputs, inputs }, self.dtype)
    }

    fn prepare_norm(&self, weight: Vec<f32>) -> Vec<f32> {
        self.rounded(weight)
    }

    fn upload(&self, hidden: &Hidden) -> Panels {
        Panels::from_hidden(hidden)
    }

    fn download(&self, stream: Panels) -> Result<Hidden, ModelError> {
        Ok(stream.to_hidden(self.dtype))
    }

    fn embed(&self, table: &Blocks, tokens: &[u32], batch: usize) -> Panels {
        let length = tokens.len() / batch.max(1);
        let mut panels = Panels::zeros(batch, length, self.hidden);
        panels.fill(length, |row, values| table.row(tokens[row] as usize, values));
        panels
    }

    fn attention(&mut self, mut x: Panels, weights: &Attention) -> Panels {
        let panels = per_sequence(x.tokens);
        self.extend_rope(panels);
        let (nr, count, run, heads) = (panel_tokens(), x.count(), self.run_length(), self.heads);
        let (eps, dtype, rope) = (self.eps, self.dtype, &self.rope);
        let width = weights.project.outputs;
        let projected = panels::grow(&mut self.projected, count * width * nr);
        balanced(projected, count, run).into_par_iter().with_max_len(1).for_each(|(first, out)| {
            let size = self.hidden * nr;
            let x = &x.data[first * size..][..out.len() / width * self.hidden];
            dispatch(ProjectTask { x, out, weights, heads, rope, first, panels, eps, dtype });
        });
        let cache = &KeysValues::pack(projected, heads, x.batch, x.tokens);
        let projected = &*projected;
        let context_width = heads.queries * heads.dim;
        let context = panels::grow(&mut self.context, count * context_width * nr);
        let tokens = x.tokens;
        context.par_chunks_mut((heads.dim * nr).max(1)).enumerate().for_each(|(index, out)| {
            let (panel, head) = (index / heads.queries, index % heads.queries);
            let task =
                AttendTask { projected, cache, out, heads, panel, panels, head, tokens, dtype };
            dispatch(task);
        });
        let context = &*context;
        balanced(&mut x.data, count, run).into_par_iter().with_max_len(1).for_each(|(first, x)| {
            let context = &context[first * context_width * nr..];
            let context = &context[..x.len() / self.hidden * context_width];
            dispatch(OutputTask { x, context, weights: &weights.output, dtype });
        });
        x
    }

    fn mlp(&mut self, mut x: Panels, weights: &Mlp) -> Panels {
        let (count, run) = (x.count(), self.run_length());
        let (eps, dtype) = (self.eps, self.dtype);
        balanced(&mut x.data, count, run)
            .into_par_iter()
            .with_max_len(1)
            .for_each(|(_, x)| dispatch(MlpTask { x, weights, eps, dtype }));
        x
    }

    fn score(
        &mut self,
        x: &Panels,
        sequence: usize,
        (norm, head): (&Vec<f32>, &Blocks),
        range: &ScoreRange,
        reference: Option<&KeptLogits>,
    ) -> Result<(SequenceScores, Option<KeptLogits>), ModelError> {
        let (nr, hidden, vocab) = (panel_tokens(), self.hidden, self.vocab);
        let (eps, dtype) = (self.eps, self.dtype);
        let scored_panels = range.targets.len().div_ceil(nr);
        let first_panel = sequence * per_sequence(x.tokens);
        let gather = |index: usize, targets: usize| {
            let mut rows = zeros(hidden * nr);
            for lane in 0..targets {
                let position = range.first_position + index * nr + lane;
                let source = &x.data[(first_panel + position / nr) * hidden * nr..][..hidden * nr];
                let columns = rows.chunks_exact_mut(nr).zip(source.chunks_exact(nr));
                columns.for_each(|(row, source)| row[lane] = source[position % nr]);
            }
            rows
        };
        let run = |index: usize, targets: &[u32], keep: Option<&mut [f32]>| {
            let x = &gather(index, targets.len());
            let reference = reference.map(|kept| ReferencePanel {
                logits: &kept.logits[index * vocab * nr..][..vocab * nr],
                scored: &kept.scored[index],
            });
            dispatch(HeadTask { x, norm, head, targets, keep, reference, eps, dtype })
        };
        let targets = range.targets.par_chunks(nr).enumerate();
        if let Some(kept) = reference {
            let scored: Vec<Vec<Scored>> =
                targets.map(|(index, targets)| run(index, targets, None)).collect();
            let pairs = || scored.iter().flatten().zip(kept.scored.iter().flatten());
            let scores = SequenceScores {
                nll: nll(&scored),
                kld: pairs().map(|(own, _)| own.kld as f32).collect(),
                same_top: pairs().map(|(own, kept)| own.top == kept.top).collect(),
            };
            return Ok((scores, None));
        }
        let mut logits = zeros(scored_panels * vocab * nr);
        let scored: Vec<Vec<Scored>> = targets
            .zip(logits.par_chunks_mut(vocab * nr))
            .map(|((index, targets), keep)| run(index, targets, Some(keep)))
            .collect();
        let scores = SequenceScores {
            nll: nll(&scored),
            kld: Vec::new(),
            same_top: vec![true; range.targets.len()],
        };
        Ok((scores, Some(KeptLogits { logits, scored })))
    }

    fn logits_bytes(logits: &KeptLogits) -> usize {
        logits.logits.len() * size_of::<f32>()
    }
}

fn nll(scored: &[Vec<Scored>]) -> Vec<f64> {
    let nll = |scored: &Scored| scored.log_total - f64::from(scored.target_logit);
    scored.iter().flatten().map(nll).collect()
}
