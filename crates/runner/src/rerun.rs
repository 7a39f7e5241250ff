//! Cells that are no codec on a link but the whole text again: the baseline under noise, and models
//! that are compared with it.

use strait_model::{Hidden, Noise, Stage};
use strait_schema::{CellKind, Experiment, NOISE_FLOOR_LABEL, RecordCell};

use crate::cell::PlannedCell;
use crate::error::RunnerError;
use crate::group::Group;
use crate::models::Compared;
use crate::pass::{DeviceStage, Pass, Spent};
use crate::trace::Lane;

/// What runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rerun {
    /// The reference with noise after every layer.
    Noise {
        /// Of the noise.
        seed: u64,
    },
    /// Another model, by its position among those compared.
    Model(usize),
}

impl Rerun {
    /// The noise on the windows of a group, if there is any.
    pub(crate) fn noise(self, group: &Group<'_>) -> Option<Noise> {
        let Self::Noise { seed } = self else { return None };
        let first = group.first_window as u64;
        Some(Noise { seed, sequences: (first..first + group.windows as u64).collect() })
    }
}

impl<'a> Pass<'a> {
    /// The stages that a batch goes through.
    pub(crate) fn stages_of(&self, rerun: Option<Rerun>) -> &[DeviceStage<'a>] {
        match rerun {
            Some(Rerun::Model(index)) => &self.others[index],
            Some(Rerun::Noise { .. }) | None => &self.stages,
        }
    }

    /// From the tokens to the last stage, nothing compressed.
    pub(crate) fn rerun(
        &self,
        lane: Lane,
        group: &Group<'_>,
        rerun: Rerun,
        spent: &mut Spent,
    ) -> Result<Hidden, RunnerError> {
        let (stages, noise) = (self.stages_of(Some(rerun)), rerun.noise(group));
        let embed = |stage: &mut dyn Stage| stage.embed(&group.tokens, group.windows);
        let mut hidden =
            self.stage(lane, stages, 0, "rerun", spent, |stage| disturbed(stage, &noise, embed))?;
        for index in 1..stages.len().saturating_sub(1) {
            let forward = |stage: &mut dyn Stage| stage.forward(hidden);
            let run = |stage: &mut dyn Stage| disturbed(stage, &noise, forward);
            hidden = self.stage(lane, stages, index, "rerun", spent, run)?;
        }
        Ok(hidden)
    }
}

/// Lets a stage work under noise, if there is any, and without it again.
pub(crate) fn disturbed<T>(
    stage: &mut dyn Stage,
    noise: &Option<Noise>,
    work: impl FnOnce(&mut dyn Stage) -> T,
) -> T {
    if noise.is_some() {
        stage.disturb(noise.clone());
    }
    let out = work(stage);
    stage.disturb(None);
    out
}

/// The cells of noise and of other models.
///
/// # Errors
/// Two models are one.
pub(crate) fn cells(
    experiment: &Experiment,
    baseline: &RecordCell,
    others: &[Compared],
) -> Result<Vec<PlannedCell>, RunnerError> {
    let mut cells = Vec::new();
    let mut models = vec![(baseline.identity(), experiment.model.name())];
    for (index, other) in others.iter().enumerate() {
        let alone = RecordCell { model: other.cell.clone(), ..baseline.clone() };
        let id = alone.identity();
        if let Some((_, same)) = models.iter().find(|(known, _)| *known == id) {
            let key = experiment.model_key(index + 1, "source");
            let expected = "another model, dtype or load_in than every other entry";
            let found = format!("the model {same:?} again");
            return Err(experiment.value_error(&key, expected, found, None).into());
        }
        models.push((id, other.name.clone()));
        let identity =
            RecordCell { kind: CellKind::Model { reference: baseline.identity() }, ..alone };
        cells.push(planned(other.name.clone(), identity, Rerun::Model(index)));
    }
    if experiment.run.noise_floor {
        let identity =
            RecordCell { kind: CellKind::Noise { size: Noise::SIZE }, ..baseline.clone() };
        let rerun = Rerun::Noise { seed: experiment.run.seed };
        cells.push(planned(NOISE_FLOOR_LABEL.to_owned(), identity, rerun));
    }
    Ok(cells)
}

fn planned(label: String, identity: RecordCell, rerun: Rerun) -> PlannedCell {
    let id = identity.identity();
    PlannedCell { label, codec: None, cache: None, rerun: Some(rerun), id, identity }
}
