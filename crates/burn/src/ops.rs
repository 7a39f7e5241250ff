//! Every operation in burn's own tensor operations: what CUDA runs, and the plain path on the CPU.
//!
//! Tensors have the model's dtype; norms, the softmax and the logits are computed in f32. A half
//! type's head is kept in f32 on the device for that reason. Sequences are one matrix product, so
//! that stacking may change the last bits. Nothing is read back but hidden states, figures of scored
//! positions, and what a router says.
//!
//! Written once for every backend; which one it is disappears in `erased.rs`.

mod attention;
mod mlp;
mod past;
mod tensors;

use std::sync::OnceLock;

use burn_tensor::backend::Backend;
use burn_tensor::{DType, FloatDType, Int, Tensor, TensorData};
use strait_ops::{
    AttentionShape, AttentionTensors, CacheContents, Dtype, FeedForwardTensors, Hidden, Look,
    MlpTensors, NormTensors, Ops, OpsError, Past, ScoreRange, Seen, SequenceScores, Shape,
};

pub(crate) use self::attention::Attention;
use self::attention::Ropes;
use self::mlp::FeedForward;
pub(crate) use self::mlp::Mlp;
use self::past::{Cache, look_at};
use self::tensors::Maker;
pub(crate) use self::tensors::{NormWeights, float};
use crate::Weights;
use crate::head::{Figures, Kept, LOGITS_AT_A_TIME};
use crate::product::Factors;

/// Burn's operations for one model on one device.
pub(crate) struct BackendOps<B: Backend> {
    shape: Shape,
    maker: Maker<B>,
    name: String,
    ropes: Ropes<B>,
}

/// An embedding or head `[vocab, hidden]`.
pub(crate) struct Table<B: Backend> {
    pub(crate) embedding: Tensor<B, 2>,
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
        let maker = Maker { device, dtype, norm: shape.norm, factors, random: false };
        BackendOps { shape: shape.clone(), maker, name, ropes: Ropes::default() }
    }

    /// The same with the weights that `weights` says.
    pub(crate) fn with(mut self, weights: Weights) -> BackendOps<B> {
        self.maker.random = weights == Weights::Random;
        self
    }

    fn data<const D: usize>(&self, tensor: Tensor<B, D>) -> Result<TensorData, OpsError> {
        tensor.try_into_data().map_err(|error| self.failed(format!("{error:?}")))
    }

    /// What the model has in common.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What blocks need to run.
    pub(crate) fn parts(&mut self) -> (&Maker<B>, &mut Ropes<B>) {
        (&self.maker, &mut self.ropes)
    }

    /// Values of f32.
    pub(crate) fn floats<const D: usize>(
        &self,
        tensor: Tensor<B, D>,
    ) -> Result<Vec<f32>, OpsError> {
        self.data(tensor)?.into_vec().map_err(|error| self.failed(format!("{error:?}")))
    }

    fn failed(&self, reason: String) -> OpsError {
        OpsError::Device { device: self.name.clone(), reason }
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
    type FeedForward = FeedForward<B>;
    type Mlp = Mlp<B>;
    type Table = Table<B>;
    type Positions = Tensor<B, 2>;
    type Norm = NormWeights<B>;
    type Cache = Cache<B>;
    type Logits = Vec<Kept<B>>;

    fn device(&self) -> String {
        self.name.clone()
    }

    fn prepare_attention(&mut self, tensors: AttentionTensors) -> Attention<B> {
        Attention::new(tensors, &self.maker, &mut self.ropes)
    }

    fn prepare_feed_forward(&mut self, tensors: FeedForwardTensors) -> FeedForward<B> {
        FeedForward::new(tensors, &self.maker)
    }

    fn prepare_mlp(&mut self, tensors: MlpTensors<FeedForward<B>>) -> Mlp<B> {
        Mlp::new(tensors, &self.maker)
    }

    fn prepare_table(&mut self, weight: Vec<f32>) -> Table<B> {
        let embedding = self.maker.weights(weight, [self.shape.vocab, self.shape.hidden]);
        Table { embedding, head: OnceLock::new() }
    }

    fn prepare_positions(&mut self, weight: Vec<f32>) -> Tensor<B, 2> {
        let shape = [weight.len() / self.shape.hidden, self.shape.hidden];
        self.maker.weights(weight, shape)
    }

    fn prepare_norm(&mut self, tensors: NormTensors) -> NormWeights<B> {
        self.maker.norm(tensors)
    }

    fn upload(&self, hidden: &Hidden) -> Tensor<B, 3> {
        let shape = [hidden.batch, hidden.tokens, hidden.channels];
        let dtype = self.maker.native().into();
        let data = TensorData::from_bytes_vec(hidden.data.to_vec(), shape, dtype);
        Tensor::from_data(data, (&self.maker.device, dtype))
    }

    fn download(&self, stream: Tensor<B, 3>) -> Result<Hidden, OpsError> {
        let [batch, tokens, channels] = stream.dims();
        let data = self.data(stream)?;
        let mut hidden = Hidden::zeros(batch, tokens, channels, self.maker.dtype);
        let bytes = data.as_bytes();
        if bytes.len() != hidden.data.len() {
            let (expected, found) = (hidden.data.len(), bytes.len());
            return Err(OpsError::size("hidden states read back, bytes", expected, found));
        }
        hidden.data.copy_from_slice(bytes);
        Ok(hidden)
    }

    fn copy(&self, stream: &Tensor<B, 3>) -> Tensor<B, 3> {
        stream.clone()
    }

    fn embed(
        &self,
        table: &Table<B>,
        positions: Option<&Tensor<B, 2>>,
        tokens: &[u32],
        batch: usize,
        first_position: usize,
    ) -> Tensor<B, 3> {
        let (count, hidden) = (tokens.len(), self.shape.hidden);
        let length = count / batch.max(1);
        let indices: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
        let data = TensorData::new(indices, [count]);
        let indices = Tensor::<B, 1, Int>::from_data(data, (&self.maker.device, DType::I32));
        let mut x = table.embedding.clone().select(0, indices).reshape([batch, length, hidden]);
        let mut scale = [self.shape.embedding_scale as f32];
        self.maker.dtype.round(&mut scale);
        if scale != [1.0] {
            x = x * scale[0];
        }
        match positions {
            Some(positions) => x + positions.clone().narrow(0, first_position, length).unsqueeze(),
            None => x,
        }
    }

    fn attention(
        &mut self,
        x: Tensor<B, 3>,
        weights: &Attention<B>,
        wanted: usize,
        past: Option<Past<'_, Cache<B>>>,
    ) -> Tensor<B, 3> {
        x.clone() + weights.apply(x, wanted, past, &self.maker, &mut self.ropes)
    }

    fn mlp(&mut self, x: Tensor<B, 3>, weights: &Mlp<B>, wanted: usize) -> Tensor<B, 3> {
        from_wanted(x, wanted, |x| x.clone() + weights.apply(x, &self.maker))
    }

    fn parallel(
        &mut self,
        x: Tensor<B, 3>,
        attention: &Attention<B>,
        mlp: &Mlp<B>,
        wanted: usize,
        past: Option<Past<'_, Cache<B>>>,
    ) -> Tensor<B, 3> {
        let attended = attention.apply(x.clone(), wanted, past, &self.maker, &mut self.ropes);
        from_wanted(x.clone(), wanted, |x| mlp.apply(x, &self.maker)) + attended + x
    }

    fn open_cache(&self, shape: &AttentionShape, turned: bool) -> Cache<B> {
        Cache::new(shape, turned)
    }

    fn cache_contents(&self, cache: &Cache<B>) -> Result<CacheContents, OpsError> {
        cache.contents(|tensor| self.floats(tensor))
    }

    fn set_cache(&mut self, cache: &mut Cache<B>, contents: CacheContents) {
        cache.set(contents, &self.maker);
    }

    fn look(
        &mut self,
        x: &Tensor<B, 3>,
        sequence: usize,
        weights: &Attention<B>,
        (cache, first): (&Cache<B>, usize),
        look: &Look,
    ) -> Result<Seen, OpsError> {
        let x = x.clone().narrow(0, sequence, 1);
        let mut states = Vec::new();
        if look.states {
            let rows = x.clone().narrow(1, look.rows.start, look.rows.len());
            states = self.floats(weights.read(rows).cast(FloatDType::F32))?;
        }
        let [query, _, _] = weights.project(x);
        let turned = weights.turn(query.clone(), first, &self.maker, &mut self.ropes);
        let length = first + query.dims()[2];
        let entries = cache.seen(weights, length, &self.maker, &mut self.ropes);
        let causal = weights.causal(&self.maker);
        let outputs = look.outputs.then(|| weights.output_norms(&entries.values));
        let floats = |tensor| self.floats(tensor);
        let seen = look_at([query, turned], &causal, entries, outputs, first, look, floats)?;
        Ok(Seen { states, ..seen })
    }

    fn score(
        &mut self,
        x: &Tensor<B, 3>,
        sequence: usize,
        (norm, head): (&NormWeights<B>, &Table<B>),
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
            let x = norm.apply(x.reshape([count, self.shape.hidden]));
            let table = head.head.get_or_init(|| head.embedding.clone().cast(FloatDType::F32));
            let own = Kept::of(x, table, self.shape.logit_cap, self.maker.factors);
            let baseline = reference.and_then(|reference| reference.get(run));
            figures.add(&own, targets, baseline);
            if reference.is_none() {
                kept.push(own);
            }
        }
        let scores = figures.read(|table| self.floats(table))?;
        Ok((scores, reference.is_none().then_some(kept)))
    }

    fn logits_row(&self, logits: &Vec<Kept<B>>, row: usize) -> Result<Vec<f32>, OpsError> {
        let mut first = 0;
        for kept in logits {
            if row < first + kept.rows() {
                return self.floats(kept.row(row - first));
            }
            first += kept.rows();
        }
        Err(OpsError::size("row of logits, below", first, row))
    }

    fn logits_bytes(logits: &Vec<Kept<B>>) -> usize {
        logits.iter().map(Kept::bytes).sum()
    }
}
