//! The attention block.

use pulp::Simd;
use rayon::prelude::*;
use strait_ops::AttentionTensors;

use crate::CpuOps;
use crate::attend::AttendTask;
use crate::blocks::Blocks;
use crate::finish::{Join, Projection};
use crate::kernel::{Task, dispatch, panel_tokens};
use crate::norm::Norm;
use crate::panels::{Panels, Scratch, balanced, grow, per_sequence, with_scratch};
use crate::product::Rights;
use crate::project::ProjectTask;
use crate::rope::Ropes;
use crate::rules::Rules;

/// An attention block; `project` is query, key and value, one below the other.
pub struct Attention {
    pub(crate) heads: Heads,
    pub(crate) scale: f32,
    pub(crate) window: Option<usize>,
    /// Place in the model's [`Ropes`].
    rope: Option<usize>,
    pub(crate) norm_in: Option<Norm>,
    pub(crate) project: Blocks,
    /// Of queries and of keys.
    pub(crate) head_norms: Option<(Norm, Norm)>,
    output: Blocks,
    norm_out: Option<Norm>,
}

/// Numbers of heads, and channels of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) dim: usize,
}

impl Heads {
    /// Channels of queries, keys and values together.
    pub(crate) fn width(self) -> usize {
        (self.queries + 2 * self.keys) * self.dim
    }
}

impl Attention {
    pub(crate) fn new(tensors: AttentionTensors, ropes: &mut Ropes, rules: Rules) -> Attention {
        let AttentionTensors { shape, norm_in, query, key, value, head_norms, output, norm_out } =
            tensors;
        let norm = |tensors| Norm::new(tensors, rules);
        Attention {
            heads: Heads { queries: shape.heads, keys: shape.kv_heads, dim: shape.head_dim },
            scale: shape.scale as f32,
            window: shape.window,
            rope: shape.rope.map(|config| ropes.place(config)),
            norm_in: norm_in.map(norm),
            project: Blocks::stacked(vec![query, key, value], rules.unit, rules.dtype),
            head_norms: head_norms.map(|norms| (norm(norms.query), norm(norms.key))),
            output: Blocks::new(output, rules.unit, rules.dtype),
            norm_out: norm_out.map(norm),
        }
    }
}

impl CpuOps {
    /// Leaves every head's context of `x` in `self.context`, `[panels, heads * dim, panel_tokens]`;
    /// panels of a sequence before `wanted` get none.
    pub(crate) fn attend(&mut self, x: &Panels, weights: &Attention, wanted: usize) {
        let (nr, count, panels) = (panel_tokens(), x.count(), per_sequence(x.tokens));
        let (rules, heads, tokens) = (self.rules, weights.heads, x.tokens);
        let place = weights.rope;
        let rope = place.map(|place| self.ropes.table(place, tokens, rules.dtype));
        let width = heads.width();
        let projected = grow(&mut self.projected, count * width * nr);
        let run = rules.run_length(x.channels + width);
        balanced(projected, count, run).into_par_iter().with_max_len(1).for_each(|(first, out)| {
            let size = x.channels * nr;
            let x = &x.data[first * size..][..out.len() / width * x.channels];
            with_scratch(|scratch| {
                let task =
                    ProjectTask { x, out, weights, rope, scratch, first, panels, wanted, rules };
                dispatch(task);
            });
        });
        self.cache.pack(projected, heads, x.batch, tokens, rules.unit);
        let (cache, projected) = (&self.cache, &*projected);
        let context = grow(&mut self.context, count * heads.queries * heads.dim * nr);
        context.par_chunks_mut((heads.dim * nr).max(1)).enumerate().for_each(|(index, out)| {
            let (panel, head) = (index / heads.queries, index % heads.queries);
            if panel % panels < wanted {
                return;
            }
            with_scratch(|scratch| {
                let task = AttendTask {
                    projected,
                    cache,
                    out,
                    scratch,
                    weights,
                    panel,
                    panels,
                    head,
                    tokens,
                    rules,
                };
                dispatch(task);
            });
        });
    }

    /// Projects the context and adds it to `x`, or puts it there with `replace`.
    pub(crate) fn project_context(
        &self,
        x: &mut Panels,
        weights: &Attention,
        wanted: usize,
        replace: bool,
    ) {
        let (rules, output) = (self.rules, &weights.output);
        let size = output.inputs * panel_tokens();
        let run = rules.run_length(output.inputs + output.outputs);
        let how = Join { norm: weights.norm_out.as_ref(), other: None, replace };
        x.wanted(wanted, run).into_par_iter().with_max_len(1).for_each(|(first, x)| {
            let count = x.len() / (output.outputs * panel_tokens());
            let context = &self.context[first * size..][..count * size];
            with_scratch(|scratch| {
                dispatch(OutputTask { x, context, output, how, scratch, rules })
            });
        });
    }
}

/// Joins `output(context)` to a run of panels.
struct OutputTask<'a> {
    x: &'a mut [f32],
    context: &'a [f32],
    output: &'a Blocks,
    how: Join<'a>,
    scratch: &'a mut Scratch,
    rules: Rules,
}

impl Task for OutputTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let OutputTask { x, context, output, how, scratch, rules } = self;
        let (x, context) = (x.as_chunks_mut::<NR>().0, context.as_chunks::<NR>().0);
        let ready = rules.unit.start();
        let panels = x.len() / output.outputs;
        let mut rights = Rights::<NR>::new(rules.unit, panels, output.inputs, &mut scratch.first);
        for (panel, context) in context.chunks_exact(output.inputs).enumerate() {
            rights.staging(panel).copy_from_slice(context);
            rights.commit(panel);
        }
        let last = Projection { unit: &ready, weights: output, rights: &rights, rules };
        last.finish(simd, how, x, &mut scratch.result);
    }
}
