//! The account of a cell: its journal, its running sums, and whether it can go on.

use std::path::Path;

use strait_metrics::PairedSums;
use strait_schema::Role;

use super::journal::{Journal, WindowEntry};
use crate::error::RunnerError;
use crate::plan::PlannedCell;
use crate::progress::CellProgress;

/// What is known of a cell that runs, whichever way it goes through the model.
pub(crate) struct Account {
    /// Position in the experiment: 0 is the baseline.
    pub(crate) index: usize,
    pub(crate) journal: Journal,
    pub(crate) running: Running,
    /// Why the cell cannot go on.
    pub(crate) failed: Option<String>,
}

/// Sums over the windows so far, for the live line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running {
    sums: PairedSums,
    kld_sum: f64,
    /// Whether keys and values are counted, of which a token has one each.
    cached: bool,
    tokens: u64,
    messages: u64,
    values: u64,
    payload_bytes: u64,
}

impl Account {
    /// Opens the journal of a cell, with what an earlier run has left in it.
    pub(crate) fn open(
        index: usize,
        planned: &PlannedCell,
        journal: &Path,
    ) -> Result<Self, RunnerError> {
        let cached = planned.identity.kind.role() == Role::Cache;
        let mut running = Running { cached, ..Running::default() };
        let journal = Journal::open(journal, &planned.id, |entry| running.add(entry))?;
        Ok(Self { index, journal, running, failed: None })
    }

    /// Whether windows up to `last` are still to be run.
    pub(crate) fn wants(&self, last: usize) -> bool {
        self.failed.is_none() && self.journal.windows() <= last
    }

    /// Appends one window to the journal and to the running sums.
    pub(crate) fn finish_window(&mut self, entry: &WindowEntry) -> Result<(), RunnerError> {
        self.journal.append(entry)?;
        self.running.add(entry);
        Ok(())
    }
}

impl Running {
    fn add(&mut self, entry: &WindowEntry) {
        for (&nll, &base) in entry.nll.iter().zip(&entry.base_nll) {
            self.sums.push(nll, base);
        }
        self.kld_sum += entry.kld.iter().map(|&kld| f64::from(kld)).sum::<f64>();
        for (at, link) in entry.links.iter().enumerate() {
            self.tokens += if self.cached && at > 0 { 0 } else { link.tokens };
            self.messages += link.messages;
            self.values += link.values;
            self.payload_bytes += link.payload_bytes;
        }
    }

    pub(crate) fn progress(&self, windows_done: usize) -> CellProgress {
        let paired = self.sums.summary();
        CellProgress {
            windows_done,
            scored: self.sums.n,
            nll: self.sums.a,
            payload_bytes: self.payload_bytes,
            tokens: self.tokens,
            messages: self.messages,
            ppl: paired.ppl,
            ppl_delta: paired.delta,
            ppl_delta_error: paired.delta_error,
            kld_mean: self.kld_sum / self.sums.n as f64,
            bytes_per_token: self.payload_bytes as f64 / self.tokens as f64,
            bits_per_value: 8.0 * self.payload_bytes as f64 / self.values as f64,
        }
    }
}
