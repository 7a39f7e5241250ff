//! Plans the cells that run under noise or run another model.

use strait_model::Noise;
use strait_schema::{CellKind, Experiment, NOISE_FLOOR_LABEL, RecordCell};

use super::cell::{PlannedCell, Work};
use super::models::Compared;
use crate::error::RunnerError;

/// The cells that run under noise or run another model.
///
/// # Errors
/// When two models are identical.
pub(super) fn cells(
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
        let kind = CellKind::Model { reference: baseline.identity() };
        let identity = RecordCell { kind, ..alone };
        cells.push(PlannedCell::new(other.name.clone(), identity, Work::Model(index)));
    }
    if experiment.run.noise_floor {
        let kind = CellKind::Noise { size: Noise::SIZE };
        let identity = RecordCell { kind, ..baseline.clone() };
        let work = Work::Noise { seed: experiment.run.seed };
        cells.push(PlannedCell::new(NOISE_FLOOR_LABEL.to_owned(), identity, work));
    }
    Ok(cells)
}
