//! `[track]`: the experiment trackers that follow a run. None of it changes what is measured, and a tracker
//! that fails is left behind with a warning.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[track]`: which trackers follow the run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackSection {
    /// A point for every so many windows of a cell.
    #[serde(default = "ten")]
    #[schemars(range(min = 1))]
    pub every_windows: usize,
    /// Weights & Biases: offline runs for `wandb sync`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wandb: Option<WandbSection>,
    /// TensorBoard: event files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensorboard: Option<TensorBoardSection>,
    /// MLflow: a tracking server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlflow: Option<MlflowSection>,
}

/// `[track.wandb]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WandbSection {
    /// The project.
    #[serde(default = "strait")]
    #[schemars(length(min = 1))]
    pub project: String,
    /// Folder in which `wandb/offline-run-…` appear; the results folder when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
}

/// `[track.tensorboard]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TensorBoardSection {
    /// The log folder; `tensorboard` in the results folder when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
}

/// `[track.mlflow]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MlflowSection {
    /// Address of the tracking server, `http://127.0.0.1:5000`. A token is taken from
    /// `MLFLOW_TRACKING_TOKEN`.
    #[schemars(length(min = 1))]
    pub server: String,
}

impl Default for TrackSection {
    fn default() -> Self {
        Self { every_windows: ten(), wandb: None, tensorboard: None, mlflow: None }
    }
}

fn ten() -> usize {
    10
}

fn strait() -> String {
    "strait".to_owned()
}
