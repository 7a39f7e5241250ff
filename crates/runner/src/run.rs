//! The run: opens what the plan names, walks the windows, and leaves a record for every cell.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rayon::ThreadPool;
use strait_data::Window;
use strait_model::Stage;
use strait_schema::{Environment, Experiment, Record};

use crate::cell::{Cell, PlannedCell};
use crate::clock::Stopwatch;
use crate::convert;
use crate::crashes::{self, Crashes};
use crate::environment::environment;
use crate::error::RunnerError;
use crate::folder::Folder;
use crate::journal::WindowEntry;
use crate::kv;
use crate::models::OpenModel;
use crate::pass::{DeviceStage, Pass};
use crate::plan::Plan;
use crate::progress::{CellIntro, Observer};
use crate::record::{check_effects, from_journal};
use crate::rerun::Rerun;
use crate::speed::Speed;
use crate::trace::Trace;

/// How to run, besides what the experiment says.
#[derive(Debug)]
pub struct Options<'a> {
    /// The folder of the named data sets.
    pub assets: PathBuf,
    /// Set to end the run after the cells at work; what is finished stays.
    pub stop: &'a AtomicBool,
    /// Run every cell from its first window, also those that have a record or a journal.
    pub fresh: bool,
    /// Where a timeline of the run goes, as a Chrome trace.
    pub trace: Option<PathBuf>,
}

/// What a run left behind.
#[derive(Debug)]
pub struct Outcome {
    /// The records of the cells that ended, in the order of the experiment, the baseline first.
    pub records: Vec<Record>,
    /// The results folder.
    pub folder: PathBuf,
    /// Whether the run was stopped before all cells ended: start it again to go on.
    pub interrupted: bool,
    /// Cells that had a finished record already and were not run.
    pub skipped: usize,
}

/// The threads that an experiment asks for.
pub(crate) fn thread_pool(experiment: &Experiment) -> Result<rayon::ThreadPool, RunnerError> {
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = experiment.run.threads {
        pool = pool.num_threads(threads);
    }
    pool.build().map_err(RunnerError::internal)
}

/// Runs every cell of an experiment that has no finished record yet.
///
/// # Errors
/// When the input is wrong or the machine cannot do it. Nothing that was finished is lost: the next
/// run goes on behind it. A codec that fails is no error but a record with status `failed`.
pub fn run(
    experiment: &Experiment,
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Outcome, RunnerError> {
    let pool = thread_pool(experiment)?;
    let folder = Folder::open(&experiment.output_dir())?;
    let trace = Trace::open(options.trace.as_deref())?;
    let threads = pool.current_num_threads();
    let plan = pool.install(|| Plan::new(experiment, &options.assets, threads, observer))?;
    let run = Run { experiment, options, plan: &plan, folder, pool: &pool, trace: &trace };
    let outcome = run.all(observer)?;
    trace.close()?;
    Ok(outcome)
}

struct Run<'a> {
    experiment: &'a Experiment,
    options: &'a Options<'a>,
    plan: &'a Plan,
    folder: Folder,
    pool: &'a ThreadPool,
    trace: &'a Trace,
}

impl Run<'_> {
    fn all(&self, observer: &mut dyn Observer) -> Result<Outcome, RunnerError> {
        let planned = &self.plan.cells;
        if self.options.fresh {
            self.forget()?;
        }
        let crashes = Crashes::open(&self.folder, planned)?;
        let mut finished = self.finished()?;
        finished.retain(|id, _| crashes.reason(id).is_none());
        let skipped = finished.len();
        let pending: Vec<usize> =
            (0..planned.len()).filter(|&i| !finished.contains_key(&planned[i].id)).collect();
        let mut environment = environment(self.pool.current_num_threads());
        let mut cells = Vec::new();
        if !pending.is_empty() {
            let scored = self.plan.windows.iter().map(Window::scored).sum();
            self.folder.check_space(pending.len(), scored)?;
            observer.step("load the model");
            let load = |model: &OpenModel, cuts: &[usize]| {
                let load = || model.load(cuts, &self.plan.devices);
                let install = || self.pool.install(load);
                self.trace.span(0, || "load the model".to_owned(), install).0
            };
            let mut model = load(&self.plan.model, &self.plan.partition.cuts)?;
            environment.device = devices(model.stages());
            // A model whose record is there has no part in this run.
            let mut others = Vec::new();
            for (index, other) in self.plan.others.iter().enumerate() {
                let rerun = Some(Rerun::Model(index));
                let wanted = pending.iter().any(|&cell| planned[cell].rerun == rerun);
                others.push(match wanted {
                    true => load(&other.model, &[])?.into_stages(),
                    false => Vec::new(),
                });
            }
            // The baseline runs with whatever else runs, since the others are compared with it.
            let mut open = pending.clone();
            if open[0] != 0 {
                open.insert(0, 0);
            }
            cells = self.open(&open, &crashes)?;
            let models = std::iter::once(model.into_stages()).chain(others).collect();
            self.windows(models, &mut cells, &finished, &environment, observer)?;
        }
        let mut records = Vec::new();
        let mut interrupted = false;
        for (index, planned) in planned.iter().enumerate() {
            if let Some(mut record) = finished.remove(&planned.id) {
                record.label.clone_from(&planned.label);
                records.push((index, record));
                continue;
            }
            match cells.iter().find(|cell| cell.index == index) {
                Some(cell) if self.ended(cell) => {
                    records.push((index, self.record(cell, &environment)?));
                }
                _ => interrupted = true,
            }
        }
        let (lossless, mut records): (Vec<bool>, Vec<Record>) = records
            .into_iter()
            .map(|(index, record)| {
                let codec = planned[index].codec.as_ref();
                let codec = codec.is_none_or(|codec| codec.entry.descriptor().lossless);
                let cache = planned[index].cache.as_ref().is_none_or(|cache| cache.lossless());
                (codec && cache, record)
            })
            .unzip();
        if records.first().is_some_and(|record| record.cell.is_baseline()) {
            check_effects(&mut records, &lossless);
        }
        self.save(&records)?;
        interrupted |= !self.speed(&mut records, observer)?;
        observer.end();
        Ok(Outcome { records, folder: self.folder.path().into(), interrupted, skipped })
    }

    /// Measures the speed of the baseline and of every cell of the cache that has no such figures yet;
    /// `false` if it was stopped.
    fn speed(
        &self,
        records: &mut [Record],
        observer: &mut dyn Observer,
    ) -> Result<bool, RunnerError> {
        let Some(section) = &self.experiment.speed else { return Ok(true) };
        let planned = |record: &Record| self.plan.cells.iter().find(|cell| cell.id == record.id);
        let mut open: Vec<(&mut Record, Option<&kv::CachePlan>)> = records
            .iter_mut()
            .filter(|record| record.is_finished() && !section.is_met_by(&record.speed))
            .filter_map(|record| {
                let cell = planned(record)?;
                let own = cell.codec.is_none() && cell.rerun.is_none();
                own.then_some((record, cell.cache.as_deref()))
            })
            .collect();
        if open.is_empty() {
            return Ok(true);
        }
        if self.options.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        observer.step("load the model again, to time it");
        let (cuts, devices) = (&self.plan.partition.cuts, &self.plan.devices);
        let mut model = self.pool.install(|| self.plan.model.load(cuts, devices))?;
        let speed = Speed {
            section,
            model: &self.model(),
            tokens: &self.plan.stream,
            ends: &self.plan.model.end_tokens(),
            stop: self.options.stop,
        };
        let mut tell = |what: &str| observer.step(what);
        let done = speed.measure(self.pool, model.stages(), &mut open, &mut tell)?;
        for (record, _) in open {
            record.save(self.folder.path().join(record.file_name()))?;
        }
        Ok(done)
    }

    /// What cells of the cache have to know of the model.
    fn model(&self) -> kv::Model<'_> {
        let dtype = convert::model_dtype(self.experiment.model.dtype);
        kv::Model { config: &self.plan.model.config, dtype }
    }

    /// Removes what earlier runs left of the planned cells.
    fn forget(&self) -> Result<(), RunnerError> {
        let known = |id: &str| self.plan.cells.iter().any(|cell| cell.id == id);
        let records = self.folder.records()?.into_iter();
        let records = records.filter(|(_, record)| known(&record.id)).map(|(path, _)| path);
        let left = |cell: &PlannedCell| {
            [self.folder.journal(&cell.id), crashes::place(&self.folder, &cell.id)]
        };
        let journals = self.plan.cells.iter().flat_map(left).chain([crashes::note(&self.folder)]);
        for path in records.chain(journals.filter(|path| path.exists())) {
            fs::remove_file(&path).map_err(|source| RunnerError::Io {
                what: "remove",
                path,
                source,
            })?;
        }
        Ok(())
    }

    /// Finished records of this folder by identity. A record whose label has changed since gets a
    /// new file name, so its old file goes.
    fn finished(&self) -> Result<HashMap<String, Record>, RunnerError> {
        let mut finished = HashMap::new();
        for (path, record) in self.folder.records()? {
            let Some(planned) = self.plan.cells.iter().find(|cell| cell.id == record.id) else {
                continue;
            };
            let renamed = Record { label: planned.label.clone(), ..record.clone() }.file_name();
            if path.file_name().is_some_and(|name| *name != *renamed) {
                // Left in place it would only be read again at the next start.
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
            let replaced = |new: &Record| {
                new.label == old.label && new.experiment == old.experiment && new.id != old.id
            };
            if records.iter().any(replaced) {
                fs::remove_file(&path).map_err(|source| RunnerError::Io {
                    what: "replace",
                    path,
                    source,
                })?;
            }
        }
        for record in records {
            record.save(self.folder.path().join(record.file_name()))?;
        }
        Ok(())
    }

    fn open(&self, indices: &[usize], crashes: &Crashes) -> Result<Vec<Cell>, RunnerError> {
        let links = &self.plan.partition.links;
        indices
            .iter()
            .map(|&index| {
                let planned = &self.plan.cells[index];
                let crashed = crashes.reason(&planned.id);
                Cell::open(index, planned, &self.folder.journal(&planned.id), links, crashed)
            })
            .collect()
    }

    fn ended(&self, cell: &Cell) -> bool {
        cell.failed.is_some() || cell.journal.windows() >= self.plan.windows.len()
    }

    fn record(&self, cell: &Cell, environment: &Environment) -> Result<Record, RunnerError> {
        let planned = &self.plan.cells[cell.index];
        let journal = self.folder.journal(&planned.id);
        let name = &self.experiment.name;
        from_journal(name, planned, &journal, environment, cell.failed.as_deref())
    }

    fn windows(
        &self,
        mut models: Vec<Vec<Box<dyn Stage>>>,
        cells: &mut [Cell],
        finished: &HashMap<String, Record>,
        environment: &Environment,
        observer: &mut dyn Observer,
    ) -> Result<(), RunnerError> {
        let windows = &self.plan.windows;
        let intros: Vec<CellIntro> = self
            .plan
            .cells
            .iter()
            .enumerate()
            .map(|(index, planned)| CellIntro {
                label: planned.label.clone(),
                family: planned.identity.family().to_owned(),
                role: planned.identity.kind.role(),
                windows_done: match cells.iter().find(|cell| cell.index == index) {
                    Some(cell) => cell.journal.windows().min(windows.len()),
                    None => windows.len(),
                },
                finished: finished.contains_key(&planned.id),
            })
            .collect();
        observer.begin(&intros, windows.len());
        for cell in cells.iter() {
            if let Some(reason) = &cell.failed {
                self.fail(cell, reason, environment, observer)?;
            }
        }
        let work = |cell: &Cell| windows.len().saturating_sub(cell.journal.windows());
        let mut eta = Eta::new(cells.iter().map(work).sum());
        let Some((baseline, cells)) = cells.split_first_mut() else { return Ok(()) };
        let (mut models, devices) = on_devices(&mut models);
        let stages = models.remove(0);
        let baseline_index = baseline.index;
        let pass = Pass {
            stages,
            others: models,
            devices,
            links: &self.plan.partition.links,
            model: self.model(),
            stream: &self.plan.stream,
            chunk_tokens: self.experiment.run.chunk_tokens,
            cell_batch: self.cell_batch(),
            pool: self.pool,
            trace: self.trace,
            stop: self.options.stop,
            lap: Mutex::new(Stopwatch::start()),
        };
        for group in groups(windows, self.experiment.run.batch_windows) {
            if self.options.stop.load(Ordering::Relaxed) {
                break;
            }
            let last = group[group.len() - 1].index;
            let active: Vec<&mut Cell> = cells
                .iter_mut()
                .filter(|cell| cell.failed.is_none() && cell.journal.windows() <= last)
                .collect();
            if active.is_empty() && baseline.journal.windows() > last {
                continue;
            }
            let mut deliver = |cell: &mut Cell, entries: Vec<WindowEntry>| {
                if let Some(reason) = cell.failed.clone() {
                    return self.fail(cell, &reason, environment, observer);
                }
                if cell.index == baseline_index {
                    // Every codec would be blamed for what the model does without it.
                    self.check_baseline(&entries, &environment.device)?;
                }
                for entry in entries {
                    // A window of the group may be in the journal already, and the baseline's is
                    // when only other cells were left to run.
                    if entry.index == cell.journal.windows() {
                        cell.finish_window(&entry)?;
                        eta.finished += 1;
                    }
                }
                let progress = cell.running.progress(cell.journal.windows());
                observer.window(cell.index, &progress, eta.left());
                Ok(())
            };
            pass.run(group, baseline, active, &mut deliver)?;
        }
        Ok(())
    }

    fn check_baseline(&self, entries: &[WindowEntry], device: &str) -> Result<(), RunnerError> {
        let finite = |entry: &&WindowEntry| entry.nll.iter().all(|nll| nll.is_finite());
        match entries.iter().find(|entry| !finite(entry)) {
            None => Ok(()),
            Some(entry) => Err(RunnerError::BaselineNotFinite {
                window: entry.index,
                dtype: self.experiment.model.dtype.name(),
                device: device.to_owned(),
            }),
        }
    }

    /// Tells and records a failure at once: a run that is killed later has it on disk.
    fn fail(
        &self,
        cell: &Cell,
        reason: &str,
        environment: &Environment,
        observer: &mut dyn Observer,
    ) -> Result<(), RunnerError> {
        observer.failed(cell.index, reason);
        let record = self.record(cell, environment)?;
        Ok(record.save(self.folder.path().join(record.file_name()))?)
    }

    /// Cells that share a pass. Without a wish as many as keep a pass at about 2,048 tokens: more
    /// gains nothing on a CPU, where weights are read from cache or memory at that size anyway.
    fn cell_batch(&self) -> usize {
        const TOKENS: usize = 2048;
        let group =
            self.plan.windows.first().map_or(1, Window::length) * self.experiment.run.batch_windows;
        self.experiment.run.cell_batch.unwrap_or((TOKENS / group.max(1)).max(1))
    }
}

/// Neighbouring windows of one length, at most `most` at a time.
fn groups(windows: &[Window], most: usize) -> impl Iterator<Item = &[Window]> {
    windows.chunk_by(|a, b| a.length() == b.length()).flat_map(move |same| same.chunks(most.max(1)))
}

/// The stages of every model with the numbers of their devices, and a lock for every device.
fn on_devices(models: &mut [Vec<Box<dyn Stage>>]) -> (Vec<Vec<DeviceStage<'_>>>, Vec<Mutex<()>>) {
    let mut names: Vec<String> = Vec::new();
    let mut of = |stage: &dyn Stage| {
        let name = stage.device();
        names.iter().position(|known| *known == name).unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        })
    };
    let models = models.iter_mut().map(|stages| {
        let stages = stages.iter_mut();
        stages.map(|stage| DeviceStage { device: of(&**stage), stage: Mutex::new(stage) }).collect()
    });
    let models = models.collect();
    (models, names.iter().map(|_| Mutex::new(())).collect())
}

fn devices(stages: &[Box<dyn Stage>]) -> String {
    let mut names: Vec<String> = stages.iter().map(|stage| stage.device()).collect();
    names.dedup();
    names.join(", ")
}

/// Remaining time from the windows of cells that this run has finished.
struct Eta {
    watch: Stopwatch,
    finished: usize,
    all: usize,
}

impl Eta {
    fn new(all: usize) -> Self {
        Self { watch: Stopwatch::start(), finished: 0, all }
    }

    fn left(&self) -> Option<Duration> {
        let left = self.all.saturating_sub(self.finished) as f64;
        (self.finished > 0)
            .then(|| Duration::from_secs_f64(self.watch.seconds() / self.finished as f64 * left))
    }
}
