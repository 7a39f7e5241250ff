//! Experiment files and result records: what a user writes, what the program leaves behind, and
//! the JSON Schema of both.
//!
//! * [`Experiment`] is a TOML file. [`Experiment::load`] checks everything that can be checked
//!   without the model and the plugins; [`Experiment::partition`] checks the rest once the number
//!   of layers is known.
//! * [`Record`] is the JSON of one cell. It holds raw counts and sums; ratios such as perplexity
//!   and bits per value are computed when it is read.
//!
//! * [`Imported`] is a result of another program, [`RunStatus`] the state of a run that goes on.
//!
//! Every complaint about an experiment file names the file, the line, the key, what was expected
//! and what stands there.

mod cache;
mod cell;
mod cells;
mod check;
mod error;
mod experiment;
mod imported;
mod json_schema;
mod lines;
mod models;
mod parse;
mod partition;
mod paths;
mod plan;
mod record;
mod sections;
mod side;
mod speed;
mod status;
mod store;
mod track;
mod validate;

pub use cache::{CacheSection, CacheSpec, KvSection, OverrideSection, PressSection};
pub use cell::{
    CellCache, CellCacheCodec, CellCompressor, CellData, CellModel, CellOverride, CellPartition,
    CellPress, CellProtocol, CellStorage, RecordCell,
};
pub use cells::{BASELINE_LABEL, CellSpec, NOISE_FLOOR_LABEL};
pub use error::{Place, SchemaError};
pub use experiment::Experiment;
pub use imported::{IMPORTED_SCHEMA, IMPORTED_SUFFIX, Imported, ImportedSite};
pub use json_schema::{json_schema_experiment, json_schema_record, render};
pub use models::{LoadIn, ModelSection, Models, WeightsSection};
pub use partition::{Link, Partition};
pub use record::{
    AgreementCounts, Environment, LinkCounts, RECORD_SCHEMA, Record, Scores, Status, Timing,
    WindowSums,
};
pub use sections::{
    CompressorSection, DataSection, Dtype, FitSection, Join, MaxWindows, OutputSection,
    PartitionSection, PluginsSection, Preset, ProtocolSection, RunSection,
};
pub use side::{Aggregate, CellSide, Metric, SideSection};
pub use speed::{SpeedCounts, SpeedSection};
pub use status::{RunStatus, RunningCell, RunningFigures};
pub use track::{MlflowSection, TensorBoardSection, TrackSection, WandbSection};
// Part of a record, so part of this interface.
pub use strait_metrics::{ConfidenceBucket, Distortion, Divergence, PairedSums, ProbabilityShift};
