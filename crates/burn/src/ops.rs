//! Every operation in terms of burn's own tensor operations: what CUDA runs, and the plain path on the CPU.
//!
//! Tensors have the model's dtype; norms, the softmax and the logits are computed in f32. Sequences share one
//! matrix product, so stacking may change the last bits. Only hidden states, figures of scored positions and a
//! router's output are read back.
//!
//! The code is written once for every backend; `erased.rs` hides which one it is.

mod attention;
mod mlp;
mod past;
mod taps;
mod tensors;

use burn_tensor::{FloatDType, Tensor, TensorData};
use strait_ops::{
    AttentionShape, AttentionTensors, CacheContents, Dtype, FeedForwardTensors, Hidden, LayerTap,
    MlpTensors, NormTensors, Ops, OpsError, Past, ProbeRequest, ProbeResult, ScoreRange,
    SequenceScores, Shape,
};

pub(crate) use self::attention::Attention;
use self::attention::Ropes;
use self::mlp::FeedForward;
pub(crate) use self::mlp::Mlp;
use self::past::{Cache, probe};
use self::taps::{Tapping, host, upload};
use self::tensors::Maker;
pub(crate) use self::tensors::{NormWeights, float};
use crate::failure::reason;
use crate::head::{Figures, Kept, LOGITS_AT_A_TIME, Table, logits};
use crate::kernels::Kernels;
use strait_backend::Weights;

/// Burn's operations for one model on one device.
pub(crate) struct BackendOps<B: Kernels> {
    shape: Shape,
    maker: Maker<B>,
    name: String,
    ropes: Ropes<B>,
}

impl<B: Kernels> BackendOps<B> {
    /// Operations for a model of this shape; `name` is the device's name in messages.
    pub(crate) fn new(
        shape: &Shape,
        dtype: Dtype,
        device: B::Device,
        name: String,
    ) -> BackendOps<B> {
        let maker = Maker { device, dtype, norm: shape.norm, random: false };
        BackendOps { shape: shape.clone(), maker, name, ropes: Ropes::default() }
    }

    /// The same operations with the kind of weights that `weights` selects.
    pub(crate) fn with(mut self, weights: Weights) -> BackendOps<B> {
        self.maker.random = weights == Weights::Random;
        self
    }

    fn data<const D: usize>(&self, tensor: Tensor<B, D>) -> Result<TensorData, OpsError> {
        tensor.try_into_data().map_err(|error| self.failed(&format!("{error:?}")))
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
        self.data(tensor)?.into_vec().map_err(|error| self.failed(&format!("{error:?}")))
    }

    fn failed(&self, said: &str) -> OpsError {
        OpsError::Device { device: self.name.clone(), reason: reason(said) }
    }
}

/// Applies `work` to the positions of `x` from `wanted` on; earlier ones are unchanged.
fn from_wanted<B: Kernels>(
    x: Tensor<B, 3>,
    wanted: usize,
    work: impl FnOnce(Tensor<B, 3>) -> Result<Tensor<B, 3>, OpsError>,
) -> Result<Tensor<B, 3>, OpsError> {
    let tokens = x.dims()[1];
    if wanted == 0 || wanted >= tokens {
        return work(x);
    }
    let wanted_part = work(x.clone().narrow(1, wanted, tokens - wanted))?;
    Ok(Tensor::cat(vec![x.narrow(1, 0, wanted), wanted_part], 1))
}

impl<B: Kernels> Ops for BackendOps<B> {
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

    fn reserved_bytes(&self) -> Option<u64> {
        B::reserved_bytes(&self.maker.device)
    }

    fn release_memory(&mut self) {
        B::memory_cleanup(&self.maker.device);
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

    fn prepare_table(&mut self, weight: Vec<f32>, bias: Option<Vec<f32>>) -> Table<B> {
        let (maker, vocab) = (&self.maker, self.shape.vocab);
        let bias = bias.map(|mut bias| {
            maker.dtype.round(&mut bias);
            maker.floats(bias, [1, vocab])
        });
        Table { rows: maker.weights(weight, [vocab, self.shape.hidden]), bias }
    }

    fn prepare_positions(&mut self, weight: Vec<f32>) -> Tensor<B, 2> {
        let shape = [weight.len() / self.shape.hidden, self.shape.hidden];
        self.maker.weights(weight, shape)
    }

    fn prepare_norm(&mut self, tensors: NormTensors) -> NormWeights<B> {
        self.maker.norm(tensors)
    }

    fn upload(&self, hidden: &Hidden) -> Tensor<B, 3> {
        upload(hidden, &self.maker)
    }

    fn download(&self, stream: Tensor<B, 3>) -> Result<Hidden, OpsError> {
        host(stream, self.maker.dtype, &self.name)
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
        let indices = tokens.iter().map(|&token| token as i32).collect();
        let indices = B::indices(indices, &self.maker.device);
        let mut scale = [self.shape.embedding_scale as f32];
        self.maker.dtype.round(&mut scale);
        let positions = positions.map(|rows| rows.clone().narrow(0, first_position, length));
        B::gather(&table.rows, indices, scale[0], positions).reshape([batch, length, hidden])
    }

    fn attention(
        &mut self,
        x: &Tensor<B, 3>,
        weights: &Attention<B>,
        wanted: usize,
        past: Option<Past<'_, Cache<B>>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<Tensor<B, 3>, OpsError> {
        let BackendOps { maker, name, ropes, .. } = self;
        let tapping = &mut Tapping { tap, maker, name };
        weights.apply(x.clone(), wanted, past, ropes, tapping)
    }

    fn mlp(
        &mut self,
        x: &Tensor<B, 3>,
        weights: &Mlp<B>,
        wanted: usize,
        tap: &mut LayerTap<'_>,
    ) -> Result<Tensor<B, 3>, OpsError> {
        let BackendOps { maker, name, .. } = self;
        let tapping = &mut Tapping { tap, maker, name };
        from_wanted(x.clone(), wanted, |x| weights.apply(x, tapping))
    }

    fn add(&mut self, x: Tensor<B, 3>, y: Tensor<B, 3>) -> Tensor<B, 3> {
        x + y
    }

    fn open_cache(&self, shape: &AttentionShape, rotated: bool) -> Cache<B> {
        Cache::new(shape, rotated)
    }

    fn cache_contents(&self, cache: &Cache<B>) -> Result<CacheContents, OpsError> {
        cache.contents(|tensor| self.floats(tensor))
    }

    fn set_cache(&mut self, cache: &mut Cache<B>, contents: CacheContents) {
        cache.set(contents, &self.maker);
    }

    fn probe(
        &mut self,
        x: &Tensor<B, 3>,
        sequence: usize,
        weights: &Attention<B>,
        (cache, first): (&Cache<B>, usize),
        request: &ProbeRequest,
    ) -> Result<ProbeResult, OpsError> {
        let x = x.clone().narrow(0, sequence, 1);
        let mut states = Vec::new();
        if request.states {
            let rows = x.clone().narrow(1, request.rows.start, request.rows.len());
            states = self.floats(weights.read(rows).cast(FloatDType::F32))?;
        }
        let [query, _, _] = weights.project(x);
        let rotated = weights.rotate(query.clone(), first, &self.maker, &mut self.ropes);
        let length = first + query.dims()[2];
        let entries = cache.seen(weights, length, &self.maker, &mut self.ropes);
        let causal = weights.causal(&self.maker);
        let outputs = request.outputs.then(|| weights.output_norms(&entries.values));
        let floats = |tensor| self.floats(tensor);
        let result = probe([query, rotated], &causal, entries, outputs, first, request, floats)?;
        Ok(ProbeResult { states, ..result })
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
            let logits = logits(x, head, self.shape.logit_cap);
            let baseline = reference.and_then(|reference| reference.get(run));
            let own = figures.add(logits, targets, baseline);
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
