//! The running figures of an experiment, as a file beside its journals: what `strait watch` and
//! `strait serve` read, on this machine or over a shared folder.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::kind::Role;
use super::store;
use crate::SchemaError;

/// The state of a run. It is written whole every second or so, and read by other processes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunStatus {
    /// Name of the experiment.
    pub experiment: String,
    /// Counts the writes, so that a reader sees progress without comparing clocks.
    pub beat: u64,
    /// What is being done before the first window; empty afterwards.
    pub step: String,
    /// Windows of every cell.
    pub windows: usize,
    /// Estimated seconds to the end, if known.
    pub eta_s: Option<f64>,
    /// Whether the run is over: no more beats will come.
    pub ended: bool,
    /// The cells in the order of the experiment, the baseline first.
    pub cells: Vec<RunningCell>,
}

/// One cell of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningCell {
    /// The cell's label.
    pub label: String,
    /// The family: the codec's or press's id, `baseline` for the baseline.
    pub codec: String,
    /// The kind of the cell.
    #[serde(default)]
    pub role: Role,
    /// Windows that are finished.
    pub windows_done: usize,
    /// Whether an earlier run finished it.
    pub finished: bool,
    /// Why it failed.
    pub reason: Option<String>,
    /// Figures so far; `None` before the first window of this run.
    pub figures: Option<RunningFigures>,
}

/// A cell's figures so far. A number that is not finite is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningFigures {
    /// Perplexity.
    pub ppl: Option<f64>,
    /// Perplexity minus the baseline's.
    pub ppl_delta: Option<f64>,
    /// Standard error of that difference.
    pub ppl_delta_error: Option<f64>,
    /// Mean divergence from the baseline in nats.
    pub kld_mean: Option<f64>,
    /// Payload bytes a token and link.
    pub bytes_per_token: Option<f64>,
    /// Payload bits a value.
    pub bits_per_value: Option<f64>,
}

impl RunStatus {
    /// Where it lies in a results folder.
    #[must_use]
    pub fn path(results: &Path) -> PathBuf {
        results.join("journal").join("status.json")
    }

    /// Reads the status of a results folder; `None` if no run has left one.
    ///
    /// # Errors
    /// If there is one that cannot be read or is not a status.
    pub fn load(results: &Path) -> Result<Option<Self>, SchemaError> {
        let path = Self::path(results);
        if path.exists() && !path.is_file() {
            return Ok(None);
        }
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SchemaError::Read { path, source }),
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| SchemaError::NotARecord { path, message: error.to_string() })
    }

    /// Writes the status into a results folder; a reader sees the old one or the new one.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn save(&self, results: &Path) -> Result<(), SchemaError> {
        store::save_json(self, &Self::path(results))
    }
}
