//! Every operation in burn's own tensor operations: what CUDA runs, and the plain path on the CPU.
//!
//! Tensors have the model's dtype; norms, rotations, the softmax and the logits are computed in
//! f32. A half type's head is kept in f32 on the device for that reason. Sequences are one matrix
//! product, so that stacking may change the last bits. Nothing is read back but hidden states and
//! figures of scored positions.
//!
//! Written once for every backend; which one it is disappears in `erased.rs`.

use std::sync::OnceLock;

use burn_tensor::backend::Backend;
use burn_tensor::{Bytes, DType, Distribution, FloatDType, Int, Tensor, TensorData, activation};
use strait_ops::{
    AttentionTensors, Dtype, Hidden, LinearTensors, MlpTensors, Ops, OpsError, RopeTable,
    ScoreRange, SequenceScores, Shape,
};

use crate::Weights;
use crate::attention::Causal;
use crate::head::{Figures, Kept, LOGITS_AT_A_TIME};
use crate::product::{Factors, product};

/// Standard deviation of random weights, as models start their training.
const RANDOM_SCALE: f64 = 0.02;

/// Burn's operations for one model on one device.
pub(crate) struct BackendOps<B: Backend> {
    shape: Shape,
    dtype: Dtype,
    device: B::Device,
    name: String,
    factors: Factors,
    random: bool,
    table: RopeTable,
    /// Cosines and sines of the longest sequence so far, `[1, 1, tokens, head_dim / 2]`.
    rope: Option<[Tensor<B, 4>; 2]>,
}

/// A weight `[in, out]` with its bias.
pub(crate) struct Linear<B: Backend> {
    weight: Tensor<B, 2>,
    bias: Option<Tensor<B, 1>>,
}

pub(crate) struct Attention<B: Backend> {
    norm: Tensor<B, 1>,
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    output: Linear<B>,
}

pub(crate) struct Mlp<B: Backend> {
    norm: Tensor<B, 1>,
    gate: Linear<B>,
    up: Linear<B>,
    down: Linear<B>,
}

/// An embedding or head `[vocab, hidden]`.
pub(crate) struct Table<B: Backend> {
    embedding: Tensor<B, 2>,
    /// The same in f32, from the first scores on.
    head: OnceLock<Tensor<B, 2>>,
}

impl<B: Backend> BackendOps<B> {
    /// Operations for a model of this shape on a device that treats f32 factors as `factors` says;
    /// `name` is what the device is called in messages.
    pub(crate) fn new(
        shape: &Shape,
        dtype: Dtype,
        device: B::Device,
        factors: Factors,
        name: String,
    ) -> BackendOps<B> {
        let factors = if dtype == Dtype::F32 { factors } else { Factors::Kept };
        let table = RopeTable::new(&shape.rope, shape.head_dim);
        let shape = shape.clone();
        BackendOps { shape, dtype, device, name, factors, random: false, table, rope: None }
    }

    /// The same with the weights that `weights` says.
    pub(crate) fn with(self, weights: Weights) -> BackendOps<B> {
        BackendOps { random: weights == Weights::Random, ..self }
    }

    /// Rounded on the host, so that the device never holds them in f32.
    fn weights<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<B, D> {
        if self.random && D > 1 {
            let normal = Distribution::Normal(0.0, RANDOM_SCALE);
            let values = Tensor::<B, D>::random(shape, normal, (&self.device, DType::F32));
            return values.cast(self.native());
        }
        let dtype = self.native().into();
        let data = match self.dtype {
            Dtype::F32 => TensorData::new(values, shape),
            Dtype::F16 | Dtype::Bf16 => {
                let mut halves = vec![0u16; values.len()];
                self.dtype.encode(&values, bytemuck::cast_slice_mut(&mut halves));
                TensorData::from_bytes(Bytes::from_elems(halves), shape, dtype)
            }
        };
        Tensor::from_data(data, (&self.device, dtype))
    }

    fn vector(&self, values: Vec<f32>) -> Tensor<B, 1> {
        let length = values.len();
        self.weights(values, [length])
    }

    fn linear(&self, tensors: LinearTensors) -> Linear<B> {
        let LinearTensors { weight, bias, outputs, inputs } = tensors;
        Linear {
            weight: self.weights(weight, [outputs, inputs]).transpose(),
            bias: bias.map(|bias| self.vector(bias)),
        }
    }

    fn native(&self) -> FloatDType {
        float(self.dtype)
    }

    fn norm<const D: usize>(&self, x: Tensor<B, D>, weight: &Tensor<B, 1>) -> Tensor<B, D> {
        let x = x.cast(FloatDType::F32);
        let squares = x.clone().square().mean_dim(D - 1);
        let normed = x / (squares + self.shape.norm_eps).sqrt();
        normed.cast(self.native()) * weight.clone().unsqueeze()
    }

    /// `[batch, tokens, heads * dim]` to `[batch, heads, tokens, dim]`.
    fn split(&self, x: Tensor<B, 3>, heads: usize) -> Tensor<B, 4> {
        let [batch, tokens, _] = x.dims();
        x.reshape([batch, tokens, heads, self.shape.head_dim]).swap_dims(1, 2)
    }

    fn rotate(&self, x: Tensor<B, 4>, cos: &Tensor<B, 4>, sin: &Tensor<B, 4>) -> Tensor<B, 4> {
        let half = self.shape.head_dim / 2;
        let x = x.cast(FloatDType::F32);
        let (low, high) = (x.clone().narrow(3, 0, half), x.narrow(3, half, half));
        let rotated = Tensor::cat(
            vec![
                low.clone() * cos.clone() - high.clone() * sin.clone(),
                high * cos.clone() + low * sin.clone(),
            ],
            3,
        );
        rotated.cast(self.native())
    }

    /// Cosines and sines of the first `tokens` positions. Uploaded again only for a longer sequence.
    fn rope(&mut self, tokens: usize) -> [Tensor<B, 4>; 2] {
        let pairs = self.shape.head_dim / 2;
        let tables = match self.rope.take() {
            Some(tables) if tables[0].dims()[2] >= tokens => tables,
            _ => {
                self.table.extend(tokens);
                [&self.table.cos, &self.table.sin].map(|table| {
                    let values = table[..tokens * pairs].to_vec();
                    let data = TensorData::new(values, [1, 1, tokens, pairs]);
                    Tensor::from_data(data, (&self.device, DType::F32))
                })
            }
        };
        let tables = self.rope.insert(tables);
        tables.each_ref().map(|table| table.clone().narrow(2, 0, tokens))
    }

    fn data<const D: usize>(&self, tensor: Tensor<B, D>) -> Result<TensorData, OpsError> {
        tensor.try_into_data().map_err(|error| self.failed(format!("{error:?}")))
    }

    fn failed(&self, reason: String) -> OpsError {
        OpsError::Device { device: self.name.clone(), reason }
    }

    /// Rows `[rows, in]` of `x` times a weight, `[batch, tokens, out]`.
    fn apply(&self, x: Tensor<B, 3>, linear: &Linear<B>) -> Tensor<B, 3> {
        let [batch, tokens, inputs] = x.dims();
        let rows = x.reshape([batch * tokens, inputs]);
        let y = product(rows, linear.weight.clone(), self.factors);
        let outputs = y.dims()[1];
        let y = y.reshape([batch, tokens, outputs]);
        match &linear.bias {
            Some(bias) => y + bias.clone().unsqueeze(),
            None => y,
        }
    }
}

/// An element type by burn's name.
pub(crate) fn float(dtype: Dtype) -> FloatDType {
    match dtype {
        Dtype::F32 => FloatDType::F32,
        Dtype::F16 => FloatDType::F16,
        Dtype::Bf16 => FloatDType::BF16,
    }
}

/// `work` on the positions of `x` from `wanted` on; those before stay as they are.
fn from_wanted<B: Backend>(
    x: Tensor<B, 3>,
    wanted: usize,
    work: impl FnOnce(Tensor<B, 3>) -> Tensor<B, 3>,
) -> Tensor<B, 3> {
    let tokens = x.dims()[1];
    if wanted == 0 || wanted >= tokens {
        return work(x);
    }
    let wanted_part = work(x.clone().narrow(1, wanted, tokens - wanted));
    Tensor::cat(vec![x.narrow(1, 0, wanted), wanted_part], 1)
}

impl<B: Backend> Ops for BackendOps<B> {
    type Stream = Tensor<B, 3>;
    type Attention = Attention<B>;
    type Mlp = Mlp<B>;
    type Table = Table<B>;
    type Norm = Tensor<B, 1>;
    type Logits = Vec<Kept<B>>;

    fn device(&self) -> String {
        self.name.clone()
    }

    fn prepare_attention(&self, tensors: AttentionTensors) -> Attention<B> {
        let AttentionTensors { norm, query, key, value, output } = tensors;
        Attention {
            norm: self.vector(norm),
            query: self.linear(query),
            key: self.linear(key),
            value: self.linear(value),
            output: self.linear(output),
        }
    }

    fn prepare_mlp(&self, tensors: MlpTensors) -> Mlp<B> {
        let MlpTensors { norm, gate, up, down } = tensors;
        Mlp {
            norm: self.vector(norm),
            gate: self.linear(gate),
            up: self.linear(up),
            down: self.linear(down),
        }
    }

    fn prepare_table(&self, weight: Vec<f32>) -> Table<B> {
        let embedding = self.weights(weight, [self.shape.vocab, self.shape.hidden]);
        Table { embedding, head: OnceLock::new() }
    }

    fn prepare_norm(&self, weight: Vec<f32>) -> Tensor<B, 1> {
        self.vector(weight)
    }

    fn upload(&self, hidden: &Hidden) -> Tensor<B, 3> {
        let shape = [hidden.batch, hidden.tokens, hidden.channels];
        let dtype = self.native().into();
        let data = TensorData::from_bytes_vec(hidden.data.to_vec(), shape, dtype);
        Tensor::from_data(data, (&self.device, dtype))
    }

    fn download(&self, stream: Tensor<B, 3>) -> Result<Hidden, OpsError> {
        let [batch, tokens, channels] = stream.dims();
        let data = self.data(stream)?;
        let mut hidden = Hidden::zeros(batch, tokens, channels, self.dtype);
        let bytes = data.as_bytes();
        if bytes.len() != hidden.data.len() {
            let (expected, found) = (hidden.data.len(), bytes.len());
            return Err(OpsError::size("hidden states read back, bytes", expected, found));
        }
        hidden.data.copy_from_slice(bytes);
        Ok(hidden)
    }

    fn embed(&self, table: &Table<B>, tokens: &[u32], batch: usize) -> Tensor<B, 3> {
        let count = tokens.len();
        let indices: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
        let data = TensorData::new(indices, [count]);
        let indices = Tensor::<B, 1, Int>::from_data(data, (&self.device, DType::I32));
        let shape = [batch, count / batch.max(1), self.shape.hidden];
        table.embedding.clone().select(0, indices).reshape(shape)
    }

    fn attention(
        &mut self,
        x: Tensor<B, 3>,
        weights: &Attention<B>,
        wanted: usize,
    ) -> Tensor<B, 3> {
        let [batch, tokens, _] = x.dims();
        let (heads, kv_heads, dim) = (self.shape.heads, self.shape.kv_heads, self.shape.head_dim);
        let [cos, sin] = self.rope(tokens);
        let normed = self.norm(x.clone(), &weights.norm);
        let query = self.split(self.apply(normed.clone(), &weights.query), heads);
        let key = self.split(self.apply(normed.clone(), &weights.key), kv_heads);
        let value = self.split(self.apply(normed, &weights.value), kv_heads);
        let causal = Causal {
            scale: 1.0 / (dim as f64).sqrt(),
            native: self.native(),
            factors: self.factors,
        };
        let (query, key) = (self.rotate(query, &cos, &sin), self.rotate(key, &cos, &sin));
        let context = causal.attend(query, key, value, wanted);
        let context = context.swap_dims(1, 2).reshape([batch, tokens, heads * dim]);
        x + self.apply(context, &weights.output)
    }

    fn mlp(&mut self, x: Tensor<B, 3>, weights: &Mlp<B>, wanted: usize) -> Tensor<B, 3> {
        from_wanted(x, wanted, |x| {
            let normed = self.norm(x.clone(), &weights.norm);
            let gate = activation::silu(self.apply(normed.clone(), &weights.gate));
            x + self.apply(gate * self.apply(normed, &weights.up), &weights.down)
        })
    }

    fn score(
        &mut self,
        x: &Tensor<B, 3>,
        sequence: usize,
        (norm, head): (&Tensor<B, 1>, &Table<B>),
        range: &ScoreRange,
        reference: Option<&Vec<Kept<B>>>,
    ) -> Result<(SequenceScores, Option<Vec<Kept<B>>>), OpsError> {
        let rows = (LOGITS_AT_A_TIME / self.shape.vocab).max(1);
        let mut figures = Figures::new(reference.is_some());
        let mut kept = Vec::new();
        for (run, targets) in range.targets.chunks(rows).enumerate() {
            let count = targets.len();
            let first = range.first_position + run * rows;
            let x = x.clone().narrow(0, sequence, 1).narrow(1, first, count);
            let x = self.norm(x.reshape([count, self.shape.hidden]), norm);
            let table = head.head.get_or_init(|| head.embedding.clone().cast(FloatDType::F32));
            let own = Kept::of(x, table, self.factors);
            let baseline = reference.and_then(|reference| reference.get(run));
            figures.add(&own, targets, baseline);
            if reference.is_none() {
                kept.push(own);
            }
        }
        let scores = figures.read(|table| {
            let data = self.data(table)?;
            data.into_vec().map_err(|error| self.failed(format!("{error:?}")))
        })?;
        Ok((scores, reference.is_none().then_some(kept)))
    }

    fn logits_bytes(logits: &Vec<Kept<B>>) -> usize {
        logits.iter().map(Kept::bytes).sum()
    }
}
