//! Experiment to records: the only owner of clock, seeds, threads and files.
//!
//! [`run`] resolves an experiment, walks the windows of its protocol on the outside and its cells
//! on the inside, and leaves one [`Record`](strait_schema::Record) for every cell in the results
//! folder. Each finished window of a cell is in that cell's [`journal`] before the next begins, so
//! a run can be killed at any point and goes on from there.

mod book;
mod clock;
mod commands;
mod convert;
mod deadline;
mod engine;
mod environment;
mod error;
mod memory;
mod plan;
mod progress;
mod ways;
mod workbench;

pub use book::journal;
pub use clock::{Stopwatch, unix_s};
pub use commands::analyze::{Analysis, BINS, Massive, Matrix, Orders, TOP_SHARE, analyze};
pub use commands::fit::{Fitted, fit};
pub use commands::generate::{Ended, GenerateOptions, Generated, Sampling, generate};
pub use commands::heads::{Heads, heads};
pub use commands::run::{Options, Outcome, run};
pub use deadline::with_deadline;
pub use environment::Build;
pub use error::RunnerError;
pub use progress::{CellIntro, CellProgress, Observer, Progress, Silent};
