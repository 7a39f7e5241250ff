//! The attention block.

use burn_tensor::{FloatDType, Int, Tensor};
use strait_ops::{
    AttentionShape, AttentionTensors, LatentTensors, OpsError, Past, Projections, RopeConfig,
    RopeTable, Site,
};

use crate::attention::Causal;
use crate::kernels::{Kernels, Positions, Rotation};
use crate::ops::past::Cache;
use crate::ops::taps::Tapping;
use crate::ops::tensors::{Linear, Maker, NormWeights, normed};

/// An attention block on a device.
pub(crate) struct Attention<B: Kernels> {
    pub(crate) shape: AttentionShape,
    /// Index in the model's [`Ropes`].
    pub(crate) rope: Option<usize>,
    norm_in: Option<NormWeights<B>>,
    projections: Projected<B>,
    /// Norms of queries and of keys.
    head_norms: Option<(NormWeights<B>, NormWeights<B>)>,
    output: Linear<B>,
    norm_out: Option<NormWeights<B>>,
}

/// What makes queries, keys and values, as in [`Projections`].
enum Projected<B: Kernels> {
    Direct { query: Linear<B>, key: Linear<B>, value: Linear<B> },
    Latent(Latent<B>),
}

/// The weights of [`LatentTensors`].
struct Latent<B: Kernels> {
    query_down: Option<(Linear<B>, NormWeights<B>)>,
    query: Linear<B>,
    down: Linear<B>,
    norm: NormWeights<B>,
    key: Linear<B>,
    value: Linear<B>,
}

/// The rotary tables of a model's blocks, each kept once.
pub(crate) struct Ropes<B: Kernels>(Vec<Rope<B>>);

struct Rope<B: Kernels> {
    config: RopeConfig,
    /// Tables for short sequences, and for long ones.
    tables: [RopeTable; 2],
    /// The tables on the device, for the longest sequence so far, of both kinds.
    uploaded: [Option<Rotation<B>>; 2],
}

impl<B: Kernels> Attention<B> {
    pub(crate) fn new(
        tensors: AttentionTensors,
        maker: &Maker<B>,
        ropes: &mut Ropes<B>,
    ) -> Attention<B> {
        let AttentionTensors { shape, norm_in, projections, head_norms, output, norm_out } =
            tensors;
        Attention {
            rope: shape.rope.as_ref().map(|config| ropes.place(config)),
            shape,
            norm_in: norm_in.map(|norm| maker.norm(norm)),
            projections: Projected::new(projections, maker),
            head_norms: head_norms.map(|norms| (maker.norm(norms.query), maker.norm(norms.key))),
            output: maker.linear(output),
            norm_out: norm_out.map(|norm| maker.norm(norm)),
        }
    }

    /// The block's output. Positions before `wanted` may hold anything finite.
    pub(crate) fn apply(
        &self,
        x: Tensor<B, 3>,
        wanted: usize,
        past: Option<Past<'_, Cache<B>>>,
        ropes: &mut Ropes<B>,
        tapping: &mut Tapping<'_, '_, B>,
    ) -> Result<Tensor<B, 3>, OpsError> {
        let (maker, tokens) = (tapping.maker, x.dims()[1]);
        let causal = self.causal(maker);
        let [query, key, value] = self.project(x);
        let first = past.as_ref().map_or(0, |past| past.first_position);
        let cache = past.as_ref().and_then(|past| past.caches.first());
        let rotated = cache.is_none_or(|cache| cache.rotated);
        let query = self.rotate(query, first, maker, ropes);
        let key = if rotated { self.rotate(key, first, maker, ropes) } else { key };
        let key = tapping.heads(Site::Keys, key)?;
        let value = tapping.heads(Site::Values, value)?;
        let context = match past {
            None => causal.attend(query, key, value, wanted),
            Some(Past { caches, .. }) => {
                let contexts = caches.iter_mut().enumerate().map(|(sequence, cache)| {
                    let of = |x: &Tensor<B, 4>| x.clone().narrow(0, sequence, 1);
                    cache.add(of(&key), of(&value), first, maker);
                    let entries = cache.seen(self, first + tokens, maker, ropes);
                    causal.attend_entries(of(&query), &entries, first)
                });
                Tensor::cat(contexts.collect(), 0)
            }
        };
        let Some(ranks) = tapping.tap.ranks(Site::AttentionOutput) else {
            return Ok(self.finish(context));
        };
        let [batch, heads, tokens, dim] = context.dims();
        let context = context.swap_dims(1, 2).reshape([batch * tokens, heads * dim]);
        let at = (Site::AttentionOutput, ranks);
        let y = tapping.by_ranks(at, &self.output, &context, dim, [batch, tokens])?;
        Ok(normed(self.norm_out.as_ref(), y))
    }

    /// The contribution of the context `[batch, heads, tokens, dim]` to the stream, `[batch, tokens,
    /// hidden]`.
    pub(crate) fn finish(&self, context: Tensor<B, 4>) -> Tensor<B, 3> {
        let [batch, heads, tokens, dim] = context.dims();
        let context = context.swap_dims(1, 2).reshape([batch * tokens, heads * dim]);
        let y = self.output.apply(context);
        let hidden = y.dims()[1];
        normed(self.norm_out.as_ref(), y.reshape([batch, tokens, hidden]))
    }

    pub(crate) fn causal(&self, maker: &Maker<B>) -> Causal {
        let AttentionShape { scale, cap, window, .. } = self.shape;
        Causal { scale, cap, window, native: maker.native() }
    }

    /// What the block reads of `x`.
    pub(crate) fn read(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        normed(self.norm_in.as_ref(), x)
    }

    /// For every query head, the 1-norm of each of the values `[1, kv_heads, entries, value_dim]` times
    /// the head's part of the output projection, `[1, heads, 1, entries]`.
    pub(crate) fn output_norms(&self, values: &Tensor<B, 4>) -> Tensor<B, 4> {
        let AttentionShape { heads, kv_heads, value_dim, .. } = self.shape;
        let entries = values.dims()[2];
        let of_head = |head: usize| {
            let values = values.clone().narrow(1, head / (heads / kv_heads), 1);
            let added =
                self.output.apply_part(values.reshape([entries, value_dim]), head * value_dim);
            added.cast(FloatDType::F32).abs().sum_dim(1).reshape([1, 1, 1, entries])
        };
        Tensor::cat((0..heads).map(of_head).collect(), 1)
    }

    /// Queries, keys `[batch, heads, tokens, head_dim]` and values `[batch, heads, tokens, value_dim]`, not yet
    /// rotated.
    pub(crate) fn project(&self, x: Tensor<B, 3>) -> [Tensor<B, 4>; 3] {
        let [batch, tokens, hidden] = x.dims();
        let AttentionShape { heads, kv_heads, head_dim, value_dim, .. } = self.shape;
        let x = self.read(x).reshape([batch * tokens, hidden]);
        let [query, key, value] = self.projections.apply(x, &self.shape);
        let norms = self.head_norms.as_ref();
        let query = in_runs(norms.map(|(query, _)| query), query);
        let key = in_runs(norms.map(|(_, key)| key), key);
        let split =
            |x: Tensor<B, 2>, heads, dim| x.reshape([batch, tokens, heads, dim]).swap_dims(1, 2);
        let [query, key] = [split(query, heads, head_dim), split(key, kv_heads, head_dim)];
        [query, key, split(value, kv_heads, value_dim)]
    }

    /// Queries or keys rotated by their positions (RoPE), from `first` on.
    pub(crate) fn rotate(
        &self,
        x: Tensor<B, 4>,
        first: usize,
        maker: &Maker<B>,
        ropes: &mut Ropes<B>,
    ) -> Tensor<B, 4> {
        let Some(place) = self.rope else { return x };
        let length = first + x.dims()[2];
        B::rotate(x, ropes.0[place].rotation(length, maker), Positions::From(first))
    }
}

impl<B: Kernels> Projected<B> {
    fn new(tensors: Projections, maker: &Maker<B>) -> Projected<B> {
        match tensors {
            Projections::Direct { query, key, value } => {
                let [query, key, value] = [query, key, value].map(|tensors| maker.linear(tensors));
                Projected::Direct { query, key, value }
            }
            Projections::Latent(tensors) => Projected::Latent(Latent::new(*tensors, maker)),
        }
    }

    /// Queries, keys and values of rows `[rows, hidden]`, head beside head.
    fn apply(&self, x: Tensor<B, 2>, shape: &AttentionShape) -> [Tensor<B, 2>; 3] {
        match self {
            Projected::Direct { query, key, value } => {
                [query.apply(x.clone()), key.apply(x.clone()), value.apply(x)]
            }
            Projected::Latent(latent) => latent.apply(x, shape),
        }
    }
}

impl<B: Kernels> Latent<B> {
    fn new(tensors: LatentTensors, maker: &Maker<B>) -> Latent<B> {
        let LatentTensors { query_down, query, down, norm, key, value } = tensors;
        Latent {
            query_down: query_down.map(|(down, norm)| (maker.linear(down), maker.norm(norm))),
            query: maker.linear(query),
            down: maker.linear(down),
            norm: maker.norm(norm),
            key: maker.linear(key),
            value: maker.linear(value),
        }
    }

    fn apply(&self, x: Tensor<B, 2>, shape: &AttentionShape) -> [Tensor<B, 2>; 3] {
        let AttentionShape { kv_heads, head_dim, .. } = *shape;
        let query = match &self.query_down {
            Some((down, norm)) => self.query.apply(norm.apply(down.apply(x.clone()))),
            None => self.query.apply(x.clone()),
        };
        let both = self.down.apply(x);
        let ([rows, all], rank) = (both.dims(), self.norm.channels());
        let shared = all - rank;
        let latent = self.norm.apply(both.clone().narrow(1, 0, rank));
        let own = self.key.apply(latent.clone()).reshape([rows, kv_heads, head_dim - shared]);
        let shared = both.narrow(1, rank, shared).reshape([rows, 1, shared]);
        let key = Tensor::cat(vec![shared.repeat_dim(1, kv_heads), own], 2);
        [query, key.reshape([rows, kv_heads * head_dim]), self.value.apply(latent)]
    }
}

impl<B: Kernels> Default for Ropes<B> {
    fn default() -> Ropes<B> {
        Ropes(Vec::new())
    }
}

impl<B: Kernels> Ropes<B> {
    /// The index of `config`, which is added if it is new.
    fn place(&mut self, config: &RopeConfig) -> usize {
        if let Some(place) = self.0.iter().position(|rope| rope.config == *config) {
            return place;
        }
        let tables = [false, true].map(|long| RopeTable::new(config, long));
        self.0.push(Rope { config: config.clone(), tables, uploaded: [None, None] });
        self.0.len() - 1
    }

    /// Rotates keys `[1, kv_heads, entries, dim]` by their positions `[1, kv_heads, 1, entries]`, in
    /// a sequence of `length` tokens.
    pub(crate) fn turn_at(
        &mut self,
        place: usize,
        keys: Tensor<B, 4>,
        positions: Tensor<B, 4, Int>,
        length: usize,
        maker: &Maker<B>,
    ) -> Tensor<B, 4> {
        let [_, heads, entries, _] = keys.dims();
        let positions = Positions::Given(positions.reshape([heads * entries]));
        B::rotate(keys, self.0[place].rotation(length, maker), positions)
    }
}

impl<B: Kernels> Rope<B> {
    /// Cosines and sines of at least the first `tokens` positions, for a sequence of that length.
    fn rotation(&mut self, tokens: usize, maker: &Maker<B>) -> &Rotation<B> {
        let kind = usize::from(self.config.is_long(tokens));
        let (table, uploaded) = (&mut self.tables[kind], &mut self.uploaded[kind]);
        let known = uploaded.take().filter(|known| known.cos.dims()[0] >= tokens);
        uploaded.insert(known.unwrap_or_else(|| {
            table.extend(tokens);
            let (pairs, rounded_once) = (self.config.rotated / 2, self.config.rounded_once);
            let [cos, sin] = [&table.cos, &table.sin].map(|table| {
                let mut values = table[..tokens * pairs].to_vec();
                if !rounded_once {
                    maker.dtype.round(&mut values);
                }
                maker.floats(values, [tokens, pairs])
            });
            Rotation { cos, sin, rounded_once }
        }))
    }
}

/// The norm of every group of as many channels as it has weights.
fn in_runs<B: Kernels>(norm: Option<&NormWeights<B>>, x: Tensor<B, 2>) -> Tensor<B, 2> {
    let Some(norm) = norm else { return x };
    let [rows, channels] = x.dims();
    let runs = x.reshape([rows, channels / norm.channels(), norm.channels()]);
    norm.apply(runs).reshape([rows, channels])
}
