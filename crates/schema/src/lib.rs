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

mod compare_q;
mod error;
mod experiment;
mod json_schema;
mod record;

pub use compare_q::{SpecError, experiment_of_specs};
pub use error::{Place, SchemaError};
pub use experiment::{
    Aggregate, BASELINE_LABEL, CacheSection, CacheSpec, CellSpec, CompressorSection, DataSection,
    Experiment, FitSection, KvSection, Link, MaxWindows, Metric, MlflowSection, ModelSection,
    Models, NOISE_FLOOR_LABEL, OutputSection, OverrideSection, Partition, PartitionSection,
    PluginsSection, PressSection, ProtocolSection, RunSection, SideSection, SpeedSection,
    TensorBoardSection, TrackSection, WandbSection, WeightsSection,
};
pub use json_schema::{json_schema_experiment, json_schema_record, render};
pub use record::{
    AgreementCounts, CellCache, CellCacheCodec, CellCompressor, CellData, CellKind, CellModel,
    CellOverride, CellPartition, CellPress, CellProtocol, CellSide, CellStorage, EDITED,
    Environment, IMPORTED_SCHEMA, IMPORTED_SUFFIX, Imported, ImportedSite, LinkCounts,
    RECORD_SCHEMA, Record, RecordCell, Role, RunStatus, RunningCell, RunningFigures, Scores,
    SpeedCounts, Status, Timing, WindowSums, WindowsEnvironment,
};
pub use strait_vocabulary::{Bos, Dtype, Join, LoadIn, Preset};
// Part of a record, so part of this interface.
pub use strait_metrics::{ConfidenceBucket, Distortion, Divergence, PairedSums, ProbabilityShift};
