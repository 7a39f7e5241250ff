//! Every operation in burn's own tensor operations: what CUDA runs, and the plain path on the CPU.
//!
//! Tensors have the model's dtype; norms, rotations, the softmax and the logits are computed in
//! f32. A half type's head is kept in f32 on the device for that reason. Sequences are one matrix
//! product, so that stacking may change the last bits.
//!
//! The backend is chosen at run time: burn compiles its backends into `Dispatch` once, so that this
//! crate does not compile every CUDA kernel's generics anew at each change.

mod attention;
mod mlp;
mod tensors;

use burn::Dispatch;
use burn::tensor::{DType, FloatDType, Int, Tensor, TensorData};
use strait_ops::{
    AttentionTensors, Dtype, FeedForwardTensors, Hidden, MlpTensors, NormTensors, Ops, OpsError,
    ScoreRange, SequenceScores, Shape,
};

use self::attention::{Attention, Positions};
use self::mlp::{FeedForward, Mlp};
use self::tensors::{Maker, NormWeights};
use crate::BurnDevice;

/// Logits that are on the device at a time beside the reference.
const LOGITS_AT_A_TIME: usize = 16 << 20;

/// Burn's operations for one model on one device.
pub struct BurnOps {
    shape: Shape,
    maker: Maker,
    name: String,
    positions: Positions,
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
    top: Tensor<Dispatch, 2, Int>,
}

impl BurnOps {
    /// Operations for a model of this shape; `name` is what the device is called in messages.
    #[must_use]
    pub fn new(shape: &Shape, dtype: Dtype, device: BurnDevice, name: String) -> BurnOps {
        let maker = Maker { device: device.device(), dtype, norm: shape.norm };
        BurnOps { shape: shape.clone(), maker, name, positions: Positions::default() }
    }

    fn read<const D: usize>(&self, tensor: Tensor<Dispatch, D>) -> Result<Vec<f32>, OpsError> {
        let failed = |reason: String| OpsError::Device { device: self.name.clone(), reason };
        let data = tensor.try_into_data().map_err(|error| failed(format!("{error:?}")))?;
        data.convert::<f32>().to_vec().map_err(|error| failed(format!("{error:?}")))
    }

    /// Logits of one run of scored positions and all that follows from them.
    fn logits(&self, x: Tensor<Dispatch, 2>, head: &Table) -> Kept {
        let logits = x.cast(FloatDType::F32).matmul(head.head.clone().transpose());
        let logits = match self.shape.logit_cap {
            Some(cap) => (logits / cap).tanh() * cap,
            None => logits,
        };
        let (highest, top) = logits.clone().max_dim_with_indices(1);
        let total = (logits.clone() - highest.clone()).exp().sum_dim(1);
        Kept { logits, log_total: highest + total.log(), top }
    }
}

impl Ops for BurnOps {
    type Stream = Tensor<Dispatch, 3>;
    type Attention = Attention;
    type FeedForward = FeedForward;
    type Mlp = Mlp;
    type Table = Table;
    type Positions = Tensor<Dispatch, 2>;
    type Norm = NormWeights;
    type Logits = Vec<Kept>;

    fn device(&self) -> String {
        self.name.clone()
    }

    fn prepare_attention(&mut self, tensors: AttentionTensors) -> Attention {
        Attention::new(tensors, &self.maker, &mut self.positions)
    }

    fn prepare_feed_forward(&mut self, tensors: FeedForwardTensors) -> FeedForward {
        FeedForward::new(tensors, &self.maker)
    }

    fn prepare_mlp(&mut self, tensors: MlpTensors<FeedForward>) -> Mlp {
        Mlp::new(tensors, &self.maker)
    }

    fn prepare_table(&mut self, weight: Vec<f32>) -> Table {
        let embedding = self.maker.weights(weight, [self.shape.vocab, self.shape.hidden]);
        let head = embedding.clone().cast(FloatDType::F32);
        Table { embedding, head }
    }

    fn prepare_positions(&mut self, weight: Vec<f32>) -> Tensor<Dispatch, 2> {
        let shape = [weight.len() / self.shape.hidden, self.shape.hidden];
        self.maker.weights(weight, shape)
    }

    fn prepare_norm(&mut self, tensors: NormTensors) -> NormWeights {
        self.maker.norm(tensors)
    }

    fn upload(&self, hidden: &Hidden) -> Tensor<Dispatch, 3> {
        self.maker.weights(hidden.to_f32(), [hidden.batch, hidden.tokens, hidden.channels])
    }

    fn download(&self, stream: Tensor<Dispatch, 3>) -> Result<Hidden, OpsError> {
        let shape = stream.dims();
        Hidden::from_f32(&self.read(stream)?, shape, self.maker.dtype)
    }

    fn embed(
        &self,
        table: &Table,
        positions: Option<&Tensor<Dispatch, 2>>,
        tokens: &[u32],
        batch: usize,
    ) -> Tensor<Dispatch, 3> {
        let (count, hidden) = (tokens.len(), self.shape.hidden);
        let length = count / batch.max(1);
        let indices: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
        let data = TensorData::new(indices, [count]);
        let device = &self.maker.device;
        let indices = Tensor::<Dispatch, 1, Int>::from_data(data, (device, DType::I32));
        let mut x = table.embedding.clone().select(0, indices).reshape([batch, length, hidden]);
        let mut scale = [self.shape.embedding_scale as f32];
        self.maker.dtype.round(&mut scale);
        if scale != [1.0] {
            x = x * scale[0];
        }
        match positions {
            Some(positions) => x + positions.clone().narrow(0, 0, length).unsqueeze(),
            None => x,
        }
    }

    fn attention(
        &mut self,
        x: Tensor<Dispatch, 3>,
        weights: &Attention,
        _wanted: usize,
    ) -> Tensor<Dispatch, 3> {
        x.clone() + weights.apply(x, &self.maker, &mut self.positions)
    }

    fn mlp(
        &mut self,
        x: Tensor<Dispatch, 3>,
        weights: &Mlp,
        _wanted: usize,
    ) -> Tensor<Dispatch, 3> {
        x.clone() + weights.apply(x, &self.maker)
    }

    fn parallel(
        &mut self,
        x: Tensor<Dispatch, 3>,
        attention: &Attention,
        mlp: &Mlp,
        _wanted: usize,
    ) -> Tensor<Dispatch, 3> {
        let attended = attention.apply(x.clone(), &self.maker, &mut self.positions);
        mlp.apply(x.clone(), &self.maker) + attended + x
    }

    fn score(
        &mut self,
        x: &Tensor<Dispatch, 3>,
        sequence: usize,
        (norm, head): (&NormWeights, &Table),
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
            let rows = norm.apply(rows.reshape([count, self.shape.hidden]));
            let own = self.logits(rows, head);
            let indices: Vec<i32> = targets.iter().map(|&target| target as i32).collect();
            let data = TensorData::new(indices, [count, 1]);
            let indices =
                Tensor::<Dispatch, 2, Int>::from_data(data, (&self.maker.device, DType::I32));
            let nll = own.log_total.clone() - own.logits.clone().gather(1, indices);
            scores.nll.extend(self.read(nll)?.into_iter().map(f64::from));
            let Some(reference) = reference.and_then(|reference| reference.get(run)) else {
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
