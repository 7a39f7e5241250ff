//! One stage of the decoder over any set of operations.

use std::ops::{Deref, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use strait_burn::panic_text;
use strait_ops::{CacheContents, Dtype, Hidden, Ops, OpsError, ScoreRange, SequenceScores};

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::noise::Noise;
use crate::past::{CacheVisitor, RunInput, StageCaches, fits};
use crate::source::{SharedSource, TensorSource};
use crate::stage::{Reference, Stage};
use crate::tensors::Tensors;

/// A stage on the device of `O`.
pub(crate) struct Decoder<O: Ops> {
    pub(crate) ops: O,
    pub(crate) config: ModelConfig,
    dtype: Dtype,
    pub(crate) range: Range<usize>,
    embedding: Option<Embedding<O>>,
    pub(crate) layers: Layers<O>,
    pub(crate) noise: Option<Noise>,
    head: Option<(O::Norm, Arc<O::Table>)>,
}

/// What turns tokens into hidden states: rows by token, and rows by position where they are learned.
type Embedding<O> = (Arc<<O as Ops>::Table>, Option<<O as Ops>::Positions>);

/// The layers of a stage.
pub(crate) enum Layers<O: Ops> {
    Resident(Vec<Layer<O>>),
    /// Each is loaded when it runs, and dropped.
    Streamed(SharedSource),
}

pub(crate) struct Layer<O: Ops> {
    pub(crate) attention: O::Attention,
    pub(crate) mlp: O::Mlp,
    pub(crate) parallel: bool,
}

/// A layer that is kept, or one that was just loaded.
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
    /// Layer `number` of a stage that has those of `range`.
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

/// Which part of the model a stage is.
pub(crate) struct Part {
    pub(crate) layers: Range<usize>,
    pub(crate) first: bool,
    pub(crate) last: bool,
    /// Where to read each layer when it runs; none keeps all of them.
    pub(crate) streamed: Option<SharedSource>,
}

/// What hidden states still have to go through in the last stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ahead {
    /// Its layers, and then the head.
    Layers,
    Head,
}

/// The scores of a sequence, and its logits where it is a reference.
type Scored<O> = (SequenceScores, Option<<O as Ops>::Logits>);

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
        let mut embedding = |ops: &mut O| {
            if let (true, Some(table)) = (config.tied_head, &*tied) {
                return Ok(Arc::clone(table));
            }
            let table = Arc::new(ops.prepare_table(tensors.embedding()?));
            if config.tied_head {
                *tied = Some(Arc::clone(&table));
            }
            Ok::<_, ModelError>(table)
        };
        let first = match part.first {
            true => {
                let positions = tensors.positions()?;
                Some((embedding(&mut ops)?, positions.map(|table| ops.prepare_positions(table))))
            }
            false => None,
        };
        let layers = match part.streamed {
            Some(source) => Layers::Streamed(source),
            None => {
                let numbers = part.layers.clone();
                let layers = numbers.map(|number| Layer::load(&mut ops, &tensors, number));
                Layers::Resident(layers.collect::<Result<_, ModelError>>()?)
            }
        };
        let head = match part.last {
            true => {
                let norm = ops.prepare_norm(tensors.final_norm()?);
                let table = match config.tied_head {
                    true => embedding(&mut ops)?,
                    false => Arc::new(ops.prepare_table(tensors.head()?)),
                };
                Some((norm, table))
            }
            false => None,
        };
        let config = config.clone();
        let range = part.layers;
        Ok(Decoder { ops, config, dtype, range, embedding: first, layers, noise: None, head })
    }

    /// Runs all layers; of the last one only positions from `wanted` on are needed.
    fn run_layers(&mut self, mut x: O::Stream, wanted: usize) -> Result<O::Stream, ModelError> {
        for number in self.range.clone() {
            let wanted = if number + 1 == self.range.end { wanted } else { 0 };
            let layer = self.layers.get(&mut self.ops, &self.config, &self.range, number)?;
            x = match layer.parallel {
                true => self.ops.parallel(x, &layer.attention, &layer.mlp, wanted, None),
                false => {
                    let x = self.ops.attention(x, &layer.attention, wanted, None);
                    self.ops.mlp(x, &layer.mlp, wanted)
                }
            };
            if let Some(noise) = &self.noise {
                let mut hidden = self.ops.download(x)?;
                noise.disturb(number, &mut hidden)?;
                x = self.ops.upload(&hidden);
            }
        }
        Ok(x)
    }

    fn no(&self, part: &'static str, stage: &'static str) -> ModelError {
        ModelError::StagePart { layers: format!("{:?}", self.range), part, stage }
    }

    fn check_tokens(&self, tokens: &[u32]) -> Result<(), ModelError> {
        let vocab = self.config.shape.vocab;
        match tokens.iter().position(|&token| token as usize >= vocab) {
            None => Ok(()),
            Some(at) => Err(ModelError::TokenRange { token: tokens[at], position: at, vocab }),
        }
    }

    /// Checks tokens of `batch` sequences that begin at `first_position`.
    fn check_sequences(
        &self,
        tokens: &[u32],
        batch: usize,
        first_position: usize,
    ) -> Result<(), ModelError> {
        self.check_tokens(tokens)?;
        if batch == 0 || tokens.is_empty() || !tokens.len().is_multiple_of(batch) {
            let expected = format!("a multiple of the batch {batch}, above 0");
            return Err(OpsError::size("tokens", expected, tokens.len()).into());
        }
        let length = first_position + tokens.len() / batch;
        if let Some(longest) = self.config.positions.filter(|&longest| length > longest) {
            return Err(ModelError::TooLong { tokens: length, longest });
        }
        let longest = self.config.max_positions;
        if length > longest && first_position <= longest {
            log::warn!(
                "sequence of {length} tokens: the model was made for at most {longest} \
                 (max_position_embeddings); expect a worse perplexity, or use a shorter window"
            );
        }
        Ok(())
    }

    fn check_ranges(&self, hidden: &Hidden, score: &[ScoreRange]) -> Result<(), ModelError> {
        hidden.check(self.config.shape.hidden, self.dtype)?;
        if score.len() != hidden.batch {
            return Err(OpsError::size("score ranges", hidden.batch, score.len()).into());
        }
        for range in score {
            self.check_tokens(&range.targets)?;
            let end = range.first_position + range.targets.len();
            if end > hidden.tokens {
                let expected = format!("at most {}", hidden.tokens);
                return Err(OpsError::size("score range, end", expected, end).into());
            }
        }
        Ok(())
    }

    fn score_all(
        &mut self,
        hidden: &Hidden,
        score: &[ScoreRange],
        of: impl Fn(usize) -> Option<usize>,
        kept: &[O::Logits],
        ahead: Ahead,
    ) -> Result<Vec<Scored<O>>, ModelError> {
        if self.head.is_none() {
            return Err(self.no("head", "last"));
        }
        let wanted = score.iter().map(|range| range.first_position).min().unwrap_or(0);
        let mut x = self.ops.upload(hidden);
        if ahead == Ahead::Layers {
            x = self.run_layers(x, wanted)?;
        }
        let Some((norm, head)) = &self.head else { return Ok(Vec::new()) };
        let ranges = score.iter().enumerate();
        ranges
            .map(|(index, range)| {
                let reference = of(index).and_then(|of| kept.get(of));
                Ok(self.ops.score(&x, index, (norm, head), range, reference)?)
            })
            .collect()
    }

    fn keep_reference(
        &mut self,
        hidden: &Hidden,
        score: &[ScoreRange],
        ahead: Ahead,
    ) -> Result<(Vec<SequenceScores>, Reference), ModelError> {
        self.check_ranges(hidden, score)?;
        let scored = self.guarded(|stage| stage.score_all(hidden, score, |_| None, &[], ahead))?;
        let (scores, kept): (Vec<_>, Vec<_>) = scored.into_iter().unzip();
        let kept: Vec<O::Logits> = kept.into_iter().flatten().collect();
        let reference = Reference {
            rows: score.iter().map(|range| range.targets.len()).collect(),
            bytes: kept.iter().map(O::logits_bytes).sum(),
            inner: Box::new(kept),
        };
        Ok((scores, reference))
    }

    fn compare(
        &mut self,
        hidden: &Hidden,
        score: &[ScoreRange],
        reference: &Reference,
        sequence_of: &[usize],
        ahead: Ahead,
    ) -> Result<Vec<SequenceScores>, ModelError> {
        self.check_ranges(hidden, score)?;
        if sequence_of.len() != score.len() {
            return Err(OpsError::size("sequence_of", score.len(), sequence_of.len()).into());
        }
        let kept = reference.inner.downcast_ref::<Vec<O::Logits>>();
        let kept = kept.ok_or(ModelError::ForeignReference)?;
        for (range, &of) in score.iter().zip(sequence_of) {
            if reference.rows.get(of) != Some(&range.targets.len()) {
                return Err(ModelError::ForeignReference);
            }
        }
        let of = |index: usize| sequence_of.get(index).copied();
        let scored = self.guarded(|stage| stage.score_all(hidden, score, of, kept, ahead))?;
        Ok(scored.into_iter().map(|(scores, _)| scores).collect())
    }

    /// Runs `work`; a panic of the backend becomes an error.
    fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|panic| {
            let device = self.ops.device();
            Err(OpsError::Device { device, reason: panic_text(&*panic) }.into())
        })
    }
}

impl<O: Ops> Stage for Decoder<O> {
    fn layers(&self) -> Range<usize> {
        self.range.clone()
    }

    fn device(&self) -> String {
        self.ops.device()
    }

    fn disturb(&mut self, noise: Option<Noise>) {
        self.noise = noise;
    }

    fn embed(&mut self, tokens: &[u32], batch: usize) -> Result<Hidden, ModelError> {
        if self.embedding.is_none() {
            return Err(self.no("embedding", "first"));
        }
        self.check_sequences(tokens, batch, 0)?;
        self.guarded(|stage| {
            let Some((table, positions)) = &stage.embedding else {
                return Err(stage.no("embedding", "first"));
            };
            let mut x = stage.ops.embed(table, positions.as_ref(), tokens, batch, 0);
            if stage.head.is_none() {
                x = stage.run_layers(x, 0)?;
            }
            Ok(stage.ops.download(x)?)
        })
    }

    fn forward(&mut self, hidden: Hidden) -> Result<Hidden, ModelError> {
        hidden.check(self.config.shape.hidden, self.dtype)?;
        if self.head.is_some() {
            let layers = format!("{:?}", self.range);
            return Err(ModelError::LastStage { layers });
        }
        if self.range.is_empty() {
            return Ok(hidden);
        }
        self.guarded(|stage| {
            let x = stage.ops.upload(&hidden);
            let x = stage.run_layers(x, 0)?;
            Ok(stage.ops.download(x)?)
        })
    }

    fn reference(
        &mut self,
        hidden: &Hidden,
        score: &[ScoreRange],
    ) -> Result<(Vec<SequenceScores>, Reference), ModelError> {
        self.keep_reference(hidden, score, Ahead::Layers)
    }

    fn score(
        &mut self,
        hidden: &Hidden,
        score: &[ScoreRange],
        reference: &Reference,
        sequence_of: &[usize],
    ) -> Result<Vec<SequenceScores>, ModelError> {
        self.compare(hidden, score, reference, sequence_of, Ahead::Layers)
    }

    fn open_caches(&mut self, sequences: usize, turned: bool) -> StageCaches {
        self.new_caches(sequences, turned)
    }

    fn fill_cache(
        &mut self,
        caches: &mut StageCaches,
        layer: usize,
        sequence: usize,
        contents: CacheContents,
    ) -> Result<(), ModelError> {
        let caches = caches.inner.downcast_mut::<Vec<Vec<O::Cache>>>();
        let layers = layer.checked_sub(self.range.start).zip(caches);
        let cache = layers.and_then(|(layer, caches)| caches.get_mut(layer)?.get_mut(sequence));
        let cache = cache.ok_or(ModelError::ForeignCaches)?;
        fits(&self.config.blocks[layer].attention, &contents)?;
        self.ops.set_cache(cache, contents);
        Ok(())
    }

    fn run(
        &mut self,
        input: RunInput<'_>,
        caches: &mut StageCaches,
        first_position: usize,
        visitor: Option<&mut dyn CacheVisitor>,
    ) -> Result<Hidden, ModelError> {
        let batch = caches.sequences;
        let caches = caches.inner.downcast_mut::<Vec<Vec<O::Cache>>>();
        let caches = caches.filter(|caches| caches.len() == self.range.len());
        let caches = caches.ok_or(ModelError::ForeignCaches)?;
        let count = match input {
            RunInput::Tokens(tokens) => {
                self.check_sequences(tokens, batch, first_position)?;
                tokens.len() / batch
            }
            RunInput::Hidden(hidden) => {
                hidden.check(self.config.shape.hidden, self.dtype)?;
                if hidden.batch != batch {
                    return Err(OpsError::size("caches", hidden.batch, batch).into());
                }
                hidden.tokens
            }
        };
        self.guarded(|stage| {
            let x = match (input, &stage.embedding) {
                (RunInput::Tokens(tokens), Some((table, positions))) => {
                    stage.ops.embed(table, positions.as_ref(), tokens, batch, first_position)
                }
                (RunInput::Tokens(_), None) => return Err(stage.no("embedding", "first")),
                (RunInput::Hidden(hidden), _) => stage.ops.upload(hidden),
            };
            let x = stage.run_with(x, count, caches, first_position, visitor)?;
            Ok(stage.ops.download(x)?)
        })
    }

    fn reference_of(
        &mut self,
        states: &Hidden,
        score: &[ScoreRange],
    ) -> Result<(Vec<SequenceScores>, Reference), ModelError> {
        self.keep_reference(states, score, Ahead::Head)
    }

    fn score_of(
        &mut self,
        states: &Hidden,
        score: &[ScoreRange],
        reference: &Reference,
        sequence_of: &[usize],
    ) -> Result<Vec<SequenceScores>, ModelError> {
        self.compare(states, score, reference, sequence_of, Ahead::Head)
    }

    fn next_logits(&mut self, states: &Hidden) -> Result<Vec<f32>, ModelError> {
        states.check(self.config.shape.hidden, self.dtype)?;
        let Some(last) = states.tokens.checked_sub(1).filter(|_| states.batch > 0) else {
            return Err(OpsError::size("states, tokens", "at least 1", 0).into());
        };
        self.guarded(|stage| {
            let x = stage.ops.upload(states);
            let Some((norm, head)) = &stage.head else { return Err(stage.no("head", "last")) };
            Ok(stage.ops.logits(&x, 0, (norm, head), last)?)
        })
    }

    fn logits(
        &mut self,
        reference: &Reference,
        sequence: usize,
        row: usize,
    ) -> Result<Vec<f32>, ModelError> {
        let kept = reference.inner.downcast_ref::<Vec<O::Logits>>();
        let kept = kept.and_then(|kept| kept.get(sequence)).ok_or(ModelError::ForeignReference)?;
        Ok(self.ops.logits_row(kept, row)?)
    }
}
