//! The attention block.

use pulp::Simd;
use rayon::prelude::*;
use strait_ops::{AttentionTensors, Dtype, LayerTap, OpsError, Past, Projections, Site};

use crate::CpuOps;
use crate::attend::AttendTask;
use crate::blocks::Blocks;
use crate::finish::{Ending, Join, Projection};
use crate::kernel::{Task, dispatch, panel_tokens};
use crate::latent::Latent;
use crate::norm::Norm;
use crate::panels::{Panels, Scratch, balanced, grow, per_sequence, with_scratch};
use crate::past::Cache;
use crate::product::Rights;
use crate::project::ProjectTask;
use crate::ranks::{Columns, check_degree};
use crate::rope::Ropes;
use crate::rules::Rules;

/// An attention block.
pub struct Attention {
    pub(crate) heads: Heads,
    pub(crate) scale: f32,
    /// Of scores, which are products of queries and keys times `scale`.
    pub(crate) cap: Option<f32>,
    pub(crate) window: Option<usize>,
    /// Index in the model's [`Ropes`].
    pub(crate) rope: Option<usize>,
    pub(crate) norm_in: Option<Norm>,
    /// What is projected from the block's input: queries, keys and values stacked, or, with a `latent`, what
    /// that begins with.
    pub(crate) project: Blocks,
    pub(crate) latent: Option<Latent>,
    /// Norms of queries and of keys.
    pub(crate) head_norms: Option<(Norm, Norm)>,
    pub(crate) output: Blocks,
    pub(crate) norm_out: Option<Norm>,
}

/// Numbers of heads, and channels of one, in rows of all queries, then all keys, then all values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    /// Channels of a query or key.
    pub(crate) dim: usize,
    /// Channels of a value.
    pub(crate) value: usize,
}

impl Heads {
    /// Channels of queries, keys and values together.
    pub(crate) fn width(self) -> usize {
        self.values() + self.keys * self.value
    }

    /// The first channel of the values, which is the number of channels of queries and keys.
    pub(crate) fn values(self) -> usize {
        (self.queries + self.keys) * self.dim
    }
}

/// What is rotated by its position (RoPE).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotate {
    /// Queries and keys.
    Both,
    /// Only queries.
    Queries,
    /// Nothing.
    None,
}

impl Attention {
    pub(crate) fn new(tensors: AttentionTensors, ropes: &mut Ropes, rules: Rules) -> Attention {
        let AttentionTensors { shape, norm_in, projections, head_norms, output, norm_out } =
            tensors;
        let norm = |tensors| Norm::new(tensors, rules);
        let (project, latent) = match projections {
            Projections::Direct { query, key, value } => {
                (Blocks::stacked(vec![query, key, value], rules.unit, rules.dtype), None)
            }
            Projections::Latent(tensors) => {
                let (project, latent) = Latent::new(*tensors, rules);
                (project, Some(latent))
            }
        };
        Attention {
            heads: Heads {
                queries: shape.heads,
                keys: shape.kv_heads,
                dim: shape.head_dim,
                value: shape.value_dim,
            },
            scale: shape.scale as f32,
            cap: shape.cap.map(|cap| cap as f32),
            window: shape.window,
            rope: shape.rope.map(|config| ropes.place(config)),
            norm_in: norm_in.map(norm),
            project,
            latent,
            head_norms: head_norms.map(|norms| (norm(norms.query), norm(norms.key))),
            output: Blocks::new(output, rules.unit, rules.dtype),
            norm_out: norm_out.map(norm),
        }
    }
}

impl CpuOps {
    /// The block's contribution to `x`; panels of a sequence before `wanted` get none.
    pub(crate) fn attention_output(
        &mut self,
        x: &Panels,
        weights: &Attention,
        wanted: usize,
        past: Option<Past<'_, Cache>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<Panels, OpsError> {
        self.attend(x, weights, wanted, past, tap)?;
        let mut y = Panels::zeros(x.batch, x.tokens, x.channels);
        let Some(ranks) = tap.ranks(Site::AttentionOutput) else {
            self.project_context(&mut y, weights, wanted, Ending::Alone);
            return Ok(y);
        };
        let Heads { queries, value, .. } = weights.heads;
        check_degree(ranks, queries, "query heads")?;
        let mut sums = Vec::with_capacity(ranks);
        for rank in 0..ranks {
            let columns = Columns::of_rank(rank, ranks, queries, value);
            self.project_context(&mut y, weights, wanted, Ending::Sums(columns));
            sums.push(y.to_hidden(Dtype::F32));
        }
        let sum = tap.sums(Site::AttentionOutput, sums)?;
        Ok(self.end_of_sums(&sum, weights.norm_out.as_ref()))
    }

    /// Writes every head's context of `x` to `self.context`, `[panels, heads * value, panel_tokens]`; panels
    /// of a sequence before `wanted` get none.
    pub(crate) fn attend(
        &mut self,
        x: &Panels,
        weights: &Attention,
        wanted: usize,
        past: Option<Past<'_, Cache>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<(), OpsError> {
        let Some(past) = past else {
            self.project(x, weights, wanted, 0, Rotate::Both);
            self.tap_keys_and_values(x, weights.heads, tap)?;
            let size = x.count() * weights.heads.width() * panel_tokens();
            let projected = &self.projected[..size];
            self.cache.pack(projected, weights.heads, x.batch, x.tokens, self.rules.unit);
            self.attend_packed(x, weights, wanted, 0, None);
            return Ok(());
        };
        let Past { caches, first_position } = past;
        let rotated = caches.first().is_none_or(|cache| cache.rotated);
        let rotate = if rotated { Rotate::Both } else { Rotate::Queries };
        match x.tokens {
            1 => self.project_single(x, weights, first_position, rotate),
            _ => self.project(x, weights, wanted, first_position, rotate),
        }
        self.tap_keys_and_values(x, weights.heads, tap)?;
        let (heads, projected) = (weights.heads, &self.projected);
        for (sequence, cache) in caches.iter_mut().enumerate() {
            cache.add(projected, heads, sequence, x.tokens, first_position);
        }
        if x.tokens == 1 {
            self.step(x.batch, weights, caches, first_position);
            return Ok(());
        }
        let length = first_position + x.tokens;
        let rotated: Vec<Vec<f32>> =
            caches.iter().flat_map(|cache| self.rotated_keys(cache, weights, length)).collect();
        self.cache.pack_entries(caches, &rotated, heads, self.rules.unit);
        let heads = caches.iter().flat_map(|cache| &cache.contents.heads);
        let positions: Vec<&[u32]> = heads.map(|head| &head.positions[..]).collect();
        self.attend_packed(x, weights, wanted, first_position, Some(&positions));
        Ok(())
    }

    /// The keys of every key head with all channels, rotated by their positions (RoPE), in a sequence of
    /// `length` tokens.
    pub(crate) fn rotated_keys(
        &mut self,
        cache: &Cache,
        weights: &Attention,
        length: usize,
    ) -> Vec<Vec<f32>> {
        let dim = weights.heads.dim;
        let all = cache.contents.heads.iter().map(|head| {
            let mut keys = vec![0.0; head.len() * dim];
            keys.chunks_exact_mut(dim).enumerate().for_each(|(entry, key)| head.key(entry, key));
            if let (false, Some(place)) = (cache.rotated, weights.rope) {
                let positions = head.positions.iter().map(|&position| position as usize);
                self.ropes.rotate(place, length, dim, positions, &mut keys, self.rules.dtype);
            }
            keys
        });
        all.collect()
    }

    /// Writes queries, keys and values of `x`, whose sequences begin at `first_position`, to
    /// `self.projected`, `[panels, width, panel_tokens]`.
    pub(crate) fn project(
        &mut self,
        x: &Panels,
        weights: &Attention,
        wanted: usize,
        first_position: usize,
        rotate: Rotate,
    ) {
        let (nr, count, panels) = (panel_tokens(), x.count(), per_sequence(x.tokens));
        let (rules, width) = (self.rules, weights.heads.width());
        let place = if rotate == Rotate::None { None } else { weights.rope };
        let rope =
            place.map(|place| self.ropes.table(place, first_position, x.tokens, rules.dtype));
        let rotate_keys = rotate == Rotate::Both;
        let projected = grow(&mut self.projected, count * width * nr);
        let run = rules.run_length(x.channels + width);
        balanced(projected, count, run).into_par_iter().with_max_len(1).for_each(|(first, out)| {
            let size = x.channels * nr;
            let x = &x.data[first * size..][..out.len() / width * x.channels];
            with_scratch(|scratch| {
                let task = ProjectTask {
                    x,
                    out,
                    weights,
                    rope,
                    rotate_keys,
                    scratch,
                    first,
                    panels,
                    wanted,
                    rules,
                };
                dispatch(task);
            });
        });
    }

    /// Attention of the queries in `self.projected` to the contents of `self.cache`.
    fn attend_packed(
        &mut self,
        x: &Panels,
        weights: &Attention,
        wanted: usize,
        first_position: usize,
        positions: Option<&[&[u32]]>,
    ) {
        let (nr, count, panels) = (panel_tokens(), x.count(), per_sequence(x.tokens));
        let (rules, heads, tokens) = (self.rules, weights.heads, x.tokens);
        let (cache, projected) = (&self.cache, &self.projected[..count * heads.width() * nr]);
        let context = grow(&mut self.context, count * heads.queries * heads.value * nr);
        context.par_chunks_mut((heads.value * nr).max(1)).enumerate().for_each(|(index, out)| {
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
                    first_position,
                    positions,
                    rules,
                };
                dispatch(task);
            });
        });
    }

    /// Projects the context, which joins `x` as `ending` specifies.
    pub(crate) fn project_context(
        &self,
        x: &mut Panels,
        weights: &Attention,
        wanted: usize,
        ending: Ending<'_>,
    ) {
        if x.tokens == 1 && !ending.is_sums() {
            return self.project_context_single(x, weights, ending);
        }
        let (rules, output) = (self.rules, &weights.output);
        let (nr, size) = (panel_tokens(), output.inputs * panel_tokens());
        let columns = ending.columns(output.inputs);
        let run = rules.run_length(output.inputs + output.outputs);
        x.wanted(wanted, run).into_par_iter().with_max_len(1).for_each(|(first, x)| {
            let count = x.len() / (output.outputs * nr);
            let context = &self.context[first * size..][..count * size];
            let start = first * output.outputs * nr;
            let how = ending.of(weights.norm_out.as_ref(), start..start + x.len());
            with_scratch(|scratch| {
                dispatch(OutputTask { x, context, output, columns, how, scratch, rules })
            });
        });
    }
}

/// Joins `output(context)` to a run of panels.
struct OutputTask<'a> {
    x: &'a mut [f32],
    context: &'a [f32],
    output: &'a Blocks,
    columns: Columns,
    how: Join<'a>,
    scratch: &'a mut Scratch,
    rules: Rules,
}

impl Task for OutputTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let OutputTask { x, context, output, columns, how, scratch, rules } = self;
        let (x, context) = (x.as_chunks_mut::<NR>().0, context.as_chunks::<NR>().0);
        let ready = rules.unit.start();
        let panels = x.len() / output.outputs;
        let mut rights = Rights::<NR>::new(rules.unit, panels, columns.count, &mut scratch.first);
        for (panel, context) in context.chunks_exact(output.inputs).enumerate() {
            let staging = rights.staging(panel);
            staging.copy_from_slice(&context[columns.steps()]);
            columns.keep_own(columns.first, staging);
            rights.commit(panel);
        }
        let last = Projection { unit: &ready, weights: output, rights: &rights, rules };
        last.finish(simd, how, x, &mut scratch.result);
    }
}
