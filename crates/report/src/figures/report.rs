//! The records of one protocol, sorted and checked to belong together.

use std::cmp::Ordering;

use strait_metrics::NoiseFloor;
use strait_schema::{CellKind, Imported, ImportedSite, Record, Role, RunStatus};

use super::agree;
use super::front::{Candidate, front};
use super::pairs::Loss;
use super::unit::Unit;
use crate::text::format::count;
use crate::{ReportError, Row, SpeedRow};

/// Rows that may stand in one table, and what they have in common.
#[derive(Debug, Clone)]
pub struct Report {
    /// Name of the experiment, or of all of them.
    pub title: String,
    /// Model, text, protocol and links in one line.
    pub subtitle: String,
    /// The protocol's fingerprint; all of them, separated by commas, if protocols were mixed.
    pub fingerprint: String,
    /// Perplexity of the baseline and its standard error, if any cell finished and there is one
    /// protocol.
    pub baseline_ppl: Option<(f64, f64)>,
    /// Whether models are compared: bits are then those of their weights, not of what crosses links.
    pub models: bool,
    /// What noise as small as rounding does to the baseline, if that was measured.
    pub noise_floor: Option<NoiseFloor>,
    /// One row a record, most bytes first, failed cells last; then imported results and cells that run.
    pub rows: Vec<Row>,
    /// Speed and memory of generation, by context and in the order of the records.
    pub speed: Vec<SpeedRow>,
}

impl Report {
    /// Computes and sorts the rows.
    ///
    /// # Errors
    /// If there is no record, or if the records have different protocol fingerprints.
    pub fn from_records(records: &[Record]) -> Result<Self, ReportError> {
        let first = records.first().ok_or(ReportError::Empty)?;
        if let Some(other) = records.iter().find(|other| fingerprint(other) != fingerprint(first)) {
            return Err(fingerprint_error(first, other));
        }
        Self::of_any_protocols(records)
    }

    /// As [`Report::from_records`], but takes records of different protocols, for readers who know
    /// that their perplexities do not compare. Each label then ends in its protocol's fingerprint, and
    /// each protocol has a front of its own.
    ///
    /// # Errors
    /// If there is no record.
    pub fn of_any_protocols(records: &[Record]) -> Result<Self, ReportError> {
        let first = records.first().ok_or(ReportError::Empty)?;
        let fingerprints = distinct(records, fingerprint);
        let experiments = distinct(records, |record| record.experiment.clone());
        let mut rows: Vec<Row> = records.iter().map(Row::from_record).collect();
        for (row, warning) in rows.iter_mut().zip(agree::warnings(records)) {
            row.warnings.extend(warning);
        }
        for (row, warning) in rows.iter_mut().zip(agree::other_baselines(records)) {
            row.warnings.extend(warning);
        }
        if experiments.len() > 1 {
            for (row, record) in rows.iter_mut().zip(records) {
                row.label = format!("{}/{}", record.experiment, row.label);
            }
        }
        let mixed = fingerprints.len() > 1;
        if mixed {
            for row in &mut rows {
                let start: String = row.fingerprint.chars().take(8).collect();
                row.label = format!("{} [{start}]", row.label);
            }
        }
        let models = records.iter().any(|record| record.cell.reference().is_some());
        if models {
            for (row, record) in rows.iter_mut().zip(records) {
                // A codec's cell runs the reference's weights, which have a row of their own.
                let model = matches!(record.cell.kind, CellKind::Baseline | CellKind::Model { .. });
                row.bits = if row.ppl.is_some() && model { row.bits_per_weight } else { None };
            }
        }
        // A noise floor is a unit for differences from the baseline that it was measured beside.
        let comparable = !mixed && experiments.len() == 1;
        let noise_floor = if comparable { floor(records) } else { None };
        for row in rows.iter_mut().filter(|row| !row.is_baseline() && !row.is_noise_floor()) {
            let Some(floor) = &noise_floor else { break };
            row.ppl_delta_floors = row.ppl_delta.map(|delta| floor.ppl_units(delta));
            row.kld_floors = row.kld_mean.map(|kld| floor.kld_units(kld));
        }
        let on_front = front_of(&rows, |row| Some((row.bits?, row.kld_mean?)), Loss::Divergence);
        for (row, on_front) in rows.iter_mut().zip(on_front) {
            row.on_front = on_front;
        }
        let mut speed: Vec<SpeedRow> = rows
            .iter()
            .zip(records)
            .flat_map(|(row, record)| SpeedRow::of(record, &row.label))
            .collect();
        speed.sort_by_key(|row| row.context);
        rows.sort_by(order);
        let scores = records.iter().find_map(|record| record.scores.as_ref());
        let summary = if mixed { None } else { scores };
        Ok(Self {
            title: experiments.join(", "),
            subtitle: subtitle(records, first, models),
            fingerprint: fingerprints.join(", "),
            baseline_ppl: summary
                .map(|scores| scores.sums.summary())
                .map(|paired| (paired.base_ppl, paired.base_ppl_error)),
            models,
            noise_floor,
            rows,
            speed,
        })
    }
}

/// Which rows are on the front of their protocol, by the cost and loss that `place` finds. Nothing but finished
/// cells is: what was imported has no windows to pair, and what runs has not all of them.
pub(crate) fn front_of(
    rows: &[Row],
    place: impl Fn(&Row) -> Option<(f64, f64)>,
    by: Loss,
) -> Vec<bool> {
    let mut on = vec![false; rows.len()];
    let mut protocols: Vec<&str> = rows.iter().map(|row| row.fingerprint.as_str()).collect();
    protocols.sort_unstable();
    protocols.dedup();
    for protocol in protocols {
        let (places, candidates): (Vec<usize>, Vec<Candidate<'_>>) = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| row.fingerprint == protocol && row.state() == "finished")
            .filter_map(|(at, row)| {
                let (cost, loss) = place(row)?;
                let error = match by {
                    Loss::Divergence => row.kld_error,
                    Loss::Likelihood => row.ppl_delta_error,
                };
                let error = error.unwrap_or(0.0);
                Some((at, Candidate { cost, loss, error, windows: &row.windows }))
            })
            .unzip();
        for (place, is_on) in places.into_iter().zip(front(&candidates, by)) {
            on[place] = is_on;
        }
    }
    on
}

/// The floor that the record of the baseline under noise gives.
fn floor(records: &[Record]) -> Option<NoiseFloor> {
    let mut noisy = records.iter().filter(|record| record.cell.kind.role() == Role::Noise);
    let scores = noisy.find_map(|record| record.scores.as_ref())?;
    Some(NoiseFloor::new(&scores.sums, scores.kld.mean))
}

impl Report {
    /// A report without rows, for results that have no record.
    #[must_use]
    pub fn titled(title: &str, subtitle: &str) -> Self {
        let (title, subtitle) = (title.to_owned(), subtitle.to_owned());
        Self {
            title,
            subtitle,
            fingerprint: String::new(),
            baseline_ppl: None,
            models: false,
            noise_floor: None,
            rows: Vec::new(),
            speed: Vec::new(),
        }
    }

    /// Adds results of other programs behind the measured rows. Each is compared with the imported
    /// baseline of its model and protocol, if there is one, and never stands on the front.
    #[must_use]
    pub fn with_imported(mut self, imported: &[Imported]) -> Self {
        let weights = |result: &Imported| result.site == ImportedSite::Weights;
        self.models |= self.rows.is_empty() && imported.iter().all(weights);
        let models = self.models;
        let mut rows: Vec<Row> = imported
            .iter()
            .map(|result| {
                let like = |other: &&Imported| {
                    other.baseline
                        && (&other.origin, &other.model, &other.protocol)
                            == (&result.origin, &result.model, &result.protocol)
                };
                let baseline = imported.iter().find(like).map(|baseline| baseline.ppl);
                let ppl_delta = baseline.map(|ppl| result.ppl - ppl);
                let mut row = Row { ppl_delta, ..Row::from_imported(result) };
                if models {
                    row.bits = row.bits_per_weight;
                }
                row
            })
            .collect();
        rows.sort_by(order);
        self.rows.extend(rows);
        self
    }

    /// What the bits and bytes of the rows are counted of.
    pub(crate) fn unit(&self) -> Unit {
        if self.models { Unit::Weights } else { Unit::of(&self.rows) }
    }

    /// Adds the cells of a run that have no record yet.
    #[must_use]
    pub fn with_running(mut self, status: &RunStatus) -> Self {
        for cell in status.cells.iter().filter(|cell| !cell.finished) {
            if !self.rows.iter().any(|row| row.label == cell.label) {
                let mut row = Row::from_running(cell, status.windows);
                if self.models {
                    row.bits = None;
                }
                self.rows.push(row);
            }
        }
        self
    }
}

/// Says what differs between the protocols of two records.
pub(crate) fn fingerprint_error(first: &Record, other: &Record) -> ReportError {
    ReportError::Fingerprints {
        first_label: first.label.clone(),
        first: fingerprint(first),
        other_label: other.label.clone(),
        other: fingerprint(other),
        differing: differing(first, other),
    }
}

fn fingerprint(record: &Record) -> String {
    record.cell.protocol.fingerprint.clone()
}

/// Most bytes first; the baseline before its equals; failed cells last.
fn order(a: &Row, b: &Row) -> Ordering {
    let bits = |row: &Row| row.bits.unwrap_or(0.0);
    let loss = |row: &Row| row.ppl_delta.unwrap_or(0.0);
    a.ppl
        .is_none()
        .cmp(&b.ppl.is_none())
        .then(bits(b).total_cmp(&bits(a)))
        .then(b.is_baseline().cmp(&a.is_baseline()))
        .then(loss(a).total_cmp(&loss(b)))
        .then(a.label.cmp(&b.label))
}

fn subtitle(records: &[Record], first: &Record, compared: bool) -> String {
    let models = distinct(records, |record| {
        let name = record.cell.model.source.trim_end_matches('/');
        let name = name.rsplit('/').next().unwrap_or(name);
        format!("{name} {}", record.cell.model.dtype.name())
    });
    let texts = distinct(records, |record| {
        let data = &record.cell.data;
        format!("{} {}", data.source, data.split)
    });
    let protocols = distinct(records, |record| {
        let protocol = &record.cell.protocol;
        format!("{} {}/{}", protocol.preset.name(), protocol.window, protocol.stride)
    });
    let one = records.iter().all(|record| fingerprint(record) == fingerprint(first));
    let scored = records.iter().find_map(|record| record.scores.as_ref()).map(|s| s.sums.n);
    let models = if compared {
        let quiet = records.iter().filter(|record| record.cell.kind.role() != Role::Noise);
        format!("{} models", quiet.count())
    } else {
        models.join(", ")
    };
    let mut parts = vec![models, texts.join(", "), protocols.join(", ")];
    if one && let Some(scored) = scored {
        parts.push(format!("{} tokens scored", count(scored)));
    }
    if compared {
        return parts.join(" · ");
    }
    let links = distinct(records, |record| record.cell.partition.links.len().to_string());
    let cached = records.iter().any(|record| record.cell.cache().is_some());
    parts.push(match links.join(" or ").as_str() {
        "0" if cached => "KV cache".to_owned(),
        "0" => "no links".to_owned(),
        "1" => "1 link".to_owned(),
        links => format!("{links} links"),
    });
    parts.join(" · ")
}

/// The different values of a field, in order of appearance.
fn distinct(records: &[Record], field: impl Fn(&Record) -> String) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for value in records.iter().map(field) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

/// What differs between two records' text and protocol, as far as the records say.
fn differing(a: &Record, b: &Record) -> Vec<String> {
    let fields = |record: &Record| {
        let (data, protocol) = (&record.cell.data, &record.cell.protocol);
        let limit = |limit: Option<usize>| limit.map_or("all".to_owned(), |n| n.to_string());
        let hash = |hash: &str| hash.chars().take(12).collect::<String>();
        [
            ("preset", protocol.preset.name().to_owned()),
            ("window", protocol.window.to_string()),
            ("stride", protocol.stride.to_string()),
            ("max_windows", limit(protocol.max_windows)),
            ("first_k_tokens", limit(protocol.first_k_tokens)),
            ("text", hash(&data.text_sha256)),
            ("token stream", hash(&data.tokens_sha256)),
            ("tokens", data.tokens.to_string()),
        ]
    };
    fields(a)
        .into_iter()
        .zip(fields(b))
        .filter(|(a, b)| a != b)
        .map(|((name, a), (_, b))| format!("{name} {a} and {b}"))
        .collect()
}
