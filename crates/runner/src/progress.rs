//! What a run tells while it goes on.

use std::time::Duration;

pub use strait_hub::Progress;
use strait_schema::Role;

/// A cell as shown before it runs.
#[derive(Debug, Clone)]
pub struct CellIntro {
    /// The cell's label.
    pub label: String,
    /// Its family, as [`strait_schema::RecordCell::family`] says.
    pub family: String,
    /// The kind of the cell.
    pub role: Role,
    /// Windows that an earlier run already finished.
    pub windows_done: usize,
    /// Whether an earlier run finished the whole cell: it is not run again.
    pub finished: bool,
}

/// Running figures of one cell.
#[derive(Debug, Clone, Copy)]
pub struct CellProgress {
    /// Windows finished so far, earlier runs included.
    pub windows_done: usize,
    /// Scored tokens so far.
    pub scored: u64,
    /// Sum of negative log-likelihood so far, in nats.
    pub nll: f64,
    /// Payload bytes so far, all links.
    pub payload_bytes: u64,
    /// Tokens that crossed so far, once for every link and window; once for the keys and values of a cache.
    pub tokens: u64,
    /// Messages so far.
    pub messages: u64,
    /// Perplexity so far.
    pub ppl: f64,
    /// Perplexity minus the baseline's, so far.
    pub ppl_delta: f64,
    /// Standard error of that difference.
    pub ppl_delta_error: f64,
    /// Mean Kullback-Leibler divergence from the baseline so far, in nats.
    pub kld_mean: f64,
    /// Payload bytes a token and link, or a token's keys and values.
    pub bytes_per_token: f64,
    /// Payload bits a value.
    pub bits_per_value: f64,
}

/// Receives what happens in a run, downloads before the first window included. Calls come from one
/// thread, in order.
pub trait Observer: Progress + Send {
    /// A step before the first window begins ("load the model").
    fn step(&mut self, what: &str);
    /// Windows are about to run: `windows` in all, the first cell is the baseline.
    fn begin(&mut self, cells: &[CellIntro], windows: usize);
    /// A cell finished one more window; `eta` is for the whole run.
    fn window(&mut self, cell: usize, progress: &CellProgress, eta: Option<Duration>);
    /// A cell cannot go on.
    fn failed(&mut self, cell: usize, reason: &str);
    /// No more windows will run.
    fn end(&mut self);
}

/// An observer that shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&mut self, _: &str, _: u64, _: u64) {}
    fn advance(&mut self, _: u64) {}
    fn finish(&mut self) {}
}

impl Observer for Silent {
    fn step(&mut self, _: &str) {}
    fn begin(&mut self, _: &[CellIntro], _: usize) {}
    fn window(&mut self, _: usize, _: &CellProgress, _: Option<Duration>) {}
    fn failed(&mut self, _: usize, _: &str) {}
    fn end(&mut self) {}
}
