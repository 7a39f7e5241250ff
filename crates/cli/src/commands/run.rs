//! `strait run`: an experiment file from start to table.

#![allow(clippy::print_stderr, reason = "what is not the table goes to standard error")]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use indicatif::MultiProgress;
use strait_loader::Guard;
use strait_report::{Picture, Report, TableStyle};
use strait_runner::{Options, Outcome};
use strait_schema::Experiment;

use super::import_spec::Specs;
use crate::built::build;
use crate::follow::Follow;
use crate::interrupt::on_interrupt;
use crate::live::Live;
use crate::output::say;

/// Interrupted by the user, as shells count it (128 + SIGINT).
pub(crate) const INTERRUPTED: u8 = 130;

/// Which experiment, and what to change of it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The experiment file (TOML).
    #[arg(required_unless_present = "data_spec", conflicts_with = "data_spec")]
    experiment: Option<PathBuf>,
    #[command(flatten)]
    specs: Specs,
    /// Run on this device instead of the file's: auto, cpu or cuda:N.
    #[arg(long)]
    device: Option<String>,
    /// Look for plugins here instead of in the file's folder.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Write results here instead of to the file's folder.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Folder of the named data sets; by default `STRAIT_ASSETS`, or `assets` above the experiment file or beside strait.
    #[arg(long, value_name = "DIR")]
    assets: Option<PathBuf>,
    /// Run every cell again, also those that earlier runs finished or began.
    #[arg(long)]
    fresh: bool,
    /// Write a timeline of the run here, for chrome://tracing or Perfetto.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Print the table as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the experiment and prints its table.
pub(crate) fn run(
    arguments: Arguments,
    screen: MultiProgress,
    guard: &Guard,
) -> anyhow::Result<ExitCode> {
    // A run whose plugin ends it goes on from its journals, and has forgotten what `--fresh` says.
    guard.start_again_with(std::env::args_os().filter(|word| word != "--fresh").collect());
    let file = arguments.experiment.or(arguments.specs.write(None)?);
    let mut experiment = Experiment::load(file.context("expected an experiment file")?)?;
    if let Some(device) = arguments.device {
        experiment.model.iter_mut().for_each(|model| model.device.clone_from(&device));
    }
    if let Some(plugins) = arguments.plugins {
        experiment.plugins.dir = plugins;
    }
    if let Some(output) = arguments.output {
        experiment.output.dir = Some(output);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let message = "stopping after the cells at work; press Ctrl-C again to stop at once";
    install_interrupt(Arc::clone(&stop), screen.clone(), message)?;
    let assets = experiment.assets(arguments.assets);
    let (fresh, trace) = (arguments.fresh, arguments.trace);
    let options = Options { assets, stop: &stop, fresh, trace, build: build() };
    let mut follow = Follow::new(&experiment, Live::new(screen));
    let limit_s = experiment.run.call_timeout_s;
    #[expect(clippy::result_large_err, reason = "it comes once a run")]
    let outcome = strait_runner::with_deadline(guard, limit_s, &stop, || {
        strait_runner::run(&experiment, &options, &mut follow)
    });
    // The trackers end in any case: what they have so far is worth keeping.
    follow.finish(outcome.as_ref().map_or(&[], |outcome| &outcome.records));
    finish(&experiment, &outcome?, arguments.json)
}

/// The first Ctrl-C or SIGTERM sets `stop` and prints `message`, the second ends the program at once.
pub(crate) fn install_interrupt(
    stop: Arc<AtomicBool>,
    screen: MultiProgress,
    message: &'static str,
) -> anyhow::Result<()> {
    on_interrupt(move || {
        if stop.swap(true, Ordering::Relaxed) {
            Guard::leave(i32::from(INTERRUPTED));
        }
        screen.suspend(|| eprintln!("{message}"));
    })
}

fn finish(experiment: &Experiment, outcome: &Outcome, json: bool) -> anyhow::Result<ExitCode> {
    if !outcome.records.is_empty() {
        let report = Report::from_records(&outcome.records)?;
        let table = if json { report.json() } else { report.terminal(&style()) };
        let mut files = vec![("summary.csv", report.csv()), ("table.md", report.markdown())];
        if !report.is_empty_picture(&Picture::default()) {
            files.push(("pareto.svg", report.pareto_svg()));
        }
        for (name, text) in &files {
            let path = outcome.folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let names = files.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let folder = outcome.folder.display();
        let left = format!("{folder}: {names}, and a record for each cell");
        say(&if json { table } else { format!("{table}\n\n{left}") })?;
    }
    if outcome.skipped > 0 {
        let of = outcome.records.len();
        eprintln!(
            "{} of {of} cells had a finished record and were not run again; --fresh runs all",
            outcome.skipped
        );
    }
    if outcome.interrupted {
        let file = experiment.file().display();
        eprintln!("interrupted: `strait run {file}` goes on from here");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let failed = outcome.records.iter().any(|record| !record.is_finished());
    Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// As wide as the terminal, in colour where that is wanted and there is one.
pub(crate) fn style() -> TableStyle {
    let width = console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    let color = console::user_attended() && console::colors_enabled();
    TableStyle { width: width.unwrap_or(160).min(160), color }
}

/// Columns of the terminal; 80 where there is none.
pub(crate) fn columns_of_terminal() -> usize {
    let size = console::Term::stdout().size_checked();
    size.map_or(80, |(_, columns)| usize::from(columns)).clamp(40, 160)
}
