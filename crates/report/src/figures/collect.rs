//! Results on disk: the records, imported results and running experiments below some paths.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use strait_schema::{CellKind, EDITED, IMPORTED_SUFFIX, Imported, Record, RecordCell, RunStatus};

use crate::{Report, ReportError, Row};

/// What lies below the paths that a user named.
#[derive(Debug, Clone, Default)]
pub struct Collection {
    /// The records.
    pub records: Vec<Record>,
    /// Results of other programs.
    pub imported: Vec<Imported>,
    /// Experiments that run or were interrupted.
    pub running: Vec<RunStatus>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// Cells of one model under one protocol, or models that are compared: they may stand in one table.
#[derive(Debug)]
pub struct Together<'a> {
    /// Their rows.
    pub report: Report,
    records: Vec<&'a Record>,
}

impl Together<'_> {
    /// The record behind a row.
    #[must_use]
    pub fn record_of(&self, row: &Row) -> Option<&Record> {
        let same = |record: &&&Record| {
            let prefixed = format!("{}/{}", record.experiment, record.label);
            record.id == row.id && (row.label == record.label || row.label == prefixed)
        };
        self.records.iter().find(same).copied()
    }

    /// The record of the model that another model is compared with.
    #[must_use]
    pub fn reference_of(&self, record: &Record) -> Option<&Record> {
        let id = record.cell.reference()?;
        self.records.iter().find(|other| other.id == *id).copied()
    }
}

impl Collection {
    /// Reads files and folders, folders with what is below them.
    ///
    /// A file that is named must be a record or an imported result. In a folder other JSON files are left
    /// alone, and a record that cannot be read becomes a note.
    ///
    /// # Errors
    /// If a path cannot be read, or a named file is neither.
    pub fn load(paths: &[PathBuf]) -> Result<Self, ReportError> {
        let (mut collection, mut seen) = (Self::default(), HashSet::new());
        for path in paths {
            if path.is_dir() {
                collection.folder(path, &mut seen)?;
            } else {
                collection.file(path)?;
            }
        }
        collection.drop_copies();
        Ok(collection)
    }

    /// Whether there is nothing to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.imported.is_empty() && self.running.is_empty()
    }

    /// The cells in groups of one model and protocol each, models that are compared in one of their own, in
    /// order of appearance; imported results last.
    ///
    /// # Errors
    /// If there is nothing to show.
    pub fn groups(&self) -> Result<Vec<Together<'_>>, ReportError> {
        if self.is_empty() {
            return Err(ReportError::Empty);
        }
        let mut keys: Vec<String> = Vec::new();
        let mut sets: Vec<Vec<&Record>> = Vec::new();
        let compared: HashSet<(&str, &str)> = self
            .records
            .iter()
            .filter_map(|record| Some((&*record.experiment, record.cell.reference()?)))
            .collect();
        for record in &self.records {
            let key = group_key(record, &compared);
            match keys.iter().position(|known| *known == key) {
                Some(at) => sets[at].push(record),
                None => {
                    keys.push(key);
                    sets.push(vec![record]);
                }
            }
        }
        // The reference may have been measured by another experiment.
        for set in &mut sets {
            let id = set.iter().find_map(|record| record.cell.reference());
            let missing = id.filter(|id| set.iter().all(|record| record.id != *id));
            set.extend(missing.and_then(|id| self.records.iter().find(|other| other.id == *id)));
        }
        let mut groups = Vec::new();
        for records in sets {
            let owned: Vec<Record> = records.iter().map(|&record| record.clone()).collect();
            groups.push(Together { report: Report::from_records(&owned)?, records });
        }
        for status in self.running.iter().filter(|status| open_cells(status)) {
            let home = groups.iter_mut().find(|group| {
                group.records.iter().any(|record| record.experiment == status.experiment)
            });
            match home {
                Some(group) => {
                    group.report = group.report.clone().with_running(status);
                }
                None => {
                    let report = Report::titled(&status.experiment, "running");
                    groups.push(Together {
                        report: report.with_running(status),
                        records: Vec::new(),
                    });
                }
            }
        }
        for (title, subtitle, results) in self.imported_groups() {
            let report = Report::titled(&title, &subtitle).with_imported(&results);
            groups.push(Together { report, records: Vec::new() });
        }
        Ok(groups)
    }

    fn imported_groups(&self) -> Vec<(String, String, Vec<Imported>)> {
        let mut groups: Vec<(String, String, Vec<Imported>)> = Vec::new();
        for result in &self.imported {
            let title = format!("{} (imported)", result.origin);
            let subtitle = format!("{} · {}", result.model, result.protocol);
            match groups.iter_mut().find(|(t, s, _)| (t, s) == (&title, &subtitle)) {
                Some((_, _, results)) => results.push(result.clone()),
                None => groups.push((title, subtitle, vec![result.clone()])),
            }
        }
        groups
    }

    /// Reads a folder, once by whatever links it is reached: they may lead in a circle.
    fn folder(&mut self, folder: &Path, seen: &mut HashSet<PathBuf>) -> Result<(), ReportError> {
        let fail = |source| ReportError::Read { path: folder.to_owned(), source };
        if !seen.insert(folder.canonicalize().map_err(fail)?) {
            return Ok(());
        }
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            entries.push(entry.map_err(fail)?.path());
        }
        entries.sort();
        match RunStatus::load(folder) {
            Ok(status) => self.running.extend(status),
            Err(error) => self.notes.push(error.to_string()),
        }
        for path in entries {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if name != "journal" && !name.starts_with('.') {
                    self.folder(&path, seen)?;
                }
            } else if name.ends_with(".json")
                && path.is_file()
                && is_ours(&path)
                && let Err(error) = self.file(&path)
            {
                self.notes.push(format!("left out: {error}"));
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), ReportError> {
        // Reading a pipe would wait for whoever writes to it.
        if path.exists() && !path.is_file() {
            let source = io::Error::other("it is neither a file nor a folder");
            return Err(ReportError::Read { path: path.to_owned(), source });
        }
        if path.to_string_lossy().ends_with(IMPORTED_SUFFIX) {
            self.imported.push(Imported::load(path)?);
        } else {
            let record = Record::load(path)?;
            let edited = record.warnings.iter().find(|warning| warning.starts_with(EDITED));
            self.notes.extend(edited.map(|warning| format!("{}: {warning}", path.display())));
            self.records.push(record);
        }
        Ok(())
    }

    /// The same cell of the same experiment may lie in two folders.
    fn drop_copies(&mut self) {
        let mut kept: Vec<Record> = Vec::new();
        for record in self.records.drain(..) {
            let copy = kept.iter().any(|other| {
                (&other.id, &other.experiment, &other.label)
                    == (&record.id, &record.experiment, &record.label)
            });
            if copy {
                self.notes.push(format!("left out: a second record of {:?}", record.label));
            } else {
                kept.push(record);
            }
        }
        self.records = kept;
    }
}

fn open_cells(status: &RunStatus) -> bool {
    status.cells.iter().any(|cell| !cell.finished)
}

/// Model and protocol: the likelihoods of two groups do not compare. Models that an experiment compares,
/// `compared` as its name and the identity of its reference, are a group with that reference and its noise
/// floor: their bits are those of weights.
fn group_key(record: &Record, compared: &HashSet<(&str, &str)>) -> String {
    let cell = &record.cell;
    let protocol = &cell.protocol.fingerprint;
    match &cell.kind {
        CellKind::Model { reference } => return format!("{protocol} models {reference}"),
        CellKind::Baseline | CellKind::Noise { .. } => {
            let baseline = RecordCell { kind: CellKind::Baseline, ..cell.clone() }.identity();
            if compared.contains(&(&*record.experiment, &*baseline)) {
                return format!("{protocol} models {baseline}");
            }
        }
        CellKind::Links(_) | CellKind::Cache(_) => {}
    }
    let files: Vec<&String> = cell.model.files.values().collect();
    let model = &cell.model;
    format!("{protocol} {} {:?} {files:?}", model.dtype.name(), model.load_in)
}

/// Whether a JSON file in a folder claims to be a record or an imported result. One that is damaged cannot deny it: it is
/// taken for one, so that reading it says what is wrong.
fn is_ours(path: &Path) -> bool {
    let Ok(bytes) = std::fs::read(path) else { return true };
    let Ok(value) = serde_json::from_slice::<Value>(&bytes) else { return true };
    let has = |key: &str| value.get(key).is_some();
    has("schema") && has("cell") || has("imported") || is_record_name(path)
}

/// Whether a file has the name that a record is given: a label and 12 digits of an identity.
fn is_record_name(path: &Path) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let digits = name.rsplit('-').next().unwrap_or_default();
    digits.len() == 12 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}
