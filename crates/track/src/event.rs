//! The events that trackers receive, with every time included, because trackers read no clock.

use serde_json::{Map, Value};
use strait_schema::{Record, Role};

/// A run begins.
#[derive(Debug, Clone)]
pub struct RunStart {
    /// Name of the experiment.
    pub experiment: String,
    /// The contents of the experiment file, for the trackers' configuration.
    pub config: Map<String, Value>,
    /// Number of windows of every cell.
    pub windows: usize,
    /// The cells, the baseline first.
    pub cells: Vec<CellStart>,
}

/// A cell of a run.
#[derive(Debug, Clone)]
pub struct CellStart {
    /// The cell's label.
    pub label: String,
    /// The family: the codec's or press's id, or `baseline`.
    pub codec: String,
    /// The kind of the cell.
    pub role: Role,
    /// Number of windows that earlier runs finished.
    pub windows_done: usize,
    /// Whether an earlier run finished the cell, so that trackers already have it.
    pub finished: bool,
}

/// Running figures of a cell after a window. Unknown figures are NaN.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Windows finished so far.
    pub windows_done: usize,
    /// Scored tokens so far.
    pub tokens: u64,
    /// Sum of negative log-likelihood so far, in nats.
    pub nll: f64,
    /// Perplexity so far.
    pub ppl: f64,
    /// Perplexity minus the baseline's.
    pub ppl_delta: f64,
    /// Standard error of that difference.
    pub ppl_delta_error: f64,
    /// Mean divergence from the baseline in nats.
    pub kld_mean: f64,
    /// Payload bytes so far, over all links.
    pub total_bytes: u64,
    /// Tokens that crossed links so far, counted once for every link and window; counted once for the keys
    /// and values of a cache.
    pub total_tokens: u64,
    /// Messages so far.
    pub messages: u64,
    /// Payload bits per value.
    pub bits_per_value: f64,
}

impl Point {
    /// Payload bytes per token and link, or of a token's keys and values; NaN without tokens.
    #[must_use]
    pub fn bytes_per_token(&self) -> f64 {
        self.total_bytes as f64 / self.total_tokens as f64
    }
}

/// An event of a run.
#[derive(Debug, Clone)]
pub enum Event {
    /// The step in progress before the first window.
    Step(String),
    /// The first window is about to begin.
    Start(RunStart),
    /// A cell finished one more window.
    Window {
        /// Index of the cell.
        cell: usize,
        /// Its figures.
        point: Point,
        /// Estimated seconds to the end of the whole run, if known.
        eta_s: Option<f64>,
    },
    /// A cell cannot continue.
    Failed {
        /// Index of the cell.
        cell: usize,
        /// Why.
        reason: String,
    },
    /// The run is over; holds the records of the cells that ended.
    End(Vec<Record>),
}
