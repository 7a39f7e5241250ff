//! Experiment to records: the only owner of clock, seeds, threads and files.
//!
//! [`run`] resolves an experiment, walks the windows of its protocol on the outside and its cells
//! on the inside, and leaves one [`Record`](strait_schema::Record) for every cell in the results
//! folder. Each finished window of a cell is in that cell's [`journal`] before the next begins, so
//! a run can be killed at any point and goes on from there.

mod analyze;
mod cache_plan;
mod cell;
mod clock;
mod convert;
mod crashes;
mod deadline;
mod environment;
mod error;
mod fit;
mod folder;
mod generate;
mod group;
mod heads;
pub mod journal;
mod kv;
mod link;
mod look;
mod memory;
mod models;
mod pass;
mod plan;
mod plausible;
mod prefix;
mod progress;
mod record;
mod rerun;
mod run;
mod side_plan;
mod speed;
mod trace;

pub use analyze::{Analysis, BINS, Massive, Matrix, Orders, TOP_SHARE, analyze};
pub use clock::{Stopwatch, unix_s};
pub use deadline::with_deadline;
pub use error::RunnerError;
pub use fit::{Fitted, fit};
pub use generate::{Ended, GenerateOptions, Generated, Sampling, generate};
pub use heads::{Heads, heads};
pub use progress::{CellIntro, CellProgress, Observer, Progress, Silent};
pub use run::{Options, Outcome, run};
