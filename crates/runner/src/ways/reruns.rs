//! The way of cells that are not a codec but a second run of the whole text: the baseline under noise,
//! and models that are compared with it.

use strait_model::{Hidden, Noise, Reference, RunInput, Stage};

use super::{Road, score};
use crate::engine::{Arrived, Batch, BoxedBatch, Chosen, Measured, Way};
use crate::error::RunnerError;

/// Cells that run the text again, each in its own batch.
pub(crate) struct Reruns {
    pub(crate) cells: Vec<Rerun>,
}

/// A cell that runs the text again.
pub(crate) struct Rerun {
    /// Index of the cell in the experiment.
    pub(crate) index: usize,
    pub(crate) what: Again,
}

/// What runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// The reference with noise after every layer.
    Noise {
        /// Seed of the noise.
        seed: u64,
    },
    /// Another model, given by its index among the stages of all models.
    Model(usize),
}

impl Way<dyn Stage, Reference> for Reruns {
    fn batches<'w>(
        &'w mut self,
        chosen: &Chosen<'_>,
        _: &mut Road<'_>,
    ) -> Result<Vec<BoxedBatch<'w, dyn Stage, Reference>>, RunnerError> {
        let cells = self.cells.iter_mut().filter(|cell| chosen(cell.index));
        Ok(cells.map(|cell| Box::new(cell) as BoxedBatch<'w, _, _>).collect())
    }
}

impl Again {
    /// The model that runs.
    fn model(self) -> usize {
        match self {
            Self::Noise { .. } => 0,
            Self::Model(model) => model,
        }
    }

    /// The noise on the windows of a group, if there is any.
    fn noise(self, road: &Road<'_>) -> Option<Noise> {
        let Self::Noise { seed } = self else { return None };
        let first = road.group.first_window as u64;
        Some(Noise { seed, sequences: (first..first + road.group.windows as u64).collect() })
    }

    /// Explains why its output may have no likelihood.
    fn blame(self) -> &'static str {
        match self {
            Self::Noise { .. } => "under this noise, so there is no likelihood to score",
            Self::Model(_) => {
                "in its dtype, so there is no likelihood to score: try another `dtype`"
            }
        }
    }
}

impl Batch<dyn Stage, Reference> for &mut Rerun {
    fn travel(&mut self, road: &mut Road<'_>) -> Result<Arrived<Reference>, RunnerError> {
        let (model, noise) = (self.what.model(), self.what.noise(road));
        let hidden = up_to_last_stage(road, model, noise.as_ref())?;
        let scores = score::stacked(road, model, &hidden, 1, noise.as_ref())?;
        // Nothing crosses a link, so nothing is counted there.
        let measured = scores.into_iter().map(Measured::scored).collect();
        let (first_window, blame) = (road.group.first_window, self.what.blame());
        let trip = score::trip(self.index, None, first_window, measured, blame);
        Ok(Arrived { trips: vec![trip], reference: None })
    }
}

/// Runs from the tokens to the last stage without compression.
fn up_to_last_stage(
    road: &mut Road<'_>,
    model: usize,
    noise: Option<&Noise>,
) -> Result<Hidden, RunnerError> {
    let tokens = RunInput::Tokens { tokens: &road.group.tokens, batch: road.group.windows };
    let mut hidden = road
        .stage(model, 0, "rerun", |stage| under(stage, noise, |stage| stage.run(tokens, None)))?;
    for index in 1..road.stages_of(model).saturating_sub(1) {
        hidden = road.stage(model, index, "rerun", |stage| {
            under(stage, noise, |stage| stage.run(RunInput::Hidden(&hidden), None))
        })?;
    }
    Ok(hidden)
}

/// Runs a stage under noise, if there is any, and removes the noise afterwards.
pub(super) fn under<T>(
    stage: &mut dyn Stage,
    noise: Option<&Noise>,
    work: impl FnOnce(&mut dyn Stage) -> T,
) -> T {
    let Some(noise) = noise else { return work(stage) };
    stage.set_tap(Some(Box::new(noise.clone())));
    let out = work(stage);
    stage.set_tap(None);
    out
}
