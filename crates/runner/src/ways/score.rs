//! The end of every way: the last stage scores, and a cell's windows become its trip.

use strait_model::{Ahead, Hidden, ModelError, Noise, Reference, SequenceScores, Stage};

use super::Road;
use crate::engine::{Measured, Trip};
use crate::error::RunnerError;

/// Scores the baseline, and keeps what the other cells are compared with.
///
/// # Errors
/// Also if the model itself gives no finite likelihood: no cell could be compared with it, and no codec
/// is to blame.
pub(super) fn baseline(
    road: &mut Road<'_>,
    hidden: &Hidden,
) -> Result<(Vec<SequenceScores>, Reference), RunnerError> {
    let (group, last) = (road.group, last_stage(road, 0));
    let (scored, device) = road.stage(0, last, "baseline", |stage| {
        let scored = stage.reference(hidden, Ahead::Layers, &group.ranges)?;
        Ok::<_, ModelError>((scored, stage.device()))
    })?;
    let Some(at) = scored.0.iter().position(|scores| !is_finite(scores)) else { return Ok(scored) };
    let window = group.first_window + at;
    Err(RunnerError::BaselineNotFinite { window, dtype: hidden.dtype.name(), device })
}

/// Scores states that have not been through the last stage, `[cells × windows, tokens, channels]`; that
/// stage may run under noise.
pub(super) fn stacked(
    road: &mut Road<'_>,
    model: usize,
    hidden: &Hidden,
    cells: usize,
    noise: Option<&Noise>,
) -> Result<Vec<SequenceScores>, RunnerError> {
    let (group, last) = (road.group, last_stage(road, model));
    let ranges = vec![&group.ranges[..]; cells].concat();
    let sequence_of: Vec<usize> = (0..cells).flat_map(|_| 0..group.windows).collect();
    road.compare(model, last, "score", |stage, reference| {
        super::reruns::under(stage, noise, |stage| {
            stage.score(hidden, Ahead::Layers, &ranges, reference, &sequence_of)
        })
    })
}

/// Scores states that have been through all layers: one sequence for each cell, all from one window.
pub(super) fn of_window(
    road: &mut Road<'_>,
    window: usize,
    states: &Hidden,
) -> Result<Vec<SequenceScores>, RunnerError> {
    let (group, last, cells) = (road.group, last_stage(road, 0), states.batch);
    let ranges = vec![group.ranges[window].clone(); cells];
    let sequence_of = vec![window; cells];
    road.compare(0, last, "score", |stage, reference| {
        stage.score(states, Ahead::Head, &ranges, reference, &sequence_of)
    })
}

/// A cell's result for a group: its windows, or why it failed, which includes an output without a
/// finite likelihood. `blame` completes the message for that case.
pub(super) fn trip(
    cell: usize,
    failed: Option<String>,
    first_window: usize,
    measured: Vec<Measured>,
    blame: &str,
) -> Trip {
    let not_finite = || {
        let at = measured.iter().position(|measured| !is_finite(&measured.scores))?;
        let window = first_window + at;
        Some(format!("window {window}: the model's output is not finite {blame}"))
    };
    match failed.or_else(not_finite) {
        Some(reason) => Trip { cell, windows: Err(reason) },
        None => Trip { cell, windows: Ok(measured) },
    }
}

fn is_finite(scores: &SequenceScores) -> bool {
    scores.nll.iter().all(|nll| nll.is_finite())
}

fn last_stage(road: &Road<'_>, model: usize) -> usize {
    road.stages_of(model).saturating_sub(1)
}

/// Whether a stage gives the same bits whichever of its methods computes them, as the CPU does.
pub(super) fn is_exact(stage: &dyn Stage) -> bool {
    stage.device() == "cpu"
}
