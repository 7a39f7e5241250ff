//! The attention block.

use burn_tensor::backend::Backend;
use burn_tensor::{FloatDType, Int, Tensor};
use strait_ops::{AttentionShape, AttentionTensors, Past, RopeConfig, RopeTable};

use crate::attention::Causal;
use crate::ops::past::Cache;
use crate::ops::tensors::{Linear, Maker, NormWeights, normed};

/// An attention block on a device.
pub(crate) struct Attention<B: Backend> {
    pub(crate) shape: AttentionShape,
    /// Place in the model's [`Ropes`].
    pub(crate) rope: Option<usize>,
    norm_in: Option<NormWeights<B>>,
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    /// Of queries and of keys.
    head_norms: Option<(NormWeights<B>, NormWeights<B>)>,
    output: Linear<B>,
    norm_out: Option<NormWeights<B>>,
}

/// The rotary tables of a model's blocks, each kept once.
pub(crate) struct Ropes<B: Backend>(Vec<Rope<B>>);

struct Rope<B: Backend> {
    config: RopeConfig,
    /// For short sequences, and for long ones.
    tables: [RopeTable; 2],
    /// Cosines and sines `[1, 1, tokens, pairs]` of the longest sequence so far, of both kinds.
    uploaded: [Option<[Tensor<B, 4>; 2]>; 2],
}

impl<B: Backend> Attention<B> {
    pub(crate) fn new(
        tensors: AttentionTensors,
        maker: &Maker<B>,
        ropes: &mut Ropes<B>,
    ) -> Attention<B> {
        let AttentionTensors { shape, norm_in, query, key, value, head_norms, output, norm_out } =
            tensors;
        Attention {
            rope: shape.rope.as_ref().map(|config| ropes.place(config)),
            shape,
            norm_in: norm_in.map(|norm| maker.norm(norm)),
            query: maker.linear(query),
            key: maker.linear(key),
            value: maker.linear(value),
            head_norms: head_norms.map(|norms| (maker.norm(norms.query), maker.norm(norms.key))),
            output: maker.linear(output),
            norm_out: norm_out.map(|norm| maker.norm(norm)),
        }
    }

    /// The block's result, not yet added to `x`. Positions before `wanted` may hold anything finite.
    pub(crate) fn apply(
        &self,
        x: Tensor<B, 3>,
        wanted: usize,
        past: Option<Past<'_, Cache<B>>>,
        maker: &Maker<B>,
        ropes: &mut Ropes<B>,
    ) -> Tensor<B, 3> {
        let tokens = x.dims()[1];
        let causal = self.causal(maker);
        let [query, key, value] = self.project(x);
        let context = match past {
            None => {
                let query = self.turn(query, 0, maker, ropes);
                let key = self.turn(key, 0, maker, ropes);
                causal.attend(query, key, value, wanted)
            }
            Some(Past { caches, first_position: first }) => {
                let query = self.turn(query, first, maker, ropes);
                let turned = self.turn(key.clone(), first, maker, ropes);
                let contexts = caches.iter_mut().enumerate().map(|(sequence, cache)| {
                    let key = if cache.turned { &turned } else { &key };
                    let of = |x: &Tensor<B, 4>| x.clone().narrow(0, sequence, 1);
                    cache.add(of(key), of(&value), first, maker);
                    let entries = cache.seen(self, first + tokens, maker, ropes);
                    causal.attend_entries(of(&query), &entries, first)
                });
                Tensor::cat(contexts.collect(), 0)
            }
        };
        self.finish(context)
    }

    /// What the context `[batch, heads, tokens, dim]` adds to the stream, `[batch, tokens, hidden]`.
    pub(crate) fn finish(&self, context: Tensor<B, 4>) -> Tensor<B, 3> {
        let [batch, heads, tokens, dim] = context.dims();
        let context = context.swap_dims(1, 2).reshape([batch * tokens, heads * dim]);
        let y = self.output.apply(context);
        let hidden = y.dims()[1];
        normed(self.norm_out.as_ref(), y.reshape([batch, tokens, hidden]))
    }

    pub(crate) fn causal(&self, maker: &Maker<B>) -> Causal {
        let AttentionShape { scale, window, .. } = self.shape;
        Causal { scale, window, native: maker.native(), factors: maker.factors }
    }

    /// What the block reads of `x`.
    pub(crate) fn read(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        normed(self.norm_in.as_ref(), x)
    }

    /// For every query head the 1-norm of each of the values `[1, kv_heads, entries, dim]` times the
    /// head's part of the output projection, `[1, heads, 1, entries]`.
    pub(crate) fn output_norms(&self, values: &Tensor<B, 4>) -> Tensor<B, 4> {
        let AttentionShape { heads, kv_heads, head_dim, .. } = self.shape;
        let entries = values.dims()[2];
        let of_head = |head: usize| {
            let values = values.clone().narrow(1, head / (heads / kv_heads), 1);
            let added =
                self.output.apply_part(values.reshape([entries, head_dim]), head * head_dim);
            added.cast(FloatDType::F32).abs().sum_dim(1).reshape([1, 1, 1, entries])
        };
        Tensor::cat((0..heads).map(of_head).collect(), 1)
    }

    /// Queries, keys and values `[batch, heads, tokens, dim]`, not yet turned.
    pub(crate) fn project(&self, x: Tensor<B, 3>) -> [Tensor<B, 4>; 3] {
        let [batch, tokens, hidden] = x.dims();
        let AttentionShape { heads, kv_heads, head_dim, .. } = self.shape;
        let x = self.read(x).reshape([batch * tokens, hidden]);
        let (query, key) = (self.query.apply(x.clone()), self.key.apply(x.clone()));
        let norms = self.head_norms.as_ref();
        let query = in_runs(norms.map(|(query, _)| query), query);
        let key = in_runs(norms.map(|(_, key)| key), key);
        let split =
            |x: Tensor<B, 2>, heads| x.reshape([batch, tokens, heads, head_dim]).swap_dims(1, 2);
        [split(query, heads), split(key, kv_heads), split(self.value.apply(x), kv_heads)]
    }

    /// Queries or keys turned by their positions, from `first` on.
    pub(crate) fn turn(
        &self,
        x: Tensor<B, 4>,
        first: usize,
        maker: &Maker<B>,
        ropes: &mut Ropes<B>,
    ) -> Tensor<B, 4> {
        let Some(place) = self.rope else { return x };
        let (rope, tokens) = (&mut ropes.0[place], x.dims()[2]);
        let tables = rope.table(first + tokens, maker);
        rope.turn(x, &tables.map(|table| table.narrow(2, first, tokens)), maker)
    }
}

impl<B: Backend> Default for Ropes<B> {
    fn default() -> Ropes<B> {
        Ropes(Vec::new())
    }
}

impl<B: Backend> Ropes<B> {
    /// The place of `config`, where it is put if it is new.
    fn place(&mut self, config: &RopeConfig) -> usize {
        if let Some(place) = self.0.iter().position(|rope| rope.config == *config) {
            return place;
        }
        let tables = [false, true].map(|long| RopeTable::new(config, long));
        self.0.push(Rope { config: config.clone(), tables, uploaded: [None, None] });
        self.0.len() - 1
    }

    /// Turns keys `[1, kv_heads, entries, dim]` by their positions `[1, kv_heads, entries, 1]`, in a
    /// sequence of `length` tokens.
    pub(crate) fn turn_at(
        &mut self,
        place: usize,
        keys: Tensor<B, 4>,
        positions: Tensor<B, 4, Int>,
        length: usize,
        maker: &Maker<B>,
    ) -> Tensor<B, 4> {
        let [_, heads, entries, _] = keys.dims();
        let rope = &mut self.0[place];
        let pairs = rope.config.rotated / 2;
        let tables = rope.table(length, maker).map(|table| {
            let rows = table.reshape([length, pairs]);
            let positions = positions.clone().reshape([heads * entries]);
            rows.select(0, positions).reshape([1, heads, entries, pairs])
        });
        rope.turn(keys, &tables, maker)
    }
}

impl<B: Backend> Rope<B> {
    /// Cosines and sines of the first `tokens` positions of a sequence of as many.
    fn table(&mut self, tokens: usize, maker: &Maker<B>) -> [Tensor<B, 4>; 2] {
        let kind = usize::from(self.config.is_long(tokens));
        let (table, uploaded) = (&mut self.tables[kind], &mut self.uploaded[kind]);
        let pairs = self.config.rotated / 2;
        let tables = match uploaded.take() {
            Some(tables) if tables[0].dims()[2] >= tokens => tables,
            _ => {
                table.extend(tokens);
                [&table.cos, &table.sin].map(|table| {
                    let mut values = table[..tokens * pairs].to_vec();
                    if !self.config.rounded_once {
                        maker.dtype.round(&mut values);
                    }
                    maker.floats(values, [1, 1, tokens, pairs])
                })
            }
        };
        let tables = uploaded.insert(tables);
        tables.each_ref().map(|table| {
            let table = table.clone().narrow(2, 0, tokens);
            if self.config.rounded_once { table } else { table.cast(maker.native()) }
        })
    }

    /// Turns the first channels of every head of `x`, in f32 if the result is rounded once.
    fn turn(
        &self,
        x: Tensor<B, 4>,
        [cos, sin]: &[Tensor<B, 4>; 2],
        maker: &Maker<B>,
    ) -> Tensor<B, 4> {
        let (dim, half) = (x.dims()[3], cos.dims()[3]);
        let turned = x.clone().narrow(3, 0, 2 * half);
        let turned = if self.config.rounded_once { turned.cast(FloatDType::F32) } else { turned };
        let (low, high) = (turned.clone().narrow(3, 0, half), turned.narrow(3, half, half));
        let first = low.clone() * cos.clone() - high.clone() * sin.clone();
        let second = high * cos.clone() + low * sin.clone();
        let mut parts = vec![first.cast(maker.native()), second.cast(maker.native())];
        if dim > 2 * half {
            parts.push(x.narrow(3, 2 * half, dim - 2 * half));
        }
        Tensor::cat(parts, 3)
    }
}

/// The norm of every run of as many channels as it has weights.
fn in_runs<B: Backend>(norm: Option<&NormWeights<B>>, x: Tensor<B, 2>) -> Tensor<B, 2> {
    let Some(norm) = norm else { return x };
    let [rows, channels] = x.dims();
    let runs = x.reshape([rows, channels / norm.channels(), norm.channels()]);
    norm.apply(runs).reshape([rows, channels])
}
