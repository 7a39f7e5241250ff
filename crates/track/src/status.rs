//! The status file of a results folder, for `strait watch` and `strait serve`.

use std::path::PathBuf;

use strait_schema::{RunStatus, RunningCell, RunningFigures};

use crate::{Event, Point, TrackError, Tracker};

/// The shortest time in seconds between two writes; a start, a failure and the end are written at once.
const EVERY_S: f64 = 0.5;

/// Writes [`RunStatus`] into a results folder.
#[derive(Debug)]
pub struct StatusFile {
    results: PathBuf,
    status: RunStatus,
    written_s: f64,
}

impl StatusFile {
    /// A writer for this results folder.
    #[must_use]
    pub fn new(results: PathBuf, experiment: &str) -> Self {
        let status = RunStatus { experiment: experiment.to_owned(), ..RunStatus::default() };
        Self { results, status, written_s: f64::NEG_INFINITY }
    }

    fn write(&mut self, time_s: f64) -> Result<(), TrackError> {
        self.status.beat += 1;
        self.written_s = time_s;
        Ok(self.status.save(&self.results)?)
    }
}

impl Tracker for StatusFile {
    fn name(&self) -> &'static str {
        "the status file"
    }

    fn event(&mut self, event: &Event, time_s: f64) -> Result<(), TrackError> {
        let status = &mut self.status;
        match event {
            Event::Step(step) => status.step.clone_from(step),
            Event::Start(start) => {
                status.step.clear();
                status.windows = start.windows;
                status.cells = start
                    .cells
                    .iter()
                    .map(|cell| RunningCell {
                        label: cell.label.clone(),
                        codec: cell.codec.clone(),
                        role: cell.role,
                        windows_done: cell.windows_done,
                        finished: cell.finished,
                        ..RunningCell::default()
                    })
                    .collect();
            }
            Event::Window { cell, point, eta_s } => {
                status.eta_s = *eta_s;
                if let Some(cell) = status.cells.get_mut(*cell) {
                    cell.windows_done = point.windows_done;
                    cell.figures = Some(figures(point));
                }
                if time_s - self.written_s < EVERY_S {
                    return Ok(());
                }
            }
            Event::Failed { cell, reason } => {
                if let Some(cell) = status.cells.get_mut(*cell) {
                    cell.reason = Some(reason.clone());
                }
            }
            Event::End(records) => {
                status.ended = true;
                status.eta_s = None;
                for cell in &mut status.cells {
                    let record = records.iter().find(|record| record.label == cell.label);
                    cell.finished = record.is_some_and(strait_schema::Record::is_finished);
                }
            }
        }
        self.write(time_s)
    }
}

fn figures(point: &Point) -> RunningFigures {
    let finite = |value: f64| Some(value).filter(|value| value.is_finite());
    RunningFigures {
        ppl: finite(point.ppl),
        ppl_delta: finite(point.ppl_delta),
        ppl_delta_error: finite(point.ppl_delta_error),
        kld_mean: finite(point.kld_mean),
        bytes_per_token: finite(point.bytes_per_token()),
        bits_per_value: finite(point.bits_per_value),
    }
}
