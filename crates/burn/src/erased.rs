//! The operations of a backend as they cross to the host: types behind [`std::any::Any`], panics as errors.
//!
//! Burn's operations are generic, and any crate that drops a tensor of a fusing backend compiles the whole machinery that
//! runs it. Behind boxed values, all of it is compiled once, in this crate.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn_tensor::StreamId;
use strait_backend::{Borrowed, Gradients, Operations, PulledBack, Value};
use strait_ops::{
    AttentionShape, AttentionTensors, CacheContents, FeedForwardTensors, Hidden, LayerTap,
    MlpTensors, Network, NormTensors, Ops, OpsError, Past, ProbeRequest, ProbeResult, ScoreRange,
    SequenceScores, Shared,
};

use crate::failure::panic_text;
use crate::gradient::{GradientHead, GradientLayer, GradientOps};

/// The decoder's operations on one device.
///
/// All work of a device goes through one of its streams, whichever thread submits it: each stream has its own pool of device
/// memory, and the host's lanes take turns on a device anyway.
pub(crate) struct OnDevice<O> {
    ops: OnStream<O>,
    name: String,
}

/// A value of a device, which is dropped on the device's stream, so that its memory returns to the pool that it came from.
struct OnStream<T> {
    value: Option<T>,
    stream: StreamId,
}

impl<T> Drop for OnStream<T> {
    fn drop(&mut self) {
        // A device that fails here fails in the next call, too, which says so.
        let _ = catch_unwind(AssertUnwindSafe(|| self.stream.executes(|| self.value = None)));
    }
}

impl<O: Ops> OnDevice<O> {
    /// The operations `ops`, whose work goes through the stream `stream`.
    pub(crate) fn new(ops: O, stream: u64) -> OnDevice<O> {
        let stream = StreamId { value: stream };
        let name = Ops::device(&ops);
        OnDevice { ops: OnStream { value: Some(ops), stream }, name }
    }

    fn see<T>(&self, work: impl FnOnce(&O) -> Result<T, OpsError>) -> Result<T, OpsError> {
        told(&self.name, || {
            self.ops.stream.executes(|| self.ops.value.as_ref().map_or_else(gone, work))
        })
    }

    fn change<T>(
        &mut self,
        work: impl FnOnce(&mut O) -> Result<T, OpsError>,
    ) -> Result<T, OpsError> {
        let (stream, ops) = (self.ops.stream, &mut self.ops.value);
        told(&self.name, || stream.executes(|| ops.as_mut().map_or_else(gone, work)))
    }

    fn hold<T: Send + Sync + 'static>(&self, value: T) -> Value {
        Box::new(OnStream { value: Some(value), stream: self.ops.stream })
    }

    /// Makes a value of the device.
    fn make<T: Send + Sync + 'static>(
        &self,
        work: impl FnOnce(&O) -> Result<T, OpsError>,
    ) -> Result<Value, OpsError> {
        self.see(work).map(|value| self.hold(value))
    }

    /// Makes a value of the device with what the operations remember.
    fn make_mut<T: Send + Sync + 'static>(
        &mut self,
        work: impl FnOnce(&mut O) -> Result<T, OpsError>,
    ) -> Result<Value, OpsError> {
        self.change(work).map(|value| self.hold(value))
    }
}

/// Runs `work`; a panic becomes an error of the device.
fn told<T>(device: &str, work: impl FnOnce() -> Result<T, OpsError>) -> Result<T, OpsError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(OpsError::Device { device: device.to_owned(), reason: panic_text(&*panic) })
    })
}

/// A value is taken out only to be dropped.
fn gone<T>() -> T {
    unreachable!("expected operations, found what is left of them")
}

impl<O> Operations for OnDevice<O>
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
        self.name.clone()
    }

    fn reserved_bytes(&self) -> Result<Option<u64>, OpsError> {
        self.see(|ops| Ok(ops.reserved_bytes()))
    }

    fn release_memory(&mut self) -> Result<(), OpsError> {
        self.change(|ops| {
            ops.release_memory();
            Ok(())
        })
    }

    fn prepare_attention(&mut self, tensors: AttentionTensors) -> Result<Value, OpsError> {
        self.make_mut(|ops| Ok(ops.prepare_attention(tensors)))
    }

    fn prepare_feed_forward(&mut self, tensors: FeedForwardTensors) -> Result<Value, OpsError> {
        self.make_mut(|ops| Ok(ops.prepare_feed_forward(tensors)))
    }

    fn prepare_mlp(&mut self, tensors: MlpTensors<Value>) -> Result<Value, OpsError> {
        self.make_mut(|ops| Ok(ops.prepare_mlp(with_networks(tensors, own))))
    }

    fn prepare_table(
        &mut self,
        weight: Vec<f32>,
        bias: Option<Vec<f32>>,
    ) -> Result<Value, OpsError> {
        self.make_mut(|ops| Ok(ops.prepare_table(weight, bias)))
    }

    fn prepare_positions(&mut self, weight: Vec<f32>) -> Result<Value, OpsError> {
        self.make_mut(|ops| Ok(ops.prepare_positions(weight)))
    }

    fn prepare_norm(&mut self, tensors: NormTensors) -> Result<Value, OpsError> {
        self.make_mut(|ops| Ok(ops.prepare_norm(tensors)))
    }

    fn upload(&self, hidden: &Hidden) -> Result<Value, OpsError> {
        self.make(|ops| Ok(ops.upload(hidden)))
    }

    fn download(&self, stream: Value) -> Result<Hidden, OpsError> {
        self.see(|ops| ops.download(own(stream)))
    }

    fn copy(&self, stream: Borrowed<'_>) -> Result<Value, OpsError> {
        self.make(|ops| Ok(ops.copy(downcast(stream))))
    }

    fn embed(
        &self,
        table: Borrowed<'_>,
        positions: Option<Borrowed<'_>>,
        tokens: &[u32],
        batch: usize,
        first_position: usize,
    ) -> Result<Value, OpsError> {
        self.make(|ops| {
            let positions = positions.map(downcast);
            Ok(ops.embed(downcast(table), positions, tokens, batch, first_position))
        })
    }

    fn attention(
        &mut self,
        x: Borrowed<'_>,
        weights: Borrowed<'_>,
        wanted: usize,
        past: Option<Past<'_, Value>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<Value, OpsError> {
        let stream = self.ops.stream;
        self.make_mut(|ops| {
            with_own(past, stream, |past| {
                ops.attention(downcast(x), downcast(weights), wanted, past, tap)
            })
        })
    }

    fn mlp(
        &mut self,
        x: Borrowed<'_>,
        weights: Borrowed<'_>,
        wanted: usize,
        tap: &mut LayerTap<'_>,
    ) -> Result<Value, OpsError> {
        self.make_mut(|ops| ops.mlp(downcast(x), downcast(weights), wanted, tap))
    }

    fn add(&mut self, x: Value, y: Value) -> Result<Value, OpsError> {
        self.make_mut(|ops| Ok(ops.add(own(x), own(y))))
    }

    fn open_cache(&self, shape: &AttentionShape, rotated: bool) -> Result<Value, OpsError> {
        self.make(|ops| Ok(ops.open_cache(shape, rotated)))
    }

    fn cache_contents(&self, cache: Borrowed<'_>) -> Result<CacheContents, OpsError> {
        self.see(|ops| ops.cache_contents(downcast(cache)))
    }

    fn set_cache(&mut self, cache: &mut Value, contents: CacheContents) -> Result<(), OpsError> {
        self.change(|ops| {
            let held = cache.downcast_mut::<OnStream<O::Cache>>();
            match held.and_then(|held| held.value.as_mut()) {
                Some(cache) => ops.set_cache(cache, contents),
                None => unreachable!("{OTHER}"),
            }
            Ok(())
        })
    }

    fn probe(
        &mut self,
        x: Borrowed<'_>,
        sequence: usize,
        weights: Borrowed<'_>,
        (cache, first_position): (Borrowed<'_>, usize),
        request: &ProbeRequest,
    ) -> Result<ProbeResult, OpsError> {
        self.change(|ops| {
            let past = (downcast(cache), first_position);
            ops.probe(downcast(x), sequence, downcast(weights), past, request)
        })
    }

    fn score(
        &mut self,
        x: Borrowed<'_>,
        sequence: usize,
        (norm, table): (Borrowed<'_>, Borrowed<'_>),
        range: &ScoreRange,
        reference: Option<Borrowed<'_>>,
    ) -> Result<(SequenceScores, Option<(Value, usize)>), OpsError> {
        let (scores, kept) = self.change(|ops| {
            let head = (downcast(norm), downcast(table));
            ops.score(downcast(x), sequence, head, range, reference.map(downcast))
        })?;
        let kept = kept.map(|kept| {
            let bytes = O::logits_bytes(&kept);
            (self.hold(kept), bytes)
        });
        Ok((scores, kept))
    }

    fn logits_row(&self, logits: Borrowed<'_>, row: usize) -> Result<Vec<f32>, OpsError> {
        self.see(|ops| ops.logits_row(downcast(logits), row))
    }
}

impl Gradients for GradientOps {
    fn layer(
        &mut self,
        attention: AttentionTensors,
        mlp: MlpTensors<FeedForwardTensors>,
        parallel: bool,
    ) -> Result<Value, OpsError> {
        told(CPU, || Ok(whole(self.prepare_layer(attention, mlp, parallel))))
    }

    fn head(
        &mut self,
        norm: NormTensors,
        table: Vec<f32>,
        bias: Option<Vec<f32>>,
    ) -> Result<Value, OpsError> {
        told(CPU, || Ok(whole(self.prepare_head(norm, table, bias))))
    }

    fn embed(
        &mut self,
        table: Vec<f32>,
        positions: Option<Vec<f32>>,
        windows: &[Vec<u32>],
    ) -> Result<Vec<Hidden>, OpsError> {
        told(CPU, || self.embed_windows(table, positions, windows))
    }

    fn forward(&mut self, x: &Hidden, layer: Borrowed<'_>) -> Result<Hidden, OpsError> {
        told(CPU, || self.run(x, downcast::<GradientLayer>(layer)))
    }

    fn log_likelihood(
        &mut self,
        x: &Hidden,
        head: Borrowed<'_>,
        targets: &[u32],
    ) -> Result<(f64, Hidden), OpsError> {
        told(CPU, || self.likelihood(x, downcast::<GradientHead>(head), targets))
    }

    fn pull_back(
        &mut self,
        x: &Hidden,
        layer: Borrowed<'_>,
        gradient: &Hidden,
        weights: &[f32],
    ) -> Result<PulledBack, OpsError> {
        told(CPU, || self.relevance(x, downcast::<GradientLayer>(layer), gradient, weights))
    }
}

/// The device of gradients, in messages.
const CPU: &str = "cpu";

/// A value in host memory, which no stream owns.
fn whole<T: Send + Sync + 'static>(value: T) -> Value {
    Box::new(OnStream { value: Some(value), stream: StreamId { value: 0 } })
}

/// Calls `work` with caches of their own type, and puts them back.
fn with_own<C: Send + Sync + 'static, T>(
    past: Option<Past<'_, Value>>,
    stream: StreamId,
    work: impl FnOnce(Option<Past<'_, C>>) -> T,
) -> T {
    let Some(Past { caches, first_position }) = past else { return work(None) };
    let take = |cache: &mut Value| own(std::mem::replace(cache, Box::new(())));
    let values = caches.iter_mut().map(take).collect();
    let mut taken = Taken { caches, values, stream };
    work(Some(Past { caches: &mut taken.values, first_position }))
}

/// Caches that are out of their boxes. They return when this is dropped, also by a panic, so that later errors are about the
/// device and not about caches.
struct Taken<'a, C: Send + Sync + 'static> {
    caches: &'a mut [Value],
    values: Vec<C>,
    stream: StreamId,
}

impl<C: Send + Sync + 'static> Drop for Taken<'_, C> {
    fn drop(&mut self) {
        for (cache, value) in self.caches.iter_mut().zip(self.values.drain(..)) {
            *cache = Box::new(OnStream { value: Some(value), stream: self.stream });
        }
    }
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
    let held = value.downcast::<OnStream<T>>().ok();
    match held.and_then(|mut held| held.value.take()) {
        Some(value) => value,
        None => unreachable!("{OTHER}"),
    }
}

fn downcast<T: 'static>(value: Borrowed<'_>) -> &T {
    match value.downcast_ref::<OnStream<T>>().and_then(|held| held.value.as_ref()) {
        Some(value) => value,
        None => unreachable!("{OTHER}"),
    }
}

const OTHER: &str = "expected a value that the same backend made, found another backend's";
