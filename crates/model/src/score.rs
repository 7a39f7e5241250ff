//! The end of the last stage: norm, head and scores.

use strait_ops::{Hidden, Ops, OpsError, ScoreRange, SequenceScores};

use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::stage::{Ahead, Reference};

/// What sequences are compared with: kept logits, and which of them belong to each sequence.
struct Kept<'a, L> {
    logits: &'a [L],
    sequence_of: &'a [usize],
}

/// The scores of a sequence, and its logits if it is a reference.
type Scored<O> = (SequenceScores, Option<<O as Ops>::Logits>);

impl<O: Ops> Decoder<O> {
    /// Scores the baseline and keeps its logits.
    pub(crate) fn keep_reference(
        &mut self,
        hidden: &Hidden,
        ahead: Ahead,
        score: &[ScoreRange],
    ) -> Result<(Vec<SequenceScores>, Reference), ModelError> {
        self.check_ranges(hidden, score)?;
        let scored = self.guarded(|stage| stage.score_all(hidden, ahead, score, None))?;
        let (scores, kept): (Vec<_>, Vec<_>) = scored.into_iter().unzip();
        let kept: Vec<O::Logits> = kept.into_iter().flatten().collect();
        let reference = Reference {
            rows: score.iter().map(|range| range.targets.len()).collect(),
            bytes: kept.iter().map(O::logits_bytes).sum(),
            inner: Box::new(kept),
        };
        Ok((scores, reference))
    }

    /// Scores against a reference.
    pub(crate) fn compare(
        &mut self,
        hidden: &Hidden,
        ahead: Ahead,
        score: &[ScoreRange],
        reference: &Reference,
        sequence_of: &[usize],
    ) -> Result<Vec<SequenceScores>, ModelError> {
        self.check_ranges(hidden, score)?;
        if sequence_of.len() != score.len() {
            return Err(OpsError::size("sequence_of", score.len(), sequence_of.len()).into());
        }
        let logits = reference.inner.downcast_ref::<Vec<O::Logits>>();
        let logits = logits.ok_or(ModelError::ForeignReference)?;
        for (range, &of) in score.iter().zip(sequence_of) {
            if reference.rows.get(of) != Some(&range.targets.len()) {
                return Err(ModelError::ForeignReference);
            }
        }
        let kept = Kept { logits, sequence_of };
        let scored = self.guarded(|stage| stage.score_all(hidden, ahead, score, Some(kept)))?;
        Ok(scored.into_iter().map(|(scores, _)| scores).collect())
    }

    /// The logits for the token that follows the last one of the first sequence.
    pub(crate) fn last_logits(&mut self, states: &Hidden) -> Result<Vec<f32>, ModelError> {
        states.check(self.config.shape.hidden, self.dtype)?;
        let Some(last) = states.tokens.checked_sub(1).filter(|_| states.batch > 0) else {
            return Err(OpsError::size("states, tokens", "at least 1", 0).into());
        };
        self.guarded(|stage| {
            let x = stage.ops.upload(states);
            let Some(head) = &stage.head else { return Err(stage.no("head", "last")) };
            Ok(stage.ops.logits(&x, 0, (&head.norm, &head.table), last)?)
        })
    }

    /// The logits of a scored position of a reference.
    pub(crate) fn kept_logits(
        &self,
        reference: &Reference,
        sequence: usize,
        row: usize,
    ) -> Result<Vec<f32>, ModelError> {
        let kept = reference.inner.downcast_ref::<Vec<O::Logits>>();
        let kept = kept.and_then(|kept| kept.get(sequence)).ok_or(ModelError::ForeignReference)?;
        Ok(self.ops.logits_row(kept, row)?)
    }

    fn score_all(
        &mut self,
        hidden: &Hidden,
        ahead: Ahead,
        score: &[ScoreRange],
        kept: Option<Kept<'_, O::Logits>>,
    ) -> Result<Vec<Scored<O>>, ModelError> {
        if self.head.is_none() {
            return Err(self.no("head", "last"));
        }
        let wanted = score.iter().map(|range| range.first_position).min().unwrap_or(0);
        let mut x = self.ops.upload(hidden);
        if ahead == Ahead::Layers {
            x = self.run_layers(x, wanted, None)?;
        }
        let Some(head) = &self.head else { return Ok(Vec::new()) };
        let mut scored = Vec::with_capacity(score.len());
        for (index, range) in score.iter().enumerate() {
            let reference = kept.as_ref().and_then(|kept| kept.of(index));
            let head = (&head.norm, &*head.table);
            scored.push(self.ops.score(&x, index, head, range, reference)?);
        }
        Ok(scored)
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
}

impl<'a, L> Kept<'a, L> {
    /// The logits that sequence `index` is compared with.
    fn of(&self, index: usize) -> Option<&'a L> {
        self.logits.get(*self.sequence_of.get(index)?)
    }
}
