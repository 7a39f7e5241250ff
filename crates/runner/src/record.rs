//! From a cell's journal to its record.

use std::path::Path;

use strait_metrics::{Divergence, PairedSums, ProbabilityShift, confidence_buckets};
use strait_schema::{
    AgreementCounts, Environment, LinkCounts, RECORD_SCHEMA, Record, Scores, Status, Timing,
    WindowSums,
};

use crate::cell::PlannedCell;
use crate::error::RunnerError;
use crate::journal::{Journal, WindowEntry};

/// Computes the record from the journal alone, so that it does not matter in how many sittings the
/// windows were run. With a `reason` the cell has failed and its totals are left out.
pub(crate) fn from_journal(
    experiment: &str,
    planned: &PlannedCell,
    journal: &Path,
    environment: &Environment,
    reason: Option<&str>,
) -> Result<Record, RunnerError> {
    let mut totals = Totals::default();
    Journal::open(journal, |entry| totals.add(entry))?;
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
    if let Some(reason) = reason {
        record.fail(reason);
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

/// The effect check: what was meant to be lossy and changed nothing, and different codecs whose
/// every window has the same likelihood, are more likely a mistake than a result. Sets the warnings
/// of all `records`; the first is the baseline. A cell that compresses the KV cache, which the model
/// then did not see, has failed.
pub(crate) fn check_effects(records: &mut [Record], lossless: &[bool]) {
    let found: Vec<_> = (0..records.len()).map(|i| effects(records, lossless, i)).collect();
    for (record, (mut warnings, unseen)) in records.iter_mut().zip(found) {
        match record.cell.cache().is_some() && !unseen.is_empty() {
            true => record.fail(unseen.join("; ")),
            false => warnings.extend(unseen),
        }
        record.warnings = warnings;
    }
}

/// What is odd about record `i`: that it changed nothing, and that nobody saw what it changed.
fn effects(records: &[Record], lossless: &[bool], i: usize) -> (Vec<String>, Vec<String>) {
    let (mut warnings, mut unseen) = (records[i].shortfalls(), Vec::new());
    // A press changes no value, but leaves some out.
    let changed = |record: &Record| {
        let cache = record.cell.cache().is_some();
        let mut links = record.links.iter();
        links.any(|link| {
            link.distortion.max_abs != 0.0 || cache && link.payload_bytes < link.raw_bytes
        })
    };
    let record = &records[i];
    if !record.is_finished() || i == 0 || lossless[i] {
        return (warnings, unseen);
    }
    if !changed(record) {
        let what = match record.cell.cache() {
            None => "the codec changed no value on any link",
            Some(_) => "the cache kept every value as it was",
        };
        warnings.push(format!("{what}: expected of a lossless setting only"));
        return (warnings, unseen);
    }
    for (j, other) in records.iter().enumerate() {
        let pair = i != j && other.is_finished() && !lossless[j] && changed(other);
        if pair && same_likelihood(record, other) {
            unseen.push(format!(
                "every window has the same likelihood as {:?}, another codec or setting",
                other.label
            ));
        }
    }
    if same_likelihood(record, &records[0]) {
        unseen.push(
            "values were changed, yet every window has the baseline's likelihood: does the model see the decoded values?"
                .to_owned(),
        );
    }
    (warnings, unseen)
}

/// To the last bit; to 1e-9 where a cache is compressed, whose sums are made in other steps.
fn same_likelihood(a: &Record, b: &Record) -> bool {
    let of = |record: &Record| -> Vec<f64> {
        record.windows.iter().map(|window| window.sums.a).collect()
    };
    let tolerance = if a.cell.cache().is_some() { 1e-9 } else { 0.0 };
    let close = |(a, b): (&f64, &f64)| (a - b).abs() <= tolerance * a.abs();
    let (a, b) = (of(a), of(b));
    !a.is_empty() && a.len() == b.len() && a.iter().zip(&b).all(close)
}
