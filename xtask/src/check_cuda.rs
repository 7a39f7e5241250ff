//! `cargo xtask check-cuda`: compares strait on `cuda:0`, a card or the emulator, with strait on the
//! CPU.
//!
//! Runs the device tests of the kernel and model crates, then a matrix of tiny experiments: each is
//! also run on the CPU, and everything that it measures is compared. Writes a table of agreement.

mod device_tests;
mod experiment;
mod kept;
mod models;
mod outcome;
mod process;
mod rows;
mod table;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use crate::build_backend;
use crate::build_plugin;
use crate::cargo::{self, Lock, Product};
use crate::emulator::{self, Emulator};
use crate::plugins;
use crate::run::named;
use crate::workspace::Workspace;
pub(crate) use models::copy_family;
use rows::Row;
use table::{Line, Report};
use work::{Bench, Reference};

/// Compare strait on cuda:0 with strait on the CPU: device tests, and experiments with cells
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Take the emulator of xtask/cuda-emulator for the driver
    #[arg(long)]
    emulator: bool,
    /// Every kind of cell, family and dtype, and every way of the emulator
    #[arg(long)]
    long: bool,
    /// Only rows whose name contains this; without device tests
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Print the names of the rows and run none
    #[arg(long)]
    list: bool,
    /// Rows at a time; one for each core when left out, on a card one
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<usize>>,
    /// Folder of table.md and table.json; target/check-cuda when left out
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// A strait that was built elsewhere, with plugins in plugins/
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let rows = selected(args);
    if args.list {
        rows.iter().for_each(|row| println!("{}", row.name));
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        bail!("no row is named so; --list prints the names");
    }
    let workspace = Workspace::load()?;
    let emulator = if args.emulator { Some(required(emulator::build(&workspace)?)?) } else { None };
    let report = check(&workspace, emulator.as_ref(), args, &rows)?;
    let folder = args.output.clone().unwrap_or_else(|| work_folder(&workspace));
    report.write(&folder)?;
    println!("{report}\n{}", folder.join(table::MARKDOWN).display());
    Ok(if report.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The short form, for the gate; `None` if nothing can emulate a card, with the reason printed.
pub(crate) fn short_form(workspace: &Workspace) -> Result<Option<bool>> {
    let emulator = match emulator::build(workspace)? {
        Ok(emulator) => emulator,
        Err(reason) => {
            eprintln!("skipped: {reason}");
            return Ok(None);
        }
    };
    let args = Args {
        emulator: true,
        long: false,
        only: Vec::new(),
        list: false,
        jobs: None,
        output: None,
        program: None,
    };
    let report = check(workspace, Some(&emulator), &args, &selected(&args))?;
    report.write(&work_folder(workspace))?;
    println!("{report}");
    Ok(Some(report.agrees()))
}

fn required(found: Result<Emulator, String>) -> Result<Emulator> {
    found.map_err(|reason| anyhow::anyhow!("there is no emulator: {reason}"))
}

fn work_folder(workspace: &Workspace) -> PathBuf {
    workspace.target_directory.join("check-cuda")
}

fn selected(args: &Args) -> Vec<Row> {
    let mut rows = rows::all(args.long || !args.only.is_empty());
    rows.retain(|row| if args.emulator { !row.needs_card() } else { !row.needs_emulator() });
    if !args.only.is_empty() {
        rows.retain(|row| args.only.iter().any(|part| row.name.contains(part)));
    }
    rows
}

fn check(
    workspace: &Workspace,
    emulator: Option<&Emulator>,
    args: &Args,
    rows: &[Row],
) -> Result<Report> {
    let program = match &args.program {
        Some(program) => program.clone(),
        None => build(workspace, rows)?,
    };
    let folder = work_folder(workspace);
    models::make(&workspace.root, &folder.join(models::FOLDER), rows)?;
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let jobs = args.jobs.map_or(if emulator.is_some() { cores } else { 1 }, NonZero::get);
    let bench = Bench { program, root: workspace.root.clone(), folder, emulator, jobs };

    let mut report = Report::new(args.long, &workspace.root);
    if args.only.is_empty() {
        report.tests = device_tests::run(workspace, emulator, args.long)?;
    }
    report.lines = compare(&bench, rows);
    report.device = report.lines.iter().find_map(|line| line.device.clone());
    Ok(report)
}

/// Builds the plugins that the experiments name, and the program.
fn build(workspace: &Workspace, rows: &[Row]) -> Result<PathBuf> {
    let experiments: BTreeSet<_> = rows.iter().map(|row| row.experiment).collect();
    let mut ids = BTreeSet::new();
    for experiment in experiments {
        ids.extend(named(&experiment::template(&workspace.root, experiment)?)?);
    }
    let known = plugins::all(workspace)?;
    let (selected, missing) = plugins::providers(&known, &ids);
    if !missing.is_empty() {
        bail!("no plugin here provides: {}", missing.join(", "));
    }
    build_plugin::build(workspace, &selected, Lock::Locked)?;
    let host = workspace.packages.iter().find(|package| package.name == "strait");
    let host = host.context("expected the package \"strait\" in this workspace, found none")?;
    let program = cargo::build(workspace, host, Product::Program, Lock::Locked)?;
    // A test of the library's crate builds the library with what the tests share, beside the tests.
    let backend = workspace.packages.iter().find(|package| package.name == build_backend::PACKAGE);
    let backend =
        backend.context("expected the package of the backend in this workspace, found none")?;
    cargo::build_test(workspace, backend, "failures")?;
    Ok(program)
}

/// Runs what rows are compared with, each once, and then the rows.
fn compare(bench: &Bench<'_>, rows: &[Row]) -> Vec<Line> {
    let references: BTreeMap<String, &Row> =
        rows.iter().map(|row| (row.reference_name(), row)).collect();
    let names: Vec<&String> = references.keys().collect();
    let made = in_parallel(bench.jobs, &names, |name| Reference::make(bench, references[*name]));
    let made: BTreeMap<&String, Result<Reference>> = names.iter().copied().zip(made).collect();
    eprintln!("{}", table::heading());
    in_parallel(bench.jobs, rows, |row| {
        let line = match &made[&row.reference_name()] {
            Ok(reference) => bench.line(row, reference),
            Err(error) => Line::failed(row, format!("on the CPU: {error:#}")),
        };
        eprintln!("{line}");
        line
    })
}

/// The results of `work` on all `items`, in their order, with a limited number at a time.
fn in_parallel<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..items.len()).collect());
    let next = || queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front();
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(items.len()) {
            scope.spawn(|| {
                while let Some(index) = next() {
                    let result = work(&items[index]);
                    let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    done.push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The part of `path` below `root`, for messages.
fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_what_is_worked_on() {
        let items: Vec<u64> = (0..50).collect();
        let squares = in_parallel(4, &items, |item| {
            std::thread::sleep(std::time::Duration::from_micros((50 - item) * 20));
            item * item
        });
        assert_eq!(squares, items.iter().map(|item| item * item).collect::<Vec<_>>());
        assert!(in_parallel(4, &[] as &[u64], |item| *item).is_empty());
    }
}
