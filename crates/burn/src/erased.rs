//! One type of operations for every backend.
//!
//! Burn's operations are generic, and any crate that drops a tensor of a fusing backend compiles
//! the whole machinery that runs it. Behind boxed values, all of it is compiled once, in this
//! crate, and a change of the decoder builds in seconds.

use std::any::Any;

use burn_tensor::StreamId;
use strait_ops::{
    AttentionShape, AttentionTensors, CacheContents, FeedForwardTensors, Hidden, LayerTap,
    MlpTensors, Network, NormTensors, Ops, OpsError, Past, ProbeRequest, ProbeResult, ScoreRange,
    SequenceScores, Shared,
};

/// The decoder's operations on a burn backend that is chosen at run time.
///
/// All work of a device goes through one of its streams, whichever thread submits it: each stream
/// has its own pool of device memory, and the host's lanes take turns on a device anyway.
pub struct BurnOps {
    ops: Box<dyn AnyOps>,
    stream: StreamId,
}

/// A value made by a backend: hidden states, weights or logits. Only the operations that made it
/// know its type.
pub struct Held {
    value: Option<Box<dyn Any + Send + Sync>>,
    stream: StreamId,
    bytes: usize,
}

impl BurnOps {
    /// Erases the backend of `ops`, whose work goes through the stream `stream`.
    pub(crate) fn over<O>(ops: O, stream: u64) -> BurnOps
    where
        O: Ops,
        O::Stream: Sync + 'static,
        O::Attention: Sync + 'static,
        O::FeedForward: Sync + 'static,
        O::Mlp: Sync + 'static,
        O::Table: 'static,
        O::Positions: Sync + 'static,
        O::Norm: Sync + 'static,
        O::Cache: Sync,
        O::Logits: Sync,
    {
        BurnOps { ops: Box::new(ops), stream: StreamId { value: stream } }
    }

    fn hold(&self, make: impl FnOnce(&dyn AnyOps) -> Value) -> Held {
        let value = self.stream.executes(|| make(&*self.ops));
        Held { value: Some(value), stream: self.stream, bytes: 0 }
    }

    fn change(&mut self, make: impl FnOnce(&mut dyn AnyOps) -> Value) -> Held {
        let stream = self.stream;
        let value = stream.executes(|| make(&mut *self.ops));
        Held { value: Some(value), stream, bytes: 0 }
    }
}

impl BurnOps {
    fn try_change(
        &mut self,
        make: impl FnOnce(&mut dyn AnyOps) -> Result<Value, OpsError>,
    ) -> Result<Held, OpsError> {
        let stream = self.stream;
        let value = stream.executes(|| make(&mut *self.ops))?;
        Ok(Held { value: Some(value), stream, bytes: 0 })
    }
}

impl Held {
    fn value(&self) -> &(dyn Any + Send + Sync) {
        self.value.as_deref().unwrap_or(&())
    }

    fn take(mut self) -> Value {
        self.value.take().unwrap_or_else(|| Box::new(()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Memory returns to the pool that it came from.
        self.stream.executes(|| self.value = None);
    }
}

impl Ops for BurnOps {
    type Stream = Held;
    type Attention = Held;
    type FeedForward = Held;
    type Mlp = Held;
    type Table = Held;
    type Positions = Held;
    type Norm = Held;
    type Cache = Held;
    type Logits = Held;

    fn device(&self) -> String {
        self.ops.device()
    }

    fn reserved_bytes(&self) -> Option<u64> {
        self.stream.executes(|| self.ops.reserved_bytes())
    }

    fn release_memory(&mut self) {
        let stream = self.stream;
        stream.executes(|| self.ops.release_memory());
    }

    fn prepare_attention(&mut self, tensors: AttentionTensors) -> Held {
        self.change(|ops| ops.prepare_attention(tensors))
    }

    fn prepare_feed_forward(&mut self, tensors: FeedForwardTensors) -> Held {
        self.change(|ops| ops.prepare_feed_forward(tensors))
    }

    fn prepare_mlp(&mut self, tensors: MlpTensors<Held>) -> Held {
        let tensors = with_networks(tensors, Held::take);
        self.change(|ops| ops.prepare_mlp(tensors))
    }

    fn prepare_table(&mut self, weight: Vec<f32>, bias: Option<Vec<f32>>) -> Held {
        self.change(|ops| ops.prepare_table(weight, bias))
    }

    fn prepare_positions(&mut self, weight: Vec<f32>) -> Held {
        self.change(|ops| ops.prepare_positions(weight))
    }

    fn prepare_norm(&mut self, tensors: NormTensors) -> Held {
        self.change(|ops| ops.prepare_norm(tensors))
    }

    fn upload(&self, hidden: &Hidden) -> Held {
        self.hold(|ops| ops.upload(hidden))
    }

    fn download(&self, stream: Held) -> Result<Hidden, OpsError> {
        self.stream.executes(|| self.ops.download(stream.take()))
    }

    fn copy(&self, stream: &Held) -> Held {
        self.hold(|ops| ops.copy(stream.value()))
    }

    fn embed(
        &self,
        table: &Held,
        positions: Option<&Held>,
        tokens: &[u32],
        batch: usize,
        first_position: usize,
    ) -> Held {
        let positions = positions.map(Held::value);
        self.hold(|ops| ops.embed(table.value(), positions, tokens, batch, first_position))
    }

    fn attention(
        &mut self,
        x: &Held,
        weights: &Held,
        wanted: usize,
        past: Option<Past<'_, Held>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<Held, OpsError> {
        with_values(past, |past| {
            self.try_change(|ops| ops.attention(x.value(), weights.value(), wanted, past, tap))
        })
    }

    fn mlp(
        &mut self,
        x: &Held,
        weights: &Held,
        wanted: usize,
        tap: &mut LayerTap<'_>,
    ) -> Result<Held, OpsError> {
        self.try_change(|ops| ops.mlp(x.value(), weights.value(), wanted, tap))
    }

    fn add(&mut self, x: Held, y: Held) -> Held {
        self.change(|ops| ops.add(x.take(), y.take()))
    }

    fn open_cache(&self, shape: &AttentionShape, rotated: bool) -> Held {
        self.hold(|ops| ops.open_cache(shape, rotated))
    }

    fn cache_contents(&self, cache: &Held) -> Result<CacheContents, OpsError> {
        self.stream.executes(|| self.ops.cache_contents(cache.value()))
    }

    fn set_cache(&mut self, cache: &mut Held, contents: CacheContents) {
        let Some(value) = &mut cache.value else { return };
        self.stream.executes(|| self.ops.set_cache(value, contents));
    }

    fn probe(
        &mut self,
        x: &Held,
        sequence: usize,
        weights: &Held,
        (cache, first_position): (&Held, usize),
        request: &ProbeRequest,
    ) -> Result<ProbeResult, OpsError> {
        let past = (cache.value(), first_position);
        let ops = &mut self.ops;
        self.stream.executes(|| ops.probe(x.value(), sequence, weights.value(), past, request))
    }

    fn score(
        &mut self,
        x: &Held,
        sequence: usize,
        (norm, table): (&Held, &Held),
        range: &ScoreRange,
        reference: Option<&Held>,
    ) -> Result<(SequenceScores, Option<Held>), OpsError> {
        let stream = self.stream;
        let head = (norm.value(), table.value());
        let reference = reference.map(Held::value);
        let (scores, kept) =
            stream.executes(|| self.ops.score(x.value(), sequence, head, range, reference))?;
        Ok((scores, kept.map(|(value, bytes)| Held { value: Some(value), stream, bytes })))
    }

    fn logits_row(&self, logits: &Held, row: usize) -> Result<Vec<f32>, OpsError> {
        self.stream.executes(|| self.ops.logits_row(logits.value(), row))
    }

    fn logits_bytes(logits: &Held) -> usize {
        logits.bytes
    }
}

type Value = Box<dyn Any + Send + Sync>;
type Borrowed<'a> = &'a (dyn Any + Send + Sync);

/// [`Ops`] with its associated types behind [`Any`].
trait AnyOps: Send {
    fn device(&self) -> String;
    fn reserved_bytes(&self) -> Option<u64>;
    fn release_memory(&mut self);
    fn prepare_attention(&mut self, tensors: AttentionTensors) -> Value;
    fn prepare_feed_forward(&mut self, tensors: FeedForwardTensors) -> Value;
    fn prepare_mlp(&mut self, tensors: MlpTensors<Value>) -> Value;
    fn prepare_table(&mut self, weight: Vec<f32>, bias: Option<Vec<f32>>) -> Value;
    fn prepare_positions(&mut self, weight: Vec<f32>) -> Value;
    fn prepare_norm(&mut self, tensors: NormTensors) -> Value;
    fn upload(&self, hidden: &Hidden) -> Value;
    fn download(&self, stream: Value) -> Result<Hidden, OpsError>;
    fn copy(&self, stream: Borrowed) -> Value;
    fn embed(
        &self,
        table: Borrowed,
        positions: Option<Borrowed>,
        tokens: &[u32],
        batch: usize,
        first_position: usize,
    ) -> Value;
    fn attention(
        &mut self,
        x: Borrowed,
        weights: Borrowed,
        wanted: usize,
        past: Option<Past<'_, Value>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<Value, OpsError>;
    fn mlp(
        &mut self,
        x: Borrowed,
        weights: Borrowed,
        wanted: usize,
        tap: &mut LayerTap<'_>,
    ) -> Result<Value, OpsError>;
    fn add(&mut self, x: Value, y: Value) -> Value;
    fn open_cache(&self, shape: &AttentionShape, rotated: bool) -> Value;
    fn cache_contents(&self, cache: Borrowed) -> Result<CacheContents, OpsError>;
    fn set_cache(&mut self, cache: &mut Value, contents: CacheContents);
    fn probe(
        &mut self,
        x: Borrowed,
        sequence: usize,
        weights: Borrowed,
        past: (Borrowed, usize),
        request: &ProbeRequest,
    ) -> Result<ProbeResult, OpsError>;
    fn logits_row(&self, logits: Borrowed, row: usize) -> Result<Vec<f32>, OpsError>;
    fn score(
        &mut self,
        x: Borrowed,
        sequence: usize,
        head: (Borrowed, Borrowed),
        range: &ScoreRange,
        reference: Option<Borrowed>,
    ) -> Result<(SequenceScores, Option<(Value, usize)>), OpsError>;
}

impl<O> AnyOps for O
where
    O: Ops,
    O::Stream: Sync + 'static,
    O::Attention: Sync + 'static,
    O::FeedForward: Sync + 'static,
    O::Mlp: Sync + 'static,
    O::Table: 'static,
    O::Positions: Sync + 'static,
    O::Norm: Sync + 'static,
    O::Cache: Sync,
    O::Logits: Sync,
{
    fn device(&self) -> String {
        Ops::device(self)
    }

    fn reserved_bytes(&self) -> Option<u64> {
        Ops::reserved_bytes(self)
    }

    fn release_memory(&mut self) {
        Ops::release_memory(self);
    }

    fn prepare_attention(&mut self, tensors: AttentionTensors) -> Value {
        Box::new(Ops::prepare_attention(self, tensors))
    }

    fn prepare_feed_forward(&mut self, tensors: FeedForwardTensors) -> Value {
        Box::new(Ops::prepare_feed_forward(self, tensors))
    }

    fn prepare_mlp(&mut self, tensors: MlpTensors<Value>) -> Value {
        Box::new(Ops::prepare_mlp(self, with_networks(tensors, own)))
    }

    fn prepare_table(&mut self, weight: Vec<f32>, bias: Option<Vec<f32>>) -> Value {
        Box::new(Ops::prepare_table(self, weight, bias))
    }

    fn prepare_positions(&mut self, weight: Vec<f32>) -> Value {
        Box::new(Ops::prepare_positions(self, weight))
    }

    fn prepare_norm(&mut self, tensors: NormTensors) -> Value {
        Box::new(Ops::prepare_norm(self, tensors))
    }

    fn upload(&self, hidden: &Hidden) -> Value {
        Box::new(Ops::upload(self, hidden))
    }

    fn download(&self, stream: Value) -> Result<Hidden, OpsError> {
        Ops::download(self, own(stream))
    }

    fn copy(&self, stream: Borrowed) -> Value {
        Box::new(Ops::copy(self, downcast(stream)))
    }

    fn embed(
        &self,
        table: Borrowed,
        positions: Option<Borrowed>,
        tokens: &[u32],
        batch: usize,
        first_position: usize,
    ) -> Value {
        let positions = positions.map(downcast);
        Box::new(Ops::embed(self, downcast(table), positions, tokens, batch, first_position))
    }

    fn attention(
        &mut self,
        x: Borrowed,
        weights: Borrowed,
        wanted: usize,
        past: Option<Past<'_, Value>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<Value, OpsError> {
        let output = with_own(past, |past| {
            Ops::attention(self, downcast(x), downcast(weights), wanted, past, tap)
        });
        Ok(Box::new(output?))
    }

    fn mlp(
        &mut self,
        x: Borrowed,
        weights: Borrowed,
        wanted: usize,
        tap: &mut LayerTap<'_>,
    ) -> Result<Value, OpsError> {
        Ok(Box::new(Ops::mlp(self, downcast(x), downcast(weights), wanted, tap)?))
    }

    fn add(&mut self, x: Value, y: Value) -> Value {
        Box::new(Ops::add(self, own(x), own(y)))
    }

    fn open_cache(&self, shape: &AttentionShape, rotated: bool) -> Value {
        Box::new(Ops::open_cache(self, shape, rotated))
    }

    fn cache_contents(&self, cache: Borrowed) -> Result<CacheContents, OpsError> {
        Ops::cache_contents(self, downcast(cache))
    }

    fn set_cache(&mut self, cache: &mut Value, contents: CacheContents) {
        match cache.downcast_mut() {
            Some(cache) => Ops::set_cache(self, cache, contents),
            None => unreachable!("{OTHER}"),
        }
    }

    fn probe(
        &mut self,
        x: Borrowed,
        sequence: usize,
        weights: Borrowed,
        (cache, first_position): (Borrowed, usize),
        request: &ProbeRequest,
    ) -> Result<ProbeResult, OpsError> {
        let past = (downcast(cache), first_position);
        Ops::probe(self, downcast(x), sequence, downcast(weights), past, request)
    }

    fn logits_row(&self, logits: Borrowed, row: usize) -> Result<Vec<f32>, OpsError> {
        Ops::logits_row(self, downcast(logits), row)
    }

    fn score(
        &mut self,
        x: Borrowed,
        sequence: usize,
        (norm, table): (Borrowed, Borrowed),
        range: &ScoreRange,
        reference: Option<Borrowed>,
    ) -> Result<(SequenceScores, Option<(Value, usize)>), OpsError> {
        let head = (downcast(norm), downcast(table));
        let reference = reference.map(downcast);
        let (scores, kept) = Ops::score(self, downcast(x), sequence, head, range, reference)?;
        let kept = kept.map(|kept| {
            let bytes = O::logits_bytes(&kept);
            (Box::new(kept) as Value, bytes)
        });
        Ok((scores, kept))
    }
}

/// Calls `work` with the values of the caches, and puts them back.
fn with_values<T>(
    past: Option<Past<'_, Held>>,
    work: impl FnOnce(Option<Past<'_, Value>>) -> T,
) -> T {
    let Some(Past { caches, first_position }) = past else { return work(None) };
    let value = |cache: &mut Held| cache.value.take().unwrap_or_else(|| Box::new(()));
    let mut values: Vec<Value> = caches.iter_mut().map(value).collect();
    let result = work(Some(Past { caches: &mut values, first_position }));
    caches.iter_mut().zip(values).for_each(|(cache, value)| cache.value = Some(value));
    result
}

/// The same with caches of a type.
fn with_own<C: Send + Sync + 'static, T>(
    past: Option<Past<'_, Value>>,
    work: impl FnOnce(Option<Past<'_, C>>) -> T,
) -> T {
    let Some(Past { caches, first_position }) = past else { return work(None) };
    let take = |cache: &mut Value| own(std::mem::replace(cache, Box::new(())));
    let mut values: Vec<C> = caches.iter_mut().map(take).collect();
    let result = work(Some(Past { caches: &mut values, first_position }));
    caches.iter_mut().zip(values).for_each(|(cache, value)| *cache = Box::new(value));
    result
}

/// The same block, with each of its networks passed through `f`.
pub(crate) fn with_networks<F, G>(
    tensors: MlpTensors<F>,
    mut f: impl FnMut(F) -> G,
) -> MlpTensors<G> {
    let MlpTensors { norm_in, network, norm_out } = tensors;
    let network = match network {
        Network::Dense(network) => Network::Dense(f(network)),
        Network::Experts { router, routing, correction, experts, shared } => {
            let experts = experts.into_iter().map(&mut f).collect();
            let shared = shared.map(|shared| {
                let Shared { network, gate } = *shared;
                Box::new(Shared { network: f(network), gate })
            });
            Network::Experts { router, routing, correction, experts, shared }
        }
    };
    MlpTensors { norm_in, network, norm_out }
}

/// A stage passes to its operations only what they made, so the types agree.
fn own<T: 'static>(value: Value) -> T {
    match value.downcast() {
        Ok(value) => *value,
        Err(_) => unreachable!("{OTHER}"),
    }
}

fn downcast<T: 'static>(value: Borrowed<'_>) -> &T {
    match value.downcast_ref() {
        Some(value) => value,
        None => unreachable!("{OTHER}"),
    }
}

const OTHER: &str = "expected a value that the same backend made, found another backend's";
