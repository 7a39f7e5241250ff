//! One stage of the decoder over any backend: what it holds and how it is loaded.

use std::ops::{Deref, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use strait_ops::{
    CacheContents, Dtype, Hidden, Ops, OpsError, ScoreRange, SequenceScores, Tap, panic_text,
};

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::past::StageCaches;
use crate::source::{SharedSource, TensorSource};
use crate::stage::{Ahead, CachedRun, Reference, RunInput, Stage};
use crate::tensors::Tensors;

/// A stage on a device of backend `O`.
pub(crate) struct Decoder<O: Ops> {
    pub(crate) ops: O,
    pub(crate) config: ModelConfig,
    pub(crate) dtype: Dtype,
    pub(crate) range: Range<usize>,
    pub(crate) embedding: Option<Embedding<O>>,
    pub(crate) layers: Layers<O>,
    pub(crate) tap: Option<Box<dyn Tap>>,
    pub(crate) head: Option<Head<O>>,
}

/// Turns tokens into hidden states.
pub(crate) struct Embedding<O: Ops> {
    /// The table of rows by token, `[vocab, hidden]`.
    pub(crate) table: Arc<O::Table>,
    /// The table of rows by position, `[positions, hidden]`, if positions are learned.
    pub(crate) positions: Option<O::Positions>,
}

/// Turns hidden states into logits.
pub(crate) struct Head<O: Ops> {
    pub(crate) norm: O::Norm,
    pub(crate) table: Arc<O::Table>,
}

/// The layers of a stage.
pub(crate) enum Layers<O: Ops> {
    Resident(Vec<Layer<O>>),
    /// Each layer is loaded when it runs and dropped afterwards.
    Streamed(SharedSource),
}

pub(crate) struct Layer<O: Ops> {
    pub(crate) attention: O::Attention,
    pub(crate) mlp: O::Mlp,
    /// Whether both blocks read the layer's input, instead of one after the other.
    pub(crate) parallel: bool,
}

/// A layer that is resident, or one that was just loaded.
pub(crate) enum Loaded<'a, O: Ops> {
    Kept(&'a Layer<O>),
    Now(Layer<O>),
}

impl<O: Ops> Deref for Loaded<'_, O> {
    type Target = Layer<O>;

    fn deref(&self) -> &Layer<O> {
        match self {
            Loaded::Kept(layer) => layer,
            Loaded::Now(layer) => layer,
        }
    }
}

impl<O: Ops> Layers<O> {
    /// Layer `number` of the model, in a stage that has those of `range`.
    pub(crate) fn get(
        &self,
        ops: &mut O,
        config: &ModelConfig,
        range: &Range<usize>,
        number: usize,
    ) -> Result<Loaded<'_, O>, ModelError> {
        match self {
            Layers::Resident(layers) => Ok(Loaded::Kept(&layers[number - range.start])),
            Layers::Streamed(source) => {
                let tensors = Tensors::new(&**source, config);
                Ok(Loaded::Now(Layer::load(ops, &tensors, number)?))
            }
        }
    }
}

impl<O: Ops> Layer<O> {
    fn load(ops: &mut O, tensors: &Tensors<'_>, number: usize) -> Result<Layer<O>, ModelError> {
        let parallel = tensors.layer(number)?.parallel;
        let attention = ops.prepare_attention(tensors.attention(number)?);
        let mlp = tensors.mlp(number, |network| ops.prepare_feed_forward(network))?;
        Ok(Layer { attention, mlp: ops.prepare_mlp(mlp), parallel })
    }
}

/// The part of the model that a stage covers.
pub(crate) struct Part {
    pub(crate) layers: Range<usize>,
    pub(crate) first: bool,
    pub(crate) last: bool,
    /// Where to read each layer when it runs; `None` keeps all of them resident.
    pub(crate) streamed: Option<SharedSource>,
}

impl<O: Ops> Decoder<O> {
    /// Reads the stage's tensors. `tied` keeps the table that embedding and head share, so that
    /// stages on one device hold it once.
    pub(crate) fn load(
        mut ops: O,
        source: &dyn TensorSource,
        config: &ModelConfig,
        dtype: Dtype,
        part: Part,
        tied: &mut Option<Arc<O::Table>>,
    ) -> Result<Decoder<O>, ModelError> {
        let tensors = Tensors::new(source, config);
        let mut embedding = None;
        if part.first {
            let positions = tensors.positions()?;
            let table = embedding_table(&mut ops, &tensors, config, tied)?;
            let positions = positions.map(|table| ops.prepare_positions(table));
            embedding = Some(Embedding { table, positions });
        }
        let layers = match part.streamed {
            Some(source) => Layers::Streamed(source),
            None => {
                let mut layers = Vec::with_capacity(part.layers.len());
                for number in part.layers.clone() {
                    layers.push(Layer::load(&mut ops, &tensors, number)?);
                }
                Layers::Resident(layers)
            }
        };
        let mut head = None;
        if part.last {
            let norm = ops.prepare_norm(tensors.final_norm()?);
            let table = if config.tied_head {
                embedding_table(&mut ops, &tensors, config, tied)?
            } else {
                Arc::new(ops.prepare_table(tensors.head()?, tensors.head_bias()?))
            };
            head = Some(Head { norm, table });
        }
        let (config, range) = (config.clone(), part.layers);
        Ok(Decoder { ops, config, dtype, range, embedding, layers, tap: None, head })
    }

    /// The error for a call that needs a part of the model that this stage does not have.
    pub(crate) fn no(&self, part: &'static str, stage: &'static str) -> ModelError {
        ModelError::StagePart { layers: format!("{:?}", self.range), part, stage }
    }

    /// Runs `work` and turns a panic of the backend into an error.
    pub(crate) fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|panic| {
            let device = self.ops.device();
            Err(OpsError::Device { device, reason: panic_text(&*panic).to_owned() }.into())
        })
    }
}

/// The embedding's table. A head that uses the same table finds it in `tied`, whichever stage of
/// the device loaded it, because a large vocabulary is a good part of a small model.
fn embedding_table<O: Ops>(
    ops: &mut O,
    tensors: &Tensors<'_>,
    config: &ModelConfig,
    tied: &mut Option<Arc<O::Table>>,
) -> Result<Arc<O::Table>, ModelError> {
    if !config.tied_head {
        return Ok(Arc::new(ops.prepare_table(tensors.embedding()?, None)));
    }
    if let Some(table) = tied {
        return Ok(Arc::clone(table));
    }
    let table = Arc::new(ops.prepare_table(tensors.embedding()?, tensors.head_bias()?));
    Ok(Arc::clone(tied.insert(table)))
}

impl<O: Ops> Stage for Decoder<O> {
    fn layers(&self) -> Range<usize> {
        self.range.clone()
    }

    fn device(&self) -> String {
        self.ops.device()
    }

    fn reserved_bytes(&self) -> Option<u64> {
        self.ops.reserved_bytes()
    }

    fn release_memory(&mut self) {
        self.ops.release_memory();
    }

    fn set_tap(&mut self, tap: Option<Box<dyn Tap>>) -> Option<Box<dyn Tap>> {
        std::mem::replace(&mut self.tap, tap)
    }

    fn run(
        &mut self,
        input: RunInput<'_>,
        cached: Option<CachedRun<'_>>,
    ) -> Result<Hidden, ModelError> {
        self.run_tokens(input, cached)
    }

    fn reference(
        &mut self,
        states: &Hidden,
        ahead: Ahead,
        score: &[ScoreRange],
    ) -> Result<(Vec<SequenceScores>, Reference), ModelError> {
        self.keep_reference(states, ahead, score)
    }

    fn score(
        &mut self,
        states: &Hidden,
        ahead: Ahead,
        score: &[ScoreRange],
        reference: &Reference,
        sequence_of: &[usize],
    ) -> Result<Vec<SequenceScores>, ModelError> {
        self.compare(states, ahead, score, reference, sequence_of)
    }

    fn open_caches(&mut self, sequences: usize, rotated: bool) -> StageCaches {
        self.new_caches(sequences, rotated)
    }

    fn fill_cache(
        &mut self,
        caches: &mut StageCaches,
        layer: usize,
        sequence: usize,
        contents: CacheContents,
    ) -> Result<(), ModelError> {
        self.set_contents(caches, layer, sequence, contents)
    }

    fn next_logits(&mut self, states: &Hidden) -> Result<Vec<f32>, ModelError> {
        self.last_logits(states)
    }

    fn logits(
        &mut self,
        reference: &Reference,
        sequence: usize,
        row: usize,
    ) -> Result<Vec<f32>, ModelError> {
        self.kept_logits(reference, sequence, row)
    }
}
