//! The host's side of a backend's operations.

use std::panic::resume_unwind;

use strait_ops::{
    AttentionShape, AttentionTensors, CacheContents, FeedForwardTensors, Hidden, LayerTap,
    MlpTensors, NormTensors, Ops, OpsError, Past, ProbeRequest, ProbeResult, ScoreRange,
    SequenceScores,
};

use crate::interface::{Operations, Value};

/// The decoder's operations on a device of a backend.
pub struct LoadedOps(Box<dyn Operations>);

/// Logits that a backend kept.
pub struct Kept {
    value: Value,
    bytes: usize,
}

impl LoadedOps {
    /// The operations behind the boundary.
    #[must_use]
    pub fn new(operations: Box<dyn Operations>) -> LoadedOps {
        LoadedOps(operations)
    }
}

/// A result where [`Ops`] has no place for an error. The failure goes on as a panic of this side, which a stage turns into
/// an error of the device, as it does with panics of other backends.
fn certain<T>(result: Result<T, OpsError>) -> T {
    match result {
        Ok(value) => value,
        Err(OpsError::Device { reason, .. }) => resume_unwind(Box::new(reason)),
        Err(error) => resume_unwind(Box::new(error.to_string())),
    }
}

impl Ops for LoadedOps {
    type Stream = Value;
    type Attention = Value;
    type FeedForward = Value;
    type Mlp = Value;
    type Table = Value;
    type Positions = Value;
    type Norm = Value;
    type Cache = Value;
    type Logits = Kept;

    fn device(&self) -> String {
        self.0.device()
    }

    fn reserved_bytes(&self) -> Option<u64> {
        certain(self.0.reserved_bytes())
    }

    fn release_memory(&mut self) {
        certain(self.0.release_memory());
    }

    fn prepare_attention(&mut self, tensors: AttentionTensors) -> Value {
        certain(self.0.prepare_attention(tensors))
    }

    fn prepare_feed_forward(&mut self, tensors: FeedForwardTensors) -> Value {
        certain(self.0.prepare_feed_forward(tensors))
    }

    fn prepare_mlp(&mut self, tensors: MlpTensors<Value>) -> Value {
        certain(self.0.prepare_mlp(tensors))
    }

    fn prepare_table(&mut self, weight: Vec<f32>, bias: Option<Vec<f32>>) -> Value {
        certain(self.0.prepare_table(weight, bias))
    }

    fn prepare_positions(&mut self, weight: Vec<f32>) -> Value {
        certain(self.0.prepare_positions(weight))
    }

    fn prepare_norm(&mut self, tensors: NormTensors) -> Value {
        certain(self.0.prepare_norm(tensors))
    }

    fn upload(&self, hidden: &Hidden) -> Value {
        certain(self.0.upload(hidden))
    }

    fn download(&self, stream: Value) -> Result<Hidden, OpsError> {
        self.0.download(stream)
    }

    fn copy(&self, stream: &Value) -> Value {
        certain(self.0.copy(&**stream))
    }

    fn embed(
        &self,
        table: &Value,
        positions: Option<&Value>,
        tokens: &[u32],
        batch: usize,
        first_position: usize,
    ) -> Value {
        let positions = positions.map(|value| &**value);
        certain(self.0.embed(&**table, positions, tokens, batch, first_position))
    }

    fn attention(
        &mut self,
        x: &Value,
        weights: &Value,
        wanted: usize,
        past: Option<Past<'_, Value>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<Value, OpsError> {
        self.0.attention(&**x, &**weights, wanted, past, tap)
    }

    fn mlp(
        &mut self,
        x: &Value,
        weights: &Value,
        wanted: usize,
        tap: &mut LayerTap<'_>,
    ) -> Result<Value, OpsError> {
        self.0.mlp(&**x, &**weights, wanted, tap)
    }

    fn add(&mut self, x: Value, y: Value) -> Value {
        certain(self.0.add(x, y))
    }

    fn open_cache(&self, shape: &AttentionShape, rotated: bool) -> Value {
        certain(self.0.open_cache(shape, rotated))
    }

    fn cache_contents(&self, cache: &Value) -> Result<CacheContents, OpsError> {
        self.0.cache_contents(&**cache)
    }

    fn set_cache(&mut self, cache: &mut Value, contents: CacheContents) {
        certain(self.0.set_cache(cache, contents));
    }

    fn probe(
        &mut self,
        x: &Value,
        sequence: usize,
        weights: &Value,
        (cache, first_position): (&Value, usize),
        request: &ProbeRequest,
    ) -> Result<ProbeResult, OpsError> {
        self.0.probe(&**x, sequence, &**weights, (&**cache, first_position), request)
    }

    fn score(
        &mut self,
        x: &Value,
        sequence: usize,
        (norm, table): (&Value, &Value),
        range: &ScoreRange,
        reference: Option<&Kept>,
    ) -> Result<(SequenceScores, Option<Kept>), OpsError> {
        let reference = reference.map(|kept| &*kept.value);
        let head = (&**norm, &**table);
        let (scores, kept) = self.0.score(&**x, sequence, head, range, reference)?;
        Ok((scores, kept.map(|(value, bytes)| Kept { value, bytes })))
    }

    fn logits_row(&self, logits: &Kept, row: usize) -> Result<Vec<f32>, OpsError> {
        self.0.logits_row(&*logits.value, row)
    }

    fn logits_bytes(logits: &Kept) -> usize {
        logits.bytes
    }
}
