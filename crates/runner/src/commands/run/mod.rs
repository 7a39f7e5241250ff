//! `strait run`: opens what the plan names, walks the windows, and leaves a record for every cell.

mod speed;
mod walk;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use strait_schema::{Environment, Experiment, Record};

use self::speed::Speed;
use crate::book::account::Account;
use crate::book::crashes::{self, Crashes};
use crate::book::folder::Folder;
use crate::book::record::from_journal;
use crate::book::tokens;
use crate::engine::Trace;
use crate::environment::Build;
use crate::error::RunnerError;
use crate::plan::{Plan, PlannedCell, Work};
use crate::progress::Observer;
use crate::ways::caches::{CachePlan, Model};
use crate::workbench::Workbench;

/// Options of a run besides the experiment itself.
#[derive(Debug)]
pub struct Options<'a> {
    /// The folder of the named data sets.
    pub assets: PathBuf,
    /// Set to end the run after the cells in progress; what is finished stays.
    pub stop: &'a AtomicBool,
    /// Whether to run every cell from its first window, including those that have a record or a
    /// journal.
    pub fresh: bool,
    /// Where to write a timeline of the run, as a Chrome trace.
    pub trace: Option<PathBuf>,
    /// What the program was built from, for the records.
    pub build: Build,
}

/// What a run left behind.
#[derive(Debug)]
pub struct Outcome {
    /// The records of the cells that ended, in the order of the experiment, the baseline first.
    pub records: Vec<Record>,
    /// The results folder.
    pub folder: PathBuf,
    /// Whether the run was stopped before all cells ended; starting it again continues it.
    pub interrupted: bool,
    /// Number of cells that already had a finished record and were not run.
    pub skipped: usize,
}

/// Runs every cell of an experiment that has no finished record yet.
///
/// # Errors
/// When the input is wrong or the machine fails. Nothing that was finished is lost: the next run
/// continues after it. A codec that fails is not an error but a record with status `failed`.
pub fn run(
    experiment: &Experiment,
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Outcome, RunnerError> {
    let bench = &Workbench::new(experiment, &options.assets)?;
    let folder = Folder::open(&experiment.output_dir())?;
    let trace = Trace::open(options.trace.as_deref())?;
    let plan = bench.pool().install(|| Plan::new(bench, observer))?;
    let run = Run { bench, options, plan: &plan, folder, trace: &trace };
    let outcome = run.all(observer)?;
    trace.close()?;
    Ok(outcome)
}

/// A planned experiment, with the folder that it writes to.
struct Run<'a> {
    bench: &'a Workbench<'a>,
    options: &'a Options<'a>,
    plan: &'a Plan,
    folder: Folder,
    trace: &'a Trace,
}

impl Run<'_> {
    fn all(&self, observer: &mut dyn Observer) -> Result<Outcome, RunnerError> {
        if self.options.fresh {
            self.forget()?;
        }
        let crashes = Crashes::open(&self.folder, &self.plan.cells)?;
        let mut finished = self.finished()?;
        finished.retain(|id, _| crashes.reason(id).is_none());
        let skipped = finished.len();
        let planned = &self.plan.cells;
        let open = |&index: &usize| !finished.contains_key(&planned[index].id);
        let pending: Vec<usize> = (0..planned.len()).filter(open).collect();
        let mut records = Vec::new();
        let mut interrupted = false;
        if pending.is_empty() {
            let of_cells = planned.iter().filter_map(|cell| labelled(&mut finished, cell));
            records.extend(of_cells);
        } else {
            let (accounts, environment) = self.walk(&pending, &finished, &crashes, observer)?;
            for (index, cell) in planned.iter().enumerate() {
                let account = accounts.iter().find(|account| account.index == index);
                if let Some(record) = labelled(&mut finished, cell) {
                    records.push(record);
                } else if let Some(account) = account.filter(|account| self.has_ended(account)) {
                    records.push(self.record(account, &environment)?);
                } else {
                    interrupted = true;
                }
            }
        }
        self.save(&records)?;
        if self.bench.experiment.output.per_token {
            observer.step("write the figures of single tokens");
            records.iter().try_for_each(|record| self.write_tokens(record))?;
        }
        interrupted |= !self.speed(&mut records, observer)?;
        observer.end();
        Ok(Outcome { records, folder: self.folder.path().into(), interrupted, skipped })
    }

    fn is_stopped(&self) -> bool {
        self.options.stop.load(Ordering::Relaxed)
    }

    /// Measures the speed of the baseline and of every cache cell that has no speed figures yet;
    /// `false` if it was stopped.
    fn speed(
        &self,
        records: &mut [Record],
        observer: &mut dyn Observer,
    ) -> Result<bool, RunnerError> {
        let Some(section) = &self.bench.experiment.speed else { return Ok(true) };
        let mut open: Vec<(&mut Record, Option<&CachePlan>)> = Vec::new();
        for record in records {
            if record.is_finished() && !section.is_met_by(&record.speed) {
                match self.planned(record).map(|cell| &cell.work) {
                    Some(Work::Baseline) => open.push((record, None)),
                    Some(Work::Cache(plan)) => open.push((record, Some(&**plan))),
                    _ => {}
                }
            }
        }
        if open.is_empty() {
            return Ok(true);
        }
        if self.is_stopped() {
            return Ok(false);
        }
        observer.step("load the model again, to time it");
        let (cuts, devices) = (&self.plan.partition.cuts, &self.plan.devices);
        let mut model = self.bench.load(&self.plan.model, cuts, devices)?;
        let speed = Speed {
            section,
            model: &self.model(),
            tokens: &self.plan.stream,
            ends: &self.plan.model.end_tokens(),
            stop: self.options.stop,
        };
        let mut tell = |what: &str| observer.step(what);
        let done = speed.measure(self.bench.pool(), model.stages(), &mut open, &mut tell)?;
        for (record, _) in open {
            record.save(self.folder.path().join(record.file_name()))?;
        }
        Ok(done)
    }

    /// The planned cell that a record belongs to.
    fn planned(&self, record: &Record) -> Option<&PlannedCell> {
        self.plan.cells.iter().find(|cell| cell.id == record.id)
    }

    /// What cache cells need to know about the model.
    fn model(&self) -> Model<'_> {
        let dtype = self.bench.experiment.model.dtype;
        Model { config: &self.plan.model.config, dtype }
    }

    /// Removes what earlier runs left of the planned cells.
    fn forget(&self) -> Result<(), RunnerError> {
        for (path, record) in self.folder.records()? {
            if self.planned(&record).is_some() {
                remove(path, "remove")?;
            }
        }
        let note = crashes::note(&self.folder);
        if note.exists() {
            remove(note, "remove")?;
        }
        for cell in &self.plan.cells {
            for left in [self.folder.journal(&cell.id), crashes::place(&self.folder, &cell.id)] {
                if left.exists() {
                    remove(left, "remove")?;
                }
            }
        }
        Ok(())
    }

    /// Finished records of this folder by identity. A record whose label has changed since gets a new
    /// file name, so its old file is removed.
    fn finished(&self) -> Result<HashMap<String, Record>, RunnerError> {
        let mut finished = HashMap::new();
        for (path, record) in self.folder.records()? {
            let Some(planned) = self.planned(&record) else { continue };
            let renamed = Record { label: planned.label.clone(), ..record.clone() }.file_name();
            if path.file_name().is_some_and(|name| *name != *renamed) {
                // If this fails, the file is merely read again at the next start.
                let _ = fs::remove_file(&path);
            }
            if record.is_finished() {
                finished.insert(record.id.clone(), record);
            }
        }
        Ok(finished)
    }

    /// Saves the records. Where a cell changed under its label (another build of its plugin, say),
    /// the new record takes the place of the old one.
    fn save(&self, records: &[Record]) -> Result<(), RunnerError> {
        for (path, old) in self.folder.records()? {
            let replaces = |new: &Record| {
                new.label == old.label && new.experiment == old.experiment && new.id != old.id
            };
            if records.iter().any(replaces) {
                remove(path, "replace")?;
            }
        }
        for record in records {
            record.save(self.folder.path().join(record.file_name()))?;
        }
        Ok(())
    }

    /// Writes the figures of a cell's tokens from its journal, which may be of an earlier run.
    fn write_tokens(&self, record: &Record) -> Result<(), RunnerError> {
        let Some(cell) = self.planned(record) else { return Ok(()) };
        let path = tokens::file(&self.folder, "tokens", &cell.id);
        if self.folder.journal(&cell.id).exists() {
            return tokens::write(&self.folder, cell, &self.plan.windows, &self.plan.stream);
        }
        if !path.exists() {
            log::warn!(
                "{}: {} cannot be written: its record is finished and its journal is gone; `--fresh` measures it again",
                record.label,
                path.display()
            );
        }
        Ok(())
    }

    fn has_ended(&self, account: &Account) -> bool {
        account.failed.is_some() || account.journal.windows() >= self.plan.windows.len()
    }

    fn record(&self, account: &Account, environment: &Environment) -> Result<Record, RunnerError> {
        let planned = &self.plan.cells[account.index];
        let journal = self.folder.journal(&planned.id);
        let name = &self.bench.experiment.name;
        // A failed cell keeps the windows that it finished before the failure.
        let windows = match account.failed {
            Some(_) => account.journal.windows(),
            None => self.plan.windows.len(),
        };
        let journal = (&*journal, windows);
        from_journal(name, planned, journal, environment, account.failed.as_deref())
    }

    /// Reports and records a failure at once, so that a run killed later has it on disk.
    fn fail(
        &self,
        account: &Account,
        reason: &str,
        environment: &Environment,
        observer: &mut dyn Observer,
    ) -> Result<(), RunnerError> {
        observer.failed(account.index, reason);
        let record = self.record(account, environment)?;
        Ok(record.save(self.folder.path().join(record.file_name()))?)
    }
}

/// The record that an earlier run finished for a cell, under the label that the cell has now.
fn labelled(finished: &mut HashMap<String, Record>, cell: &PlannedCell) -> Option<Record> {
    let mut record = finished.remove(&cell.id)?;
    record.label.clone_from(&cell.label);
    Some(record)
}

fn remove(path: PathBuf, what: &'static str) -> Result<(), RunnerError> {
    fs::remove_file(&path).map_err(|source| RunnerError::Io { what, path, source })
}
