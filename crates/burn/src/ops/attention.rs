//! The attention block.

use burn_tensor::backend::Backend;
use burn_tensor::{FloatDType, Tensor};
use strait_ops::{AttentionShape, AttentionTensors, RopeConfig, RopeTable};

use crate::attention::Causal;
use crate::ops::tensors::{Linear, Maker, NormWeights, normed};

/// An attention block on a device.
pub(crate) struct Attention<B: Backend> {
    shape: AttentionShape,
    /// Place in the model's [`Ropes`].
    rope: Option<usize>,
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
        maker: &Maker<B>,
        ropes: &mut Ropes<B>,
    ) -> Tensor<B, 3> {
        let [batch, tokens, hidden] = x.dims();
        let AttentionShape { heads, kv_heads, head_dim, scale, window, .. } = self.shape;
        let x = normed(self.norm_in.as_ref(), x).reshape([batch * tokens, hidden]);
        let (query, key) = (self.query.apply(x.clone()), self.key.apply(x.clone()));
        let norms = self.head_norms.as_ref();
        let query = in_runs(norms.map(|(query, _)| query), query);
        let key = in_runs(norms.map(|(_, key)| key), key);
        let split =
            |x: Tensor<B, 2>, heads| x.reshape([batch, tokens, heads, head_dim]).swap_dims(1, 2);
        let (mut query, mut key) = (split(query, heads), split(key, kv_heads));
        let value = split(self.value.apply(x), kv_heads);
        if let Some(place) = self.rope {
            let rope = &mut ropes.0[place];
            let tables = rope.table(tokens, maker);
            (query, key) = (rope.turn(query, &tables, maker), rope.turn(key, &tables, maker));
        }
        let causal = Causal { scale, window, native: maker.native(), factors: maker.factors };
        let context = causal.attend(query, key, value, wanted);
        let context = context.swap_dims(1, 2).reshape([batch * tokens, heads * head_dim]);
        let y = self.output.apply(context).reshape([batch, tokens, hidden]);
        normed(self.norm_out.as_ref(), y)
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
