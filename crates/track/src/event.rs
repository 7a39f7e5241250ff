//! What trackers are told, with every time already in it: they read no clock.

use serde_json::{Map, Value};
use strait_schema::{Record, Role};

/// A run begins.
#[derive(Debug, Clone)]
pub struct RunStart {
    /// Name of the experiment.
    pub experiment: String,
    /// What the experiment file says, for the trackers' configuration.
    pub config: Map<String, Value>,
    /// Windows of every cell.
    pub windows: usize,
    /// The cells, the baseline first.
    pub cells: Vec<CellStart>,
}

/// A cell that a run has.
#[derive(Debug, Clone)]
pub struct CellStart {
    /// The cell's label.
    pub label: String,
    /// The family: the codec's or press's id, `baseline` for the baseline.
    pub codec: String,
    /// The kind of the cell.
    pub role: Role,
    /// Windows that earlier runs finished.
    pub windows_done: usize,
    /// Whether an earlier run finished the cell: trackers have it already.
    pub finished: bool,
}

/// Running figures of a cell after a window. What is not known is NaN.
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
    /// Payload bytes so far, all links.
    pub total_bytes: u64,
    /// Tokens that crossed links so far, once for every link and window; once for the keys and values of a
    /// cache.
    pub total_tokens: u64,
    /// Messages so far.
    pub messages: u64,
    /// Payload bits a value.
    pub bits_per_value: f64,
}

impl Point {
    /// Payload bytes a token and link, or of a token's keys and values; NaN without tokens.
    #[must_use]
    pub fn bytes_per_token(&self) -> f64 {
        self.total_bytes as f64 / self.total_tokens as f64
    }
}

/// Something happened, at a wall-clock time in seconds since 1970.
#[derive(Debug, Clone)]
pub enum Event {
    /// Before the first window: what is being done.
    Step(String),
    /// The first window is about to begin.
    Start(RunStart),
    /// A cell finished one more window; `eta_s` is for the whole run.
    Window {
        /// Index of the cell.
        cell: usize,
        /// Its figures.
        point: Point,
        /// Seconds to the end of the run, if known.
        eta_s: Option<f64>,
    },
    /// A cell cannot go on.
    Failed {
        /// Index of the cell.
        cell: usize,
        /// Why.
        reason: String,
    },
    /// The run is over; the records of the cells that ended.
    End(Vec<Record>),
}
