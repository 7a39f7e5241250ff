//! What a backend offers.

use std::any::Any;

use strait_ops::{
    AttentionShape, AttentionTensors, CacheContents, Dtype, FeedForwardTensors, Hidden, LayerTap,
    MlpTensors, NormTensors, OpsError, Past, ProbeRequest, ProbeResult, ScoreRange, SequenceScores,
    Shape,
};

/// A library of device operations.
pub trait Backend: Send + Sync {
    /// Whether the device can be used; the error is the reason why not.
    ///
    /// # Errors
    /// When there is no driver, no such device, or a small kernel does not run on it.
    fn open(&self, device: BackendDevice) -> Result<(), String>;

    /// Whether the device, which must have been opened, computes in this type.
    fn supports(&self, device: BackendDevice, dtype: Dtype) -> bool;

    /// Multiplies random matrices `[size, size]` `count` times, with each product as a factor of the next, and waits for
    /// the result. Measures what products alone achieve on the device, which must have been opened.
    ///
    /// # Errors
    /// When the device fails.
    fn multiply(
        &self,
        device: BackendDevice,
        size: usize,
        dtype: Dtype,
        count: usize,
    ) -> Result<(), String>;

    /// Operations for a model of this shape; `name` is the device's name in messages. The device must have been opened.
    ///
    /// # Errors
    /// When the device fails.
    fn operations(
        &self,
        shape: &Shape,
        dtype: Dtype,
        device: BackendDevice,
        weights: Weights,
        name: String,
    ) -> Result<Box<dyn Operations>, String>;

    /// Operations with gradients, in f32 on the CPU, for a model of this shape.
    ///
    /// # Errors
    /// When the backend fails.
    fn gradients(&self, shape: &Shape) -> Result<Box<dyn Gradients>, String>;
}

/// A device that a backend drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackendDevice {
    /// The CPU, with the operations that CUDA runs: slow, for checks.
    Plain,
    /// A CUDA device by index.
    Cuda(usize),
    /// The first Vulkan device, with the kernels that CUDA runs, for checks. Only in a library that is built for it.
    Vulkan,
}

/// Which weights a model computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weights {
    /// The given weights.
    #[default]
    Given,
    /// Random matrices of the same shapes, generated on the device, for measuring speed without transferring weights.
    /// Vectors are those given.
    Random,
}

/// What a library is given when it is opened: it has a copy of every global of its own.
#[derive(Clone, Copy)]
pub struct Host {
    /// Passes a message on to the host's log: level, target, text.
    pub log: fn(log::Level, &str, &str),
    /// The most detailed level that the host's log takes when the library is opened.
    pub level: log::LevelFilter,
    /// Ends the program when a device is lost, with this exit code.
    pub leave: fn(i32) -> !,
}

/// A value that a backend made: hidden states, weights, caches or logits. Only the operations that made it know its type.
pub type Value = Box<dyn Any + Send + Sync>;
/// A borrowed [`Value`].
pub type Borrowed<'a> = &'a (dyn Any + Send + Sync);

/// [`strait_ops::Ops`] with its associated types behind [`Any`], so that it crosses the boundary. Each method does what the
/// method of that name does there, and fails when the device does.
#[expect(missing_docs, reason = "documented at strait_ops::Ops")]
#[expect(clippy::missing_errors_doc, reason = "every method fails when the device does")]
pub trait Operations: Send {
    fn device(&self) -> String;
    fn reserved_bytes(&self) -> Result<Option<u64>, OpsError>;
    fn release_memory(&mut self) -> Result<(), OpsError>;
    fn prepare_attention(&mut self, tensors: AttentionTensors) -> Result<Value, OpsError>;
    fn prepare_feed_forward(&mut self, tensors: FeedForwardTensors) -> Result<Value, OpsError>;
    fn prepare_mlp(&mut self, tensors: MlpTensors<Value>) -> Result<Value, OpsError>;
    fn prepare_table(
        &mut self,
        weight: Vec<f32>,
        bias: Option<Vec<f32>>,
    ) -> Result<Value, OpsError>;
    fn prepare_positions(&mut self, weight: Vec<f32>) -> Result<Value, OpsError>;
    fn prepare_norm(&mut self, tensors: NormTensors) -> Result<Value, OpsError>;
    fn upload(&self, hidden: &Hidden) -> Result<Value, OpsError>;
    fn download(&self, stream: Value) -> Result<Hidden, OpsError>;
    fn copy(&self, stream: Borrowed<'_>) -> Result<Value, OpsError>;
    fn embed(
        &self,
        table: Borrowed<'_>,
        positions: Option<Borrowed<'_>>,
        tokens: &[u32],
        batch: usize,
        first_position: usize,
    ) -> Result<Value, OpsError>;
    fn attention(
        &mut self,
        x: Borrowed<'_>,
        weights: Borrowed<'_>,
        wanted: usize,
        past: Option<Past<'_, Value>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<Value, OpsError>;
    fn mlp(
        &mut self,
        x: Borrowed<'_>,
        weights: Borrowed<'_>,
        wanted: usize,
        tap: &mut LayerTap<'_>,
    ) -> Result<Value, OpsError>;
    fn add(&mut self, x: Value, y: Value) -> Result<Value, OpsError>;
    fn open_cache(&self, shape: &AttentionShape, rotated: bool) -> Result<Value, OpsError>;
    fn cache_contents(&self, cache: Borrowed<'_>) -> Result<CacheContents, OpsError>;
    fn set_cache(&mut self, cache: &mut Value, contents: CacheContents) -> Result<(), OpsError>;
    fn probe(
        &mut self,
        x: Borrowed<'_>,
        sequence: usize,
        weights: Borrowed<'_>,
        past: (Borrowed<'_>, usize),
        request: &ProbeRequest,
    ) -> Result<ProbeResult, OpsError>;
    /// The kept logits come with their bytes.
    fn score(
        &mut self,
        x: Borrowed<'_>,
        sequence: usize,
        head: (Borrowed<'_>, Borrowed<'_>),
        range: &ScoreRange,
        reference: Option<Borrowed<'_>>,
    ) -> Result<(SequenceScores, Option<(Value, usize)>), OpsError>;
    fn logits_row(&self, logits: Borrowed<'_>, row: usize) -> Result<Vec<f32>, OpsError>;
}

/// Gradients of single layers, and the relevance of attention heads that follows from them. A layer is run again when its
/// gradient is needed, so that no more than one layer's intermediate results are in memory.
#[expect(clippy::missing_errors_doc, reason = "every method fails when the backend does")]
pub trait Gradients {
    /// Prepares a layer, whose blocks run one after the other or, if `parallel`, side by side.
    fn layer(
        &mut self,
        attention: AttentionTensors,
        mlp: MlpTensors<FeedForwardTensors>,
        parallel: bool,
    ) -> Result<Value, OpsError>;

    /// Prepares final norm and head `[vocab, hidden]`, whose bias `[vocab]` there may be.
    fn head(
        &mut self,
        norm: NormTensors,
        table: Vec<f32>,
        bias: Option<Vec<f32>>,
    ) -> Result<Value, OpsError>;

    /// Hidden states `[1, tokens, hidden]` of each window; `table` and `positions` are the embedding.
    fn embed(
        &mut self,
        table: Vec<f32>,
        positions: Option<Vec<f32>>,
        windows: &[Vec<u32>],
    ) -> Result<Vec<Hidden>, OpsError>;

    /// The layer's output for `x`.
    fn forward(&mut self, x: &Hidden, layer: Borrowed<'_>) -> Result<Hidden, OpsError>;

    /// The sum of the log-likelihoods of `targets`, where position `i` of `x` predicts target `i`, and its gradient at `x`.
    /// Positions without a target have gradient 0.
    fn log_likelihood(
        &mut self,
        x: &Hidden,
        head: Borrowed<'_>,
        targets: &[u32],
    ) -> Result<(f64, Hidden), OpsError>;

    /// Propagates the gradient at the layer's output to its input `x`, and computes the relevance of heads and tokens, with
    /// queries weighted by `weights` `[tokens]`. The routing of tokens to experts is treated as constant.
    fn pull_back(
        &mut self,
        x: &Hidden,
        layer: Borrowed<'_>,
        gradient: &Hidden,
        weights: &[f32],
    ) -> Result<PulledBack, OpsError>;
}

/// What a layer yields for a gradient at its output.
#[derive(Debug, Clone)]
pub struct PulledBack {
    /// The gradient at the layer's input, `[1, tokens, hidden]`.
    pub gradient: Hidden,
    /// Relevance of each head: the sum over queries `i` and keys `j` of `weight[i] max(0, A[i][j] dL/dA[i][j])`, where `A`
    /// are the probabilities and `L` is the quantity that is differentiated.
    pub heads: Vec<f64>,
    /// The same sums over queries, averaged over heads, `[tokens]`.
    pub tokens: Vec<f32>,
}
