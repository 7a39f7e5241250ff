//! Every operation in burn's own tensor operations: what CUDA runs, and the plain path on the CPU.
//!
//! Tensors have the model's dtype; norms, rotations, the softmax and the logits are computed in
//! f32. A half type's head is kept in f32 on the device for that reason. Sequences are one matrix
//! product, so that stacking may change the last bits.
//!
//! The backend is chosen at run time: burn compiles its backends into `Dispatch` once, so that this
//! crate does not compile every CUDA kernel's generics anew at each change.

use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{DType, FloatDType, Int, Tensor, TensorData, activation};
use burn::{Dispatch, DispatchDevice};
use strait_ops::{
    AttentionTensors, Dtype, Hidden, LinearTensors, MlpTensors, Ops, OpsError, RopeTable,
    ScoreRange, SequenceScores, Shape,
};

use crate::BurnDevice;

/// Logits that are on the device at a time beside the reference.
const LOGITS_AT_A_TIME: usize = 16 << 20;

/// Burn's operations for one model on one device.
pub struct BurnOps {
    shape: Shape,
    dtype: Dtype,
    device: DispatchDevice,
    name: String,
    table: RopeTable,
}

/// A weight `[in, out]` with its bias.
pub(crate) struct Linear {
    weight: Tensor<Dispatch, 2>,
    bias: Option<Tensor<Dispatch, 1>>,
}

pub struct Attention {
    norm: Tensor<Dispatch, 1>,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
}

pub struct Mlp {
    norm: Tensor<Dispatch, 1>,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// An embedding or head `[vocab, hidden]`.
pub struct Table {
    embedding: Tensor<Dispatch, 2>,
    head: Tensor<Dispatch, 2>,
}

/// Logits `[rows, vocab]`, log-sum-exps `[rows, 1]` and most likely tokens `[rows, 1]` of a run of
/// scored positions.
pub struct Kept {
    logits: Tensor<Dispatch, 2>,
    log_total: Tensor<Dispatch, 2>,
    highest: Tensor<Dispatch, 2>,
    top: Tensor<Dispatch, 2, Int>,
}

impl BurnOps {
    /// Operations for a model of this shape; `name` is what the device is called in messages.
    #[must_use]
    pub fn new(shape: &Shape, dtype: Dtype, device: BurnDevice, name: String) -> BurnOps {
        let table = RopeTable::new(&shape.rope, shape.head_dim);
        BurnOps { shape: shape.clone(), dtype, device: device.device(), name, table }
    }

    fn tensor<const D: usize>(
        &self,
        values: Vec<f32>,
        shape: [usize; D],
        dtype: DType,
    ) -> Tensor<Dispatch, D> {
        let data = TensorData::new(values, shape).convert_dtype(dtype);
        Tensor::from_data(data, (&self.device, dtype))
    }

    fn weights<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<Dispatch, D> {
        self.tensor(values, shape, burn_dtype(self.dtype))
    }

    fn vector(&self, values: Vec<f32>) -> Tensor<Dispatch, 1> {
        let length = values.len();
        self.weights(values, [length])
    }

    fn linear(&self, tensors: LinearTensors) -> Linear {
        let LinearTensors { weight, bias, outputs, inputs } = tensors;
        Linear {
            weight: self.weights(weight, [outputs, inputs]).transpose(),
            bias: bias.map(|bias| self.vector(bias)),
        }
    }

    fn native(&self) -> FloatDType {
        match self.dtype {
            Dtype::F32 => FloatDType::F32,
            Dtype::F16 => FloatDType::F16,
            Dtype::Bf16 => FloatDType::BF16,
        }
    }

    fn norm<const D: usize>(
        &self,
        x: Tensor<Dispatch, D>,
        weight: &Tensor<Dispatch, 1>,
    ) -> Tensor<Dispatch, D> {
        let x = x.cast(FloatDType::F32);
        let squares = x.clone().square().mean_dim(D - 1);
        let normed = x / (squares + self.shape.norm_eps).sqrt();
        normed.cast(self.native()) * weight.clone().unsqueeze()
    }

    /// `[batch, tokens, heads * dim]` to `[batch, heads, tokens, dim]`.
    fn split(&self, x: Tensor<Dispatch, 3>, heads: usize) -> Tensor<Dispatch, 4> {
        let [batch, tokens, _] = x.dims();
        x.reshape([batch, tokens, heads, self.shape.head_dim]).swap_dims(1, 2)
    }

    fn rotate(
        &self,
        x: Tensor<Dispatch, 4>,
        cos: &Tensor<Dispatch, 4>,
        sin: &Tensor<Dispatch, 4>,
    ) -> Tensor<Dispatch, 4> {
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

    /// Every key/value head repeated for its queries.
    fn repeat(&self, x: Tensor<Dispatch, 4>) -> Tensor<Dispatch, 4> {
        let [batch, heads, tokens, dim] = x.dims();
        let times = self.shape.heads / self.shape.kv_heads;
        if times == 1 {
            return x;
        }
        x.reshape([batch, heads, 1, tokens, dim])
            .expand([batch, heads, times, tokens, dim])
            .reshape([batch, heads * times, tokens, dim])
    }

    fn read<const D: usize>(&self, tensor: Tensor<Dispatch, D>) -> Result<Vec<f32>, OpsError> {
        let failed = |reason: String| OpsError::Device { device: self.name.clone(), reason };
        let data = tensor.try_into_data().map_err(|error| failed(format!("{error:?}")))?;
        data.convert::<f32>().to_vec().map_err(|error| failed(format!("{error:?}")))
    }

    /// Logits of one run of scored positions and all that follows from them.
    fn logits(&self, x: Tensor<Dispatch, 2>, head: &Table) -> Kept {
        let logits = x.cast(FloatDType::F32).matmul(head.head.clone().transpose());
        let (highest, top) = logits.clone().max_dim_with_indices(1);
        let total = (logits.clone() - highest.clone()).exp().sum_dim(1);
        Kept { logits, log_total: highest.clone() + total.log(), highest, top }
    }
}

fn apply(x: Tensor<Dispatch, 3>, linear: &Linear) -> Tensor<Dispatch, 3> {
    let y = x.matmul(linear.weight.clone().unsqueeze());
    match &linear.bias {
        Some(bias) => y + bias.clone().unsqueeze(),
        None => y,
    }
}

fn burn_dtype(dtype: Dtype) -> DType {
    match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::Bf16 => DType::BF16,
    }
}

impl Ops for BurnOps {
    type Stream = Tensor<Dispatch, 3>;
    type Attention = Attention;
    type Mlp = Mlp;
    type Table = Table;
    type Norm = Tensor<Dispatch, 1>;
    type Logits = Vec<Kept>;

    fn device(&self) -> String {
        self.name.clone()
    }

    fn prepare_attention(&self, tensors: AttentionTensors) -> Attention {
        let AttentionTensors { norm, query, key, value, output } = tensors;
        Attention {
            norm: self.vector(norm),
            query: self.linear(query),
            key: self.linear(key),
            value: self.linear(value),
            output: self.linear(output),
        }
    }

    fn prepare_mlp(&self, tensors: MlpTensors) -> Mlp {
        let MlpTensors { norm, gate, up, down } = tensors;
        Mlp {
            norm: self.vector(norm),
            gate: self.linear(gate),
            up: self.linear(up),
            down: self.linear(down),
        }
    }

    fn prepare_table(&self, weight: Vec<f32>) -> Table {
        let embedding = self.weights(weight, [self.shape.vocab, self.shape.hidden]);
        let head = embedding.clone().cast(FloatDType::F32);
        Table { embedding, head }
    }

    fn prepare_norm(&self, weight: Vec<f32>) -> Tensor<Dispatch, 1> {
        self.vector(weight)
    }

    fn upload(&self, hidden: &Hidden) -> Tensor<Dispatch, 3> {
        self.weights(hidden.to_f32(), [hidden.batch, hidden.tokens, hidden.channels])
    }

    fn download(&self, stream: Tensor<Dispatch, 3>) -> Result<Hidden, OpsError> {
        let shape = stream.dims();
        Hidden::from_f32(&self.read(stream)?, shape, self.dtype)
    }

    fn embed(&self, table: &Table, tokens: &[u32], batch: usize) -> Tensor<Dispatch, 3> {
        let count = tokens.len();
        let indices: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
        let data = TensorData::new(indices, [count]);
        let indices = Tensor::<Dispatch, 1, Int>::from_data(data, (&self.device, DType::I32));
        let shape = [batch, count / batch.max(1), self.shape.hidden];
        table.embedding.clone().select(0, indices).reshape(shape)
    }

    fn attention(
        &mut self,
        x: Tensor<Dispatch, 3>,
        weights: &Attention,
        _wanted: usize,
    ) -> Tensor<Dispatch, 3> {
        let [batch, tokens, _] = x.dims();
        let (heads, kv_heads, dim) = (self.shape.heads, self.shape.kv_heads, self.shape.head_dim);
        self.table.extend(tokens);
        let shape = [1, 1, tokens, dim / 2];
        let part =
            |table: &[f32]| self.tensor(table[..tokens * dim / 2].to_vec(), shape, DType::F32);
        let (cos, sin) = (part(&self.table.cos), part(&self.table.sin));
        let normed = self.norm(x.clone(), &weights.norm);
        let query = self.split(apply(normed.clone(), &weights.query), heads);
        let key = self.split(apply(normed.clone(), &weights.key), kv_heads);
        let value = self.split(apply(normed, &weights.value), kv_heads);
        let options = AttentionModuleOptions { is_causal: true, ..Default::default() };
        let context = attention(
            self.rotate(query, &cos, &sin),
            self.repeat(self.rotate(key, &cos, &sin)),
            self.repeat(value),
            None,
            None,
            options,
        );
        let context = context.swap_dims(1, 2).reshape([batch, tokens, heads * dim]);
        x + apply(context, &weights.output)
    }

    fn mlp(
        &mut self,
        x: Tensor<Dispatch, 3>,
        weights: &Mlp,
        _wanted: usize,
    ) -> Tensor<Dispatch, 3> {
        let normed = self.norm(x.clone(), &weights.norm);
        let gate = activation::silu(apply(normed.clone(), &weights.gate));
        x + apply(gate * apply(normed, &weights.up), &weights.down)
    }

    fn score(
        &mut self,
        x: &Tensor<Dispatch, 3>,
        sequence: usize,
        (norm, head): (&Tensor<Dispatch, 1>, &Table),
        range: &ScoreRange,
        reference: Option<&Vec<Kept>>,
    ) -> Result<(SequenceScores, Option<Vec<Kept>>), OpsError> {
        let rows = (LOGITS_AT_A_TIME / self.shape.vocab).max(1);
        let mut scores = SequenceScores::default();
        let mut kept = Vec::new();
        for (run, targets) in range.targets.chunks(rows).enumerate() {
            let count = targets.len();
            let first = range.first_position + run * rows;
            let rows = x.clone().narrow(0, sequence, 1).narrow(1, first, count);
            let rows = self.norm(rows.reshape([count, self.shape.hidden]), norm);
            let own = self.logits(rows, head);
            let indices: Vec<i32> = targets.iter().map(|&target| target as i32).collect();
            let data = TensorData::new(indices, [count, 1]);
            let indices = Tensor::<Dispatch, 2, Int>::from_data(data, (&self.device, DType::I32));
            let nll = own.log_total.clone() - own.logits.clone().gather(1, indices);
            scores.nll.extend(self.read(nll)?.into_iter().map(f64::from));
            let Some(reference) = reference.and_then(|reference| reference.get(run)) else {
                let top = (own.highest.clone() - own.log_total.clone()).exp();
                scores.top_probability.extend(self.read(top)?);
                scores.same_top.extend(std::iter::repeat_n(true, count));
                kept.push(own);
                continue;
            };
            let p = (reference.logits.clone() - reference.log_total.clone()).exp();
            let mass = p.clone().sum_dim(1);
            let drift = (p * (reference.logits.clone() - own.logits)).sum_dim(1);
            let kld = drift / mass + (own.log_total - reference.log_total.clone());
            scores.kld.extend(self.read(kld)?);
            let same = own.top.equal(reference.top.clone()).float();
            scores.same_top.extend(self.read(same)?.into_iter().map(|same| same > 0.5));
        }
        Ok((scores, reference.is_none().then_some(kept)))
    }

    fn logits_bytes(logits: &Vec<Kept>) -> usize {
        logits.iter().map(|kept| kept.logits.shape().num_elements() * size_of::<f32>()).sum()
    }
}
