//! A run as experiment trackers see it: Weights & Biases, TensorBoard, MLflow, and the status file that
//! `strait watch` reads.
//!
//! [`Trackers`] works on its own thread behind a queue. A tracker that fails or is slow costs the run
//! nothing: it is dropped with one warning, and the records on disk are what counts.

mod error;
mod event;
mod mlflow;
mod names;
mod proto;
mod status;
mod tensorboard;
mod trackers;
mod wandb;

pub use error::TrackError;
pub use event::{CellStart, Event, Point, RunStart};
pub use mlflow::Mlflow;
pub use names::{batch_metrics, final_metrics};
pub use proto::{Field, Reader};
pub use status::StatusFile;
pub use tensorboard::{TensorBoard, scalars};
pub use trackers::{Tracker, Trackers};
pub use wandb::{Wandb, frames};
