//! One type of operations for every backend.
//!
//! Burn's operations are generic, and whoever drops a tensor of a fusing backend compiles the whole
//! machinery that runs it. Behind boxed values all of it is compiled in this crate, once, and a
//! change of the decoder builds in seconds.

use std::any::Any;

use burn_tensor::StreamId;
use strait_ops::{AttentionTensors, Hidden, MlpTensors, Ops, OpsError, ScoreRange, SequenceScores};

/// The decoder's operations on a burn backend that was chosen at run time.
///
/// All work of a device goes through one stream of it, whichever thread asks: a stream has its own
/// pool of device memory, and the host's lanes take turns on a device anyway.
pub struct BurnOps {
    ops: Box<dyn AnyOps>,
    stream: StreamId,
}

/// What a backend made: hidden states, weights or logits. Only the operations that made it know
/// what it is.
pub struct Held {
    value: Option<Box<dyn Any + Send + Sync>>,
    stream: StreamId,
    bytes: usize,
}

impl BurnOps {
    /// Hides the backend of `ops`, whose work goes through the stream `stream`.
    pub(crate) fn over<O>(ops: O, stream: u64) -> BurnOps
    where
        O: Ops,
        O::Stream: Sync + 'static,
        O::Attention: Sync + 'static,
        O::Mlp: Sync + 'static,
        O::Table: 'static,
        O::Norm: Sync + 'static,
        O::Logits: Sync,
    {
        BurnOps { ops: Box::new(ops), stream: StreamId { value: stream } }
    }

    fn hold(&self, make: impl FnOnce(&dyn AnyOps) -> Value) -> Held {
        let value = self.stream.executes(|| make(&*self.ops));
        Held { value: Some(value), stream: self.stream, bytes: 0 }
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
        // Memory goes back to the pool that it came from.
        self.stream.executes(|| self.value = None);
    }
}

impl Ops for BurnOps {
    type Stream = Held;
    type Attention = Held;
    type Mlp = Held;
    type Table = Held;
    type Norm = Held;
    type Logits = Held;

    fn device(&self) -> String {
        self.ops.device()
    }

    fn prepare_attention(&self, tensors: AttentionTensors) -> Held {
        self.hold(|ops| ops.prepare_attention(tensors))
    }

    fn prepare_mlp(&self, tensors: MlpTensors) -> Held {
        self.hold(|ops| ops.prepare_mlp(tensors))
    }

    fn prepare_table(&self, weight: Vec<f32>) -> Held {
        self.hold(|ops| ops.prepare_table(weight))
    }

    fn prepare_norm(&self, weight: Vec<f32>) -> Held {
        self.hold(|ops| ops.prepare_norm(weight))
    }

    fn upload(&self, hidden: &Hidden) -> Held {
        self.hold(|ops| ops.upload(hidden))
    }

    fn download(&self, stream: Held) -> Result<Hidden, OpsError> {
        self.stream.executes(|| self.ops.download(stream.take()))
    }

    fn embed(&self, table: &Held, tokens: &[u32], batch: usize) -> Held {
        self.hold(|ops| ops.embed(table.value(), tokens, batch))
    }

    fn attention(&mut self, x: Held, weights: &Held, wanted: usize) -> Held {
        let stream = self.stream;
        let value = stream.executes(|| self.ops.attention(x.take(), weights.value(), wanted));
        Held { value: Some(value), stream, bytes: 0 }
    }

    fn mlp(&mut self, x: Held, weights: &Held, wanted: usize) -> Held {
        let stream = self.stream;
        let value = stream.executes(|| self.ops.mlp(x.take(), weights.value(), wanted));
        Held { value: Some(value), stream, bytes: 0 }
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

    fn logits_bytes(logits: &Held) -> usize {
        logits.bytes
    }
}

type Value = Box<dyn Any + Send + Sync>;
type Borrowed<'a> = &'a (dyn Any + Send + Sync);

/// [`Ops`] with its associated types behind [`Any`].
trait AnyOps: Send {
    fn device(&self) -> String;
    fn prepare_attention(&self, tensors: AttentionTensors) -> Value;
    fn prepare_mlp(&self, tensors: MlpTensors) -> Value;
    fn prepare_table(&self, weight: Vec<f32>) -> Value;
    fn prepare_norm(&self, weight: Vec<f32>) -> Value;
    fn upload(&self, hidden: &Hidden) -> Value;
    fn download(&self, stream: Value) -> Result<Hidden, OpsError>;
    fn embed(&self, table: Borrowed, tokens: &[u32], batch: usize) -> Value;
    fn attention(&mut self, x: Value, weights: Borrowed, wanted: usize) -> Value;
    fn mlp(&mut self, x: Value, weights: Borrowed, wanted: usize) -> Value;
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
    O::Mlp: Sync + 'static,
    O::Table: 'static,
    O::Norm: Sync + 'static,
    O::Logits: Sync,
{
    fn device(&self) -> String {
        Ops::device(self)
    }

    fn prepare_attention(&self, tensors: AttentionTensors) -> Value {
        Box::new(Ops::prepare_attention(self, tensors))
    }

    fn prepare_mlp(&self, tensors: MlpTensors) -> Value {
        Box::new(Ops::prepare_mlp(self, tensors))
    }

    fn prepare_table(&self, weight: Vec<f32>) -> Value {
        Box::new(Ops::prepare_table(self, weight))
    }

    fn prepare_norm(&self, weight: Vec<f32>) -> Value {
        Box::new(Ops::prepare_norm(self, weight))
    }

    fn upload(&self, hidden: &Hidden) -> Value {
        Box::new(Ops::upload(self, hidden))
    }

    fn download(&self, stream: Value) -> Result<Hidden, OpsError> {
        Ops::download(self, own(stream))
    }

    fn embed(&self, table: Borrowed, tokens: &[u32], batch: usize) -> Value {
        Box::new(Ops::embed(self, seen(table), tokens, batch))
    }

    fn attention(&mut self, x: Value, weights: Borrowed, wanted: usize) -> Value {
        Box::new(Ops::attention(self, own(x), seen(weights), wanted))
    }

    fn mlp(&mut self, x: Value, weights: Borrowed, wanted: usize) -> Value {
        Box::new(Ops::mlp(self, own(x), seen(weights), wanted))
    }

    fn score(
        &mut self,
        x: Borrowed,
        sequence: usize,
        (norm, table): (Borrowed, Borrowed),
        range: &ScoreRange,
        reference: Option<Borrowed>,
    ) -> Result<(SequenceScores, Option<(Value, usize)>), OpsError> {
        let head = (seen(norm), seen(table));
        let reference = reference.map(seen);
        let (scores, kept) = Ops::score(self, seen(x), sequence, head, range, reference)?;
        let kept = kept.map(|kept| {
            let bytes = O::logits_bytes(&kept);
            (Box::new(kept) as Value, bytes)
        });
        Ok((scores, kept))
    }
}

/// A stage gives its operations nothing but what they made, so the types agree.
fn own<T: 'static>(value: Value) -> T {
    match value.downcast() {
        Ok(value) => *value,
        Err(_) => unreachable!("{OTHER}"),
    }
}

fn seen<T: 'static>(value: Borrowed<'_>) -> &T {
    match value.downcast_ref() {
        Some(value) => value,
        None => unreachable!("{OTHER}"),
    }
}

const OTHER: &str = "expected a value that the same backend made, found another backend's";
