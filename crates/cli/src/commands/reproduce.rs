//! `strait reproduce`: runs the cell of a record again and says which digits agree.

#![allow(clippy::print_stderr, reason = "what is not a result goes to standard error")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use indicatif::MultiProgress;
use strait_loader::Guard;
use strait_report::Reproduction;
use strait_runner::{Options, Outcome};
use strait_schema::{Experiment, Record, Role};

use crate::built::build;
use crate::commands::run::{INTERRUPTED, install_interrupt};
use crate::live::Live;
use crate::output::say;

/// Which records, and how.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The records: JSON files of results folders.
    #[arg(required = true, value_name = "RECORD")]
    records: Vec<PathBuf>,
    /// Keep the second runs here, a folder for each record; without it nothing is kept.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// How far a window's mean may be from the record, in nats a token or as a share; 0 asks for every bit.
    #[arg(long, value_name = "DIFFERENCE", default_value_t = 0.0, value_parser = tolerance)]
    tolerance: f64,
    /// Run on this device instead of the record's: auto, cpu or cuda:N.
    #[arg(long)]
    device: Option<String>,
    /// Use this many threads instead of all cores.
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroU16>,
    /// Look for plugins here.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Folder of the named data sets; by default `STRAIT_ASSETS`, or `assets` above the record or beside strait.
    #[arg(long, value_name = "DIR")]
    assets: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn tolerance(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "expected a number from 0".to_owned())
}

/// Runs every record's cell again; exit code 0 if all are reproduced, 1 if one is not.
pub(crate) fn run(
    arguments: &Arguments,
    screen: MultiProgress,
    guard: &Guard,
) -> anyhow::Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    let message = "stopping after the windows at work; press Ctrl-C again to stop at once";
    install_interrupt(Arc::clone(&stop), screen.clone(), message)?;
    let temporary = tempfile::tempdir().context("cannot create a temporary folder")?;
    let folder = arguments.output.as_deref().unwrap_or(temporary.path());
    let mut done = Vec::with_capacity(arguments.records.len());
    for path in &arguments.records {
        let recorded = Record::load(path)?;
        let name = path.file_stem().unwrap_or_default();
        let again = Again { arguments, path, recorded: &recorded, folder: folder.join(name) };
        let outcome = again.measure(screen.clone(), guard, &stop)?;
        if outcome.interrupted || stop.load(Ordering::Relaxed) {
            eprintln!("interrupted: nothing was compared with {}", path.display());
            return Ok(ExitCode::from(INTERRUPTED));
        }
        let reproduction =
            Reproduction::new(&recorded, again.found(&outcome)?, arguments.tolerance);
        if !arguments.json {
            say(&format!("{}\n\n", reproduction.text().trim_end()))?;
        }
        done.push(reproduction);
    }
    if arguments.json {
        say(&serde_json::to_string_pretty(&done)?)?;
    }
    let all = done.iter().all(Reproduction::is_near);
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// One record and where it is run again.
struct Again<'a> {
    arguments: &'a Arguments,
    path: &'a Path,
    recorded: &'a Record,
    folder: PathBuf,
}

impl Again<'_> {
    fn measure(
        &self,
        screen: MultiProgress,
        guard: &Guard,
        stop: &AtomicBool,
    ) -> anyhow::Result<Outcome> {
        let experiment = self.experiment()?;
        let assets = experiment.assets(self.arguments.assets.clone());
        let options = Options { assets, stop, fresh: true, trace: None, build: build() };
        let mut live = Live::new(screen);
        let limit_s = experiment.run.call_timeout_s;
        #[expect(clippy::result_large_err, reason = "it comes once a run")]
        let outcome = strait_runner::with_deadline(guard, limit_s, stop, || {
            strait_runner::run(&experiment, &options, &mut live)
        });
        outcome.with_context(|| {
            let missing = self.missing(&experiment);
            format!("{} cannot be run again{missing}", self.path.display())
        })
    }

    /// The plugins of the record that are not in the folder, each with what builds it.
    fn missing(&self, experiment: &Experiment) -> String {
        let dir = experiment.resolve(&experiment.plugins.dir);
        let plugins = self.recorded.cell.plugins();
        let missing =
            plugins.keys().filter(|file| file.ends_with(".so") && !dir.join(file).exists());
        let line = |file: &String| {
            let command = Reproduction::build_command(self.recorded, file);
            format!("\n  {file} is not in {}; it is built by `{command}`\n ", dir.display())
        };
        missing.map(line).collect()
    }

    /// The experiment of the record, also written beside what it leaves. Plugins are not pinned: another build that writes
    /// the same bytes gives the same numbers, and one that does not is named.
    fn experiment(&self) -> anyhow::Result<Experiment> {
        let reference = self.reference()?;
        let text = self.recorded.experiment_file(reference.as_ref())?;
        let fail = || format!("cannot write to {}", self.folder.display());
        fs::create_dir_all(&self.folder).with_context(fail)?;
        fs::write(self.folder.join("experiment.toml"), &text).with_context(fail)?;
        // Relative paths are looked up from the record's folder and those above it.
        let mut experiment = Experiment::parse(&text, &self.path.display().to_string())?;
        experiment.plugins.pin.clear();
        if let Some(dir) = self.plugins_dir() {
            experiment.plugins.dir = dir;
        }
        if let Some(device) = &self.arguments.device {
            experiment.model.iter_mut().for_each(|model| model.device.clone_from(device));
        }
        experiment.run.threads = self.arguments.threads.map(|threads| usize::from(threads.get()));
        experiment.output.dir = Some(self.folder.clone());
        Ok(experiment)
    }

    fn plugins_dir(&self) -> Option<PathBuf> {
        self.arguments.plugins.clone().or_else(|| self.recorded.environment.plugins_dir.clone())
    }

    /// The record of the model that this one is compared with, which lies beside it.
    fn reference(&self) -> anyhow::Result<Option<Record>> {
        let Some(id) = self.recorded.cell.reference() else { return Ok(None) };
        let folder = self.path.parent().filter(|folder| *folder != Path::new(""));
        let folder = folder.unwrap_or(Path::new("."));
        let entries =
            fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            let named =
                path.to_string_lossy().ends_with(&format!("-{}.json", &id[..id.len().min(12)]));
            if named && path.is_file() {
                return Ok(Some(Record::load(&path)?));
            }
        }
        bail!(
            "{}: expected beside it the record {id} of the model that it is compared with, found none",
            self.path.display()
        )
    }

    /// The record of the same cell among those of the second run.
    fn found<'o>(&self, outcome: &'o Outcome) -> anyhow::Result<&'o Record> {
        let role = self.recorded.cell.kind.role();
        let like = |record: &&Record| match role {
            Role::Baseline => record.cell.is_baseline(),
            role => record.cell.kind.role() == role,
        };
        let found = outcome.records.iter().find(like);
        found.with_context(|| format!("{}: its second run left no record", self.path.display()))
    }
}
