//! The windows of a run: loads models, opens cells, and processes one group of windows after another.

use std::collections::HashMap;
use std::time::Duration;

use strait_data::Window;
use strait_model::Stage;
use strait_schema::{Environment, Record};

use super::Run;
use crate::book::account::Account;
use crate::book::crashes::Crashes;
use crate::book::journal::WindowEntry;
use crate::clock::Stopwatch;
use crate::engine::{Schedule, Stages};
use crate::environment::environment;
use crate::error::RunnerError;
use crate::plan::{OpenModel, PlannedCell, Work};
use crate::progress::{CellIntro, Observer};
use crate::ways;
use crate::ways::links::LinkSetting;

impl Run<'_> {
    /// Runs the windows that cells have not finished, until all are done or the run is stopped. Returns
    /// the accounts of the cells that ran, and what they were measured with.
    pub(super) fn walk(
        &self,
        pending: &[usize],
        finished: &HashMap<String, Record>,
        crashes: &Crashes,
        observer: &mut dyn Observer,
    ) -> Result<(Vec<Account>, Environment), RunnerError> {
        let scored = self.plan.windows.iter().map(Window::scored).sum();
        self.folder.check_space(pending.len(), scored)?;
        observer.step("load the model");
        let models = self.load(pending)?;
        let environment = self.environment(&models[0]);
        // The baseline always runs, since the other cells are compared with it.
        let mut open = pending.to_vec();
        if open.first() != Some(&0) {
            open.insert(0, 0);
        }
        let mut accounts = self.accounts(&open, crashes, &environment)?;
        let setting = LinkSetting {
            links: &self.plan.partition.links,
            chunk_tokens: self.bench.experiment.run.chunk_tokens,
            cell_batch: self.cell_batch(),
        };
        let mut ways = ways::open(&self.plan.cells, setting, self.model(), &mut accounts);
        observer.begin(&self.intros(&accounts, finished), self.plan.windows.len());
        let named = models.into_iter().map(|stages| {
            let stages = stages.into_iter().map(|stage| (stage.device(), stage));
            stages.collect()
        });
        let stages = Stages::new(named.collect(), self.bench.pool(), self.trace);
        let schedule = Schedule { stages: &stages, stop: self.options.stop };
        let mut walk = Walk {
            run: self,
            eta: Eta::new(accounts.iter().map(|account| self.windows_left(account)).sum()),
            accounts: &mut accounts,
            environment: &environment,
            observer,
        };
        walk.tell_failed()?;
        for group in groups(&self.plan.windows, self.bench.experiment.run.batch_windows) {
            if self.is_stopped() {
                break;
            }
            let last = group[group.len() - 1].index;
            let chosen = walk.chosen(last);
            if !chosen.contains(&true) {
                continue;
            }
            let stream = &self.plan.stream;
            let is_chosen = |cell: usize| chosen.get(cell).copied().unwrap_or(false);
            let mut deliver = |cell, entries| walk.deliver(cell, entries);
            schedule.run(group, stream, &mut ways, &is_chosen, &mut deliver)?;
        }
        Ok((accounts, environment))
    }

    /// What this run measures with.
    fn environment(&self, stages: &[Box<dyn Stage>]) -> Environment {
        let experiment = self.bench.experiment;
        let plugins = self.plan.cells.iter().any(PlannedCell::has_plugin);
        let on_cpu = stages.iter().any(|stage| stage.device() == "cpu");
        let kernels = strait_model::cpu_instructions().ok().filter(|_| on_cpu);
        Environment {
            device: devices(stages),
            cpu_kernels: kernels.map(str::to_owned),
            plugins_dir: plugins.then(|| experiment.plugins.dir.clone()),
            batch_windows: Some(experiment.run.batch_windows),
            streaming: experiment.model.weights.streaming,
            ..environment(self.bench.pool().current_num_threads(), &self.options.build)
        }
    }

    /// The stages of the reference and of every model that has windows to run; a model whose record
    /// exists takes no part in this run.
    fn load(&self, pending: &[usize]) -> Result<Vec<Vec<Box<dyn Stage>>>, RunnerError> {
        let mut models = vec![self.load_one(&self.plan.model, &self.plan.partition.cuts)?];
        for (index, other) in self.plan.others.iter().enumerate() {
            let runs = |&cell: &usize| matches!(self.plan.cells[cell].work, Work::Model(model) if model == index);
            models.push(if pending.iter().any(runs) {
                self.load_one(&other.model, &[])?
            } else {
                Vec::new()
            });
        }
        Ok(models)
    }

    fn load_one(
        &self,
        model: &OpenModel,
        cuts: &[usize],
    ) -> Result<Vec<Box<dyn Stage>>, RunnerError> {
        let load = || self.bench.load(model, cuts, &self.plan.devices);
        let (model, _) = self.trace.span(0, || "load the model".to_owned(), load);
        Ok(model?.into_stages())
    }

    /// The accounts of cells; a cell whose plugin ended an earlier run has failed from the start.
    fn accounts(
        &self,
        indices: &[usize],
        crashes: &Crashes,
        environment: &Environment,
    ) -> Result<Vec<Account>, RunnerError> {
        let mut accounts = Vec::with_capacity(indices.len());
        for &index in indices {
            let planned = &self.plan.cells[index];
            let journal = self.folder.journal(&planned.id);
            let failed = crashes.reason(&planned.id).map(str::to_owned);
            let mut account = Account::open(index, planned, &journal)?;
            account.journal.measured_with(environment.clone());
            accounts.push(Account { failed, ..account });
        }
        Ok(accounts)
    }

    fn windows_left(&self, account: &Account) -> usize {
        self.plan.windows.len().saturating_sub(account.journal.windows())
    }

    /// Introduces every cell of the experiment for display before the first window.
    fn intros(&self, accounts: &[Account], finished: &HashMap<String, Record>) -> Vec<CellIntro> {
        let windows = self.plan.windows.len();
        let mut intros = Vec::with_capacity(self.plan.cells.len());
        for (index, planned) in self.plan.cells.iter().enumerate() {
            let account = accounts.iter().find(|account| account.index == index);
            intros.push(CellIntro {
                label: planned.label.clone(),
                family: planned.identity.family().to_owned(),
                role: planned.identity.kind.role(),
                windows_done: account
                    .map_or(windows, |account| account.journal.windows().min(windows)),
                finished: finished.contains_key(&planned.id),
            });
        }
        intros
    }

    /// The number of cells that share a pass. By default it keeps a pass at about 2,048 tokens: more
    /// gains nothing on a CPU, where weights are read from cache or memory at that size anyway.
    fn cell_batch(&self) -> usize {
        const TOKENS: usize = 2048;
        let run = &self.bench.experiment.run;
        let group = self.plan.windows.first().map_or(1, Window::length) * run.batch_windows;
        run.cell_batch.unwrap_or((TOKENS / group.max(1)).max(1))
    }
}

/// The state of a run between its windows: which cell has finished what.
struct Walk<'a> {
    run: &'a Run<'a>,
    accounts: &'a mut [Account],
    environment: &'a Environment,
    observer: &'a mut dyn Observer,
    eta: Eta,
}

impl Walk<'_> {
    /// For every cell of the experiment, whether it has windows up to `last` left to run.
    fn chosen(&self, last: usize) -> Vec<bool> {
        let mut chosen = vec![false; self.run.plan.cells.len()];
        for account in &*self.accounts {
            chosen[account.index] = account.wants(last);
        }
        chosen
    }

    /// Reports the cells that could not be opened.
    fn tell_failed(&mut self) -> Result<(), RunnerError> {
        for account in &*self.accounts {
            if let Some(reason) = &account.failed {
                self.run.fail(account, reason, self.environment, self.observer)?;
            }
        }
        Ok(())
    }

    /// Writes a cell's measurements into its journal, or its failure into its record.
    fn deliver(
        &mut self,
        cell: usize,
        entries: Result<Vec<WindowEntry>, String>,
    ) -> Result<(), RunnerError> {
        let found = self.accounts.iter_mut().find(|account| account.index == cell);
        let Some(account) = found else {
            return Err(RunnerError::internal(format!("cell {cell} came back without an account")));
        };
        let entries = match entries {
            Ok(entries) => entries,
            Err(reason) => {
                account.failed = Some(reason.clone());
                return self.run.fail(account, &reason, self.environment, self.observer);
            }
        };
        for entry in entries {
            // A window of the group may be in the journal already; the baseline's is when only other
            // cells were left to run.
            if entry.index == account.journal.windows() {
                account.finish_window(&entry)?;
                self.eta.finished += 1;
            }
        }
        let progress = account.running.progress(account.journal.windows());
        self.observer.window(cell, &progress, self.eta.left());
        Ok(())
    }
}

/// Groups neighbouring windows of equal length, at most `most` at a time.
fn groups(windows: &[Window], most: usize) -> impl Iterator<Item = &[Window]> {
    windows.chunk_by(|a, b| a.length() == b.length()).flat_map(move |same| same.chunks(most.max(1)))
}

/// The devices of a model's stages, as one line.
fn devices(stages: &[Box<dyn Stage>]) -> String {
    let mut names: Vec<String> = stages.iter().map(|stage| stage.device()).collect();
    names.dedup();
    names.join(", ")
}

/// Estimates the remaining time from the windows that this run has finished.
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
        if self.finished == 0 {
            return None;
        }
        let left = self.all.saturating_sub(self.finished) as f64;
        Some(Duration::from_secs_f64(self.watch.seconds() / self.finished as f64 * left))
    }
}
