//! The path of a run of tokens through a stage: onto the device, through every layer, and back.

use strait_ops::{Hidden, LayerTap, Ops, OpsError, Past, Site};

use crate::decoder::{Decoder, Layer};
use crate::error::ModelError;
use crate::past::LayerCaches;
use crate::stage::{CachedRun, RunInput};

impl<O: Ops> Decoder<O> {
    /// Takes tokens through the layers, without caches or attending to them.
    ///
    /// Without caches, a run leaves the layers of the last stage to the scoring methods, which need
    /// only a part of the last layer.
    pub(crate) fn run_tokens(
        &mut self,
        input: RunInput<'_>,
        cached: Option<CachedRun<'_>>,
    ) -> Result<Hidden, ModelError> {
        let first_position = cached.as_ref().map_or(0, |cached| cached.first_position);
        let (batch, tokens) = self.check_input(input, first_position)?;
        let scored_later = self.head.is_some() && cached.is_none();
        if scored_later && matches!(input, RunInput::Hidden(_)) {
            let layers = format!("{:?}", self.range);
            return Err(ModelError::LastStage { layers });
        }
        let caches = cached.map(|run| self.caches_of(run, batch, tokens)).transpose()?;
        self.guarded(|stage| {
            let mut x = stage.enter(input, first_position)?;
            if !scored_later {
                x = stage.run_layers(x, 0, caches)?;
            }
            Ok(stage.ops.download(x)?)
        })
    }

    /// Runs all layers; only positions from `wanted` on are needed from the last one.
    pub(crate) fn run_layers(
        &mut self,
        mut x: O::Stream,
        wanted: usize,
        mut caches: Option<LayerCaches<'_, O>>,
    ) -> Result<O::Stream, ModelError> {
        let Decoder { ops, config, range, layers, tap, .. } = self;
        let first_position = caches.as_ref().map_or(0, |caches| caches.first_position);
        for number in range.clone() {
            let layer = layers.get(ops, config, range, number)?;
            let mut tap = LayerTap::new(tap.as_deref_mut(), number, first_position);
            // Later layers read every position of an earlier one, and a tap may, too.
            let all = number + 1 < range.end || tap.every_position();
            let wanted = if all { 0 } else { wanted };
            let Some(caches) = &mut caches else {
                x = layer.run(ops, x, wanted, None, &mut tap)?;
                continue;
            };
            // The stream is overwritten in place, so a visitor's input is copied beforehand.
            let input = caches.probes(number).then(|| ops.copy(&x));
            let index = number - range.start;
            x = layer.run(ops, x, wanted, Some(caches.past(index)), &mut tap)?;
            let shape = &config.blocks[number].attention;
            caches.visit((number, index), ops, (&layer, shape), input.as_ref())?;
        }
        Ok(x)
    }

    /// Uploads the input to the device.
    fn enter(&self, input: RunInput<'_>, first_position: usize) -> Result<O::Stream, ModelError> {
        let (tokens, batch) = match input {
            RunInput::Tokens { tokens, batch } => (tokens, batch),
            RunInput::Hidden(hidden) => return Ok(self.ops.upload(hidden)),
        };
        let Some(embedding) = &self.embedding else { return Err(self.no("embedding", "first")) };
        let positions = embedding.positions.as_ref();
        Ok(self.ops.embed(&embedding.table, positions, tokens, batch, first_position))
    }

    /// Checks the input; returns its number of sequences and the tokens of each.
    fn check_input(
        &self,
        input: RunInput<'_>,
        first_position: usize,
    ) -> Result<(usize, usize), ModelError> {
        match input {
            RunInput::Tokens { .. } if self.embedding.is_none() => {
                Err(self.no("embedding", "first"))
            }
            RunInput::Tokens { tokens, batch } => {
                self.check_sequences(tokens, batch, first_position)?;
                Ok((batch, tokens.len() / batch))
            }
            RunInput::Hidden(hidden) => {
                hidden.check(self.config.shape.hidden, self.dtype)?;
                Ok((hidden.batch, hidden.tokens))
            }
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
        if let Some(longest) = self.config.longest.filter(|&longest| length > longest) {
            return Err(ModelError::DynamicRope { tokens: length, longest });
        }
        let longest = self.config.max_positions;
        // A sequence that grows token by token causes one warning, when it passes the limit.
        if length > longest && first_position <= longest {
            log::warn!(
                "sequence of {length} tokens: the model was made for at most {longest} \
                 (max_position_embeddings); expect a worse perplexity, or use a shorter window"
            );
        }
        Ok(())
    }

    /// Checks that tokens are in the vocabulary.
    pub(crate) fn check_tokens(&self, tokens: &[u32]) -> Result<(), ModelError> {
        let vocab = self.config.shape.vocab;
        match tokens.iter().position(|&token| token as usize >= vocab) {
            None => Ok(()),
            Some(at) => Err(ModelError::TokenRange { token: tokens[at], position: at, vocab }),
        }
    }
}

impl<O: Ops> Layer<O> {
    /// The layer's output for `x`, after the tap.
    fn run(
        &self,
        ops: &mut O,
        x: O::Stream,
        wanted: usize,
        past: Option<Past<'_, O::Cache>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<O::Stream, OpsError> {
        let Layer { attention, mlp, parallel } = self;
        let x = if tap.wants(Site::AttentionOutput) || tap.wants(Site::MlpOutput) {
            self.run_apart(ops, x, wanted, past, tap)?
        } else if *parallel {
            ops.add_parallel(x, (attention, mlp), wanted, past, tap)?
        } else {
            let x = ops.add_attention(x, attention, wanted, past, tap)?;
            ops.add_mlp(x, mlp, wanted, tap)?
        };
        ops.tapped(x, Site::LayerOutput, tap)
    }

    /// Like `run`, but keeps the outputs of the blocks apart from the stream, so that a tap can visit
    /// them. The sums are made in the same order, so a tap that changes nothing changes no bit.
    fn run_apart(
        &self,
        ops: &mut O,
        x: O::Stream,
        wanted: usize,
        past: Option<Past<'_, O::Cache>>,
        tap: &mut LayerTap<'_>,
    ) -> Result<O::Stream, OpsError> {
        let attended = ops.attention(&x, &self.attention, wanted, past, tap)?;
        let attended = ops.tapped(attended, Site::AttentionOutput, tap)?;
        if self.parallel {
            let given = ops.mlp(&x, &self.mlp, wanted, tap)?;
            let given = ops.tapped(given, Site::MlpOutput, tap)?;
            let given = ops.add(given, attended);
            return Ok(ops.add(x, given));
        }
        let x = ops.add(x, attended);
        let given = ops.mlp(&x, &self.mlp, wanted, tap)?;
        let given = ops.tapped(given, Site::MlpOutput, tap)?;
        Ok(ops.add(x, given))
    }
}
