//! From a cell's journal to its record.

use std::path::Path;

use strait_metrics::{Divergence, PairedSums, ProbabilityShift, confidence_buckets};
use strait_schema::{
    AgreementCounts, Environment, LinkCounts, RECORD_SCHEMA, Record, Scores, Status, Timing,
    WindowSums, WindowsEnvironment,
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
    let mut spans = Spans::default();
    let found = journal::read(journal, &planned.id, |entry, measured_with| {
        spans.add(entry.index, measured_with, environment);
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
        environment: spans.last().unwrap_or(environment).clone(),
        environments: spans.several(),
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
        content_sha256: None,
    };
    record.warnings = record.shortfalls();
    record.warnings.extend(record.mixed_environments());
    match reason.map_or_else(|| evidence.finding(), |reason| Finding::Failed(reason.to_owned())) {
        Finding::Nothing => {}
        Finding::Odd(warning) => record.warnings.push(warning),
        Finding::Failed(reason) => record.fail(reason),
    }
    Ok(record)
}

/// The environments of the windows so far.
#[derive(Default)]
struct Spans(Vec<WindowsEnvironment>);

impl Spans {
    /// One more window. Journals of earlier releases do not say what they were measured with, which is taken to be what
    /// `this_run` has.
    fn add(&mut self, window: usize, measured_with: Option<Environment>, this_run: &Environment) {
        let new = measured_with.filter(|new| self.last().is_none_or(|last| last != new));
        match (self.0.last_mut(), new) {
            (Some(span), None) => span.last = window,
            (None, None) => self.begin(window, this_run.clone()),
            (_, Some(environment)) => self.begin(window, environment),
        }
    }

    fn begin(&mut self, window: usize, environment: Environment) {
        self.0.push(WindowsEnvironment { first: window, last: window, environment });
    }

    fn last(&self) -> Option<&Environment> {
        self.0.last().map(|span| &span.environment)
    }

    /// All of them, if there is more than one.
    fn several(self) -> Vec<WindowsEnvironment> {
        if self.0.len() > 1 { self.0 } else { Vec::new() }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn with(threads: usize) -> Environment {
        Environment { threads, ..Environment::default() }
    }

    #[test]
    fn windows_keep_the_environment_that_they_were_measured_under() {
        let mut spans = Spans::default();
        let runs = [None, None, Some(with(2)), None, Some(with(2)), Some(with(8)), None];
        for (window, measured_with) in runs.into_iter().enumerate() {
            spans.add(window, measured_with, &with(4));
        }
        assert_eq!(spans.last(), Some(&with(8)));
        let spans = spans.several();
        let seen = spans.iter().map(|span| (span.first, span.last, span.environment.threads));
        assert_eq!(seen.collect::<Vec<_>>(), [(0, 1, 4), (2, 4, 2), (5, 6, 8)]);

        let mut one = Spans::default();
        one.add(0, Some(with(2)), &with(4));
        one.add(1, Some(with(2)), &with(4));
        assert_eq!(one.last(), Some(&with(2)));
        assert_eq!(one.several(), []);
    }
}
