//! From a cell's journal to its record.

use std::path::Path;

use strait_metrics::{Divergence, PairedSums, ProbabilityShift, confidence_buckets};
use strait_schema::{
    AgreementCounts, Environment, LinkCounts, RECORD_SCHEMA, Record, Scores, Status, Timing,
    WindowSums,
};

use super::effects::{Evidence, Finding};
use super::journal::{self, WindowEntry};
use crate::error::RunnerError;
use crate::plan::PlannedCell;

/// Computes the record from the journal alone, so that it does not matter in how many sittings the
/// windows were run. With a `reason` the cell has failed and its totals are left out.
///
/// # Errors
/// When the journal does not hold `windows` windows, those that were measured: somebody else has
/// changed it.
pub(crate) fn from_journal(
    experiment: &str,
    planned: &PlannedCell,
    (journal, windows): (&Path, usize),
    environment: &Environment,
    reason: Option<&str>,
) -> Result<Record, RunnerError> {
    let mut totals = Totals::default();
    let mut evidence = Evidence::of(planned);
    let found = journal::read(journal, &planned.id, |entry| {
        totals.add(entry);
        evidence.add(entry);
    })?;
    if found != windows {
        let path = journal.to_owned();
        return Err(RunnerError::JournalLost { path, expected: windows, found });
    }
    let codec_s = totals.links.iter().map(|link| link.encode_s + link.decode_s).sum();
    let mut record = Record {
        schema: RECORD_SCHEMA,
        id: planned.id.clone(),
        experiment: experiment.to_owned(),
        label: planned.label.clone(),
        status: Status::Finished,
        reason: None,
        cell: planned.identity.clone(),
        environment: environment.clone(),
        scores: Some(Scores {
            sums: totals.sums,
            kld: Divergence::from_values(&totals.kld),
            agreement: AgreementCounts { same: totals.same, n: totals.kld.len() as u64 },
            shift: Some(ProbabilityShift::from_nll(&totals.nll, &totals.base_nll)),
            confidence: Some(confidence_buckets(&totals.base_top, &totals.kld, &totals.same_top)),
        }),
        windows: totals.windows,
        links: totals.links,
        timing: Timing { codec_s, ..totals.timing },
        speed: Vec::new(),
        warnings: Vec::new(),
    };
    record.warnings = record.shortfalls();
    match reason.map_or_else(|| evidence.finding(), |reason| Finding::Failed(reason.to_owned())) {
        Finding::Nothing => {}
        Finding::Odd(warning) => record.warnings.push(warning),
        Finding::Failed(reason) => record.fail(reason),
    }
    Ok(record)
}

#[derive(Default)]
struct Totals {
    sums: PairedSums,
    nll: Vec<f64>,
    base_nll: Vec<f64>,
    kld: Vec<f32>,
    base_top: Vec<f32>,
    same_top: Vec<bool>,
    same: u64,
    windows: Vec<WindowSums>,
    links: Vec<LinkCounts>,
    timing: Timing,
}

impl Totals {
    fn add(&mut self, entry: &WindowEntry) {
        let mut sums = PairedSums::default();
        for (&a, &b) in entry.nll.iter().zip(&entry.base_nll) {
            sums.push(a, b);
        }
        let same_top = entry.same_top.iter().filter(|&&same| same).count() as u64;
        self.sums.merge(&sums);
        self.nll.extend_from_slice(&entry.nll);
        self.base_nll.extend_from_slice(&entry.base_nll);
        self.kld.extend_from_slice(&entry.kld);
        self.base_top.extend_from_slice(&entry.base_top);
        self.same_top.extend_from_slice(&entry.same_top);
        self.same += same_top;
        self.timing.wall_s += entry.time.wall_s;
        self.timing.model_s += entry.time.model_s;
        if self.timing.stage_s.is_empty() {
            self.timing.stage_s.clone_from(&entry.time.stage_s);
        } else {
            let stages = self.timing.stage_s.iter_mut().zip(&entry.time.stage_s);
            stages.for_each(|(total, stage_s)| *total += stage_s);
        }
        self.windows.push(WindowSums {
            index: entry.index,
            scored: entry.nll.len() as u64,
            sums,
            kld_sum: entry.kld.iter().map(|&x| f64::from(x)).sum(),
            same_top,
        });
        if self.links.is_empty() {
            self.links = entry.links.clone();
            return;
        }
        for (total, link) in self.links.iter_mut().zip(&entry.links) {
            total.merge(link);
        }
    }
}
