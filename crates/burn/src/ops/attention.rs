//! The attention block.

use burn::Dispatch;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, FloatDType, Tensor, TensorData};
use strait_ops::{AttentionShape, AttentionTensors, RopeConfig, RopeTable};

use crate::ops::tensors::{Linear, Maker, NormWeights, normed};

/// An attention block on a device.
pub struct Attention {
    shape: AttentionShape,
    /// Place in the model's [`Positions`].
    rope: Option<usize>,
    norm_in: Option<NormWeights>,
    query: Linear,
    key: Linear,
    value: Linear,
    /// Of queries and of keys.
    head_norms: Option<(NormWeights, NormWeights)>,
    output: Linear,
    norm_out: Option<NormWeights>,
}

/// What blocks know about positions: rotary tables and masks, kept from block to block.
#[derive(Default)]
pub(crate) struct Positions {
    ropes: Vec<Rope>,
    /// Masks by tokens and window; true is hidden.
    masks: Vec<(usize, usize, Tensor<Dispatch, 4, Bool>)>,
}

struct Rope {
    config: RopeConfig,
    /// For short sequences, and for long ones.
    tables: [RopeTable; 2],
    /// Tokens, with cosines and sines `[1, 1, tokens, pairs]`.
    current: Option<(usize, [Tensor<Dispatch, 4>; 2])>,
}

impl Attention {
    pub(crate) fn new(
        tensors: AttentionTensors,
        maker: &Maker,
        positions: &mut Positions,
    ) -> Attention {
        let AttentionTensors { shape, norm_in, query, key, value, head_norms, output, norm_out } =
            tensors;
        Attention {
            rope: shape.rope.as_ref().map(|config| positions.place(config)),
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

    /// The block's result, not yet added to `x`.
    pub(crate) fn apply(
        &self,
        x: Tensor<Dispatch, 3>,
        maker: &Maker,
        positions: &mut Positions,
    ) -> Tensor<Dispatch, 3> {
        let [batch, tokens, _] = x.dims();
        let AttentionShape { heads, kv_heads, head_dim, scale, window, .. } = self.shape;
        let x = normed(self.norm_in.as_ref(), x);
        let (query, key) = (self.query.apply(x.clone()), self.key.apply(x.clone()));
        let norms = self.head_norms.as_ref();
        let query = in_runs(norms.map(|(query, _)| query), query);
        let key = in_runs(norms.map(|(_, key)| key), key);
        let (query, key) = (split(query, heads), split(key, kv_heads));
        let (query, key) = match self.rope {
            None => (query, key),
            Some(place) => {
                let rope = &mut positions.ropes[place];
                let [cos, sin] = rope.table(tokens, maker);
                let once = rope.config.rounded_once;
                (rotate(query, &cos, &sin, once, maker), rotate(key, &cos, &sin, once, maker))
            }
        };
        let value = split(self.value.apply(x), kv_heads);
        let hides = window.filter(|&window| window < tokens);
        let mask = hides.map(|window| positions.mask(tokens, window, maker));
        let mask = mask.map(|mask| mask.expand([batch, heads, tokens, tokens]));
        let options = AttentionModuleOptions {
            scale: Some(scale),
            is_causal: mask.is_none(),
            ..Default::default()
        };
        let (key, value) = (repeat(key, heads), repeat(value, heads));
        let context = attention(query, key, value, mask, None, options);
        let context = context.swap_dims(1, 2).reshape([batch, tokens, heads * head_dim]);
        normed(self.norm_out.as_ref(), self.output.apply(context))
    }
}

impl Positions {
    /// The place of `config`, where it is put if it is new.
    fn place(&mut self, config: &RopeConfig) -> usize {
        if let Some(place) = self.ropes.iter().position(|rope| rope.config == *config) {
            return place;
        }
        let tables = [false, true].map(|long| RopeTable::new(config, long));
        self.ropes.push(Rope { config: config.clone(), tables, current: None });
        self.ropes.len() - 1
    }

    /// What a query of `tokens` does not see: keys after it, and those before its window.
    fn mask(&mut self, tokens: usize, window: usize, maker: &Maker) -> Tensor<Dispatch, 4, Bool> {
        let known = self.masks.iter().find(|(t, w, _)| (*t, *w) == (tokens, window));
        if let Some((_, _, mask)) = known {
            return mask.clone();
        }
        let hidden = |query: usize, key: usize| key > query || key + window <= query;
        let rows = (0..tokens).flat_map(|query| (0..tokens).map(move |key| hidden(query, key)));
        let data = TensorData::new(rows.collect::<Vec<bool>>(), [1, 1, tokens, tokens]);
        let mask = Tensor::from_data(data, &maker.device);
        self.masks.retain(|(other, _, _)| *other == tokens);
        self.masks.push((tokens, window, mask.clone()));
        mask
    }
}

impl Rope {
    fn table(&mut self, tokens: usize, maker: &Maker) -> [Tensor<Dispatch, 4>; 2] {
        if let Some((_, tables)) = self.current.as_ref().filter(|(known, _)| *known == tokens) {
            return tables.clone();
        }
        let table = &mut self.tables[usize::from(self.config.is_long(tokens))];
        table.extend(tokens);
        let pairs = self.config.rotated / 2;
        let shape = [1, 1, tokens, pairs];
        let tables = [&table.cos, &table.sin].map(|table| {
            let values = table[..tokens * pairs].to_vec();
            match self.config.rounded_once {
                true => maker.tensor(values, shape, DType::F32),
                false => maker.weights(values, shape),
            }
        });
        self.current = Some((tokens, tables.clone()));
        tables
    }
}

/// The norm of every run of as many channels as it has weights.
fn in_runs(norm: Option<&NormWeights>, x: Tensor<Dispatch, 3>) -> Tensor<Dispatch, 3> {
    let Some(norm) = norm else { return x };
    let [batch, tokens, channels] = x.dims();
    let runs = x.reshape([batch, tokens, channels / norm.channels(), norm.channels()]);
    norm.apply(runs).reshape([batch, tokens, channels])
}

/// `[batch, tokens, heads * dim]` to `[batch, heads, tokens, dim]`.
fn split(x: Tensor<Dispatch, 3>, heads: usize) -> Tensor<Dispatch, 4> {
    let [batch, tokens, channels] = x.dims();
    x.reshape([batch, tokens, heads, channels / heads]).swap_dims(1, 2)
}

/// Every key/value head repeated for its queries.
fn repeat(x: Tensor<Dispatch, 4>, queries: usize) -> Tensor<Dispatch, 4> {
    let [batch, heads, tokens, dim] = x.dims();
    let times = queries / heads;
    if times == 1 {
        return x;
    }
    x.reshape([batch, heads, 1, tokens, dim]).expand([batch, heads, times, tokens, dim]).reshape([
        batch,
        heads * times,
        tokens,
        dim,
    ])
}

/// Turns the first channels of every head; `once` does so in f32.
fn rotate(
    x: Tensor<Dispatch, 4>,
    cos: &Tensor<Dispatch, 4>,
    sin: &Tensor<Dispatch, 4>,
    once: bool,
    maker: &Maker,
) -> Tensor<Dispatch, 4> {
    let (dim, half) = (x.dims()[3], cos.dims()[3]);
    let turned = x.clone().narrow(3, 0, 2 * half);
    let turned = if once { turned.cast(FloatDType::F32) } else { turned };
    let (low, high) = (turned.clone().narrow(3, 0, half), turned.narrow(3, half, half));
    let first = low.clone() * cos.clone() - high.clone() * sin.clone();
    let second = high * cos.clone() + low * sin.clone();
    let mut parts = vec![first.cast(maker.native()), second.cast(maker.native())];
    if dim > 2 * half {
        parts.push(x.narrow(3, 2 * half, dim - 2 * half));
    }
    Tensor::cat(parts, 3)
}
