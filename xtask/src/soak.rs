//! `cargo xtask soak`: bad luck in bulk. Runs are killed at random moments, files damaged by the thousand, plugins hostile, disks
//! full, folders read-only and clocks wrong, and every outcome must be a right result or an error that says so.
//!
//! All of it follows from one seed. It ends in a table (docs/reliability.md has one), with exit code 1 if anything was wrong;
//! what shows it is kept.

mod bench;
mod ended;
mod files;
mod hostile;
mod kills;
mod places;
mod readers;
mod tally;

// The same numbers as in the program that damages files; this package links no crate of the workspace.
#[path = "../../crates/damage/src/dice.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is another package's file")]
mod dice;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::build_plugin;
use crate::cargo::{self, Lock, Product};
use crate::plugins;
use crate::test::now;
use crate::workspace::Workspace;
use dice::Dice;
use tally::{Part, Report};

/// Kill runs, damage files, load hostile plugins, fill disks: bounded, and repeatable by its seed
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Everything random follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much of it: 0.01 takes seconds, 1 half an hour on two cores
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Only parts whose name contains this: kills, readers, files, hostile, places
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Folder of table.md, and of what was kept; target/soak when left out
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// What every part needs.
#[derive(Debug)]
struct Soak {
    root: PathBuf,
    /// The program under test.
    strait: PathBuf,
    /// The program that damages files and reads them (`crates/damage`).
    damage: PathBuf,
    /// The hostile plugin, which is never installed, and the table of its modes as JSON.
    hostile: PathBuf,
    modes: String,
    folder: PathBuf,
    seed: u64,
    scale: f64,
}

/// A part: does its work, and gives lines of the table.
type Work = fn(&Soak) -> Result<Vec<Part>>;

const PARTS: &[(&str, Work)] = &[
    ("kills", kills::run),
    ("readers", readers::run),
    ("files", files::run),
    ("hostile", hostile::run),
    ("places", places::run),
];

/// The plugins of the experiments.
const PLUGINS: [&str; 3] = ["affine", "presses-basic", "raw"];

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(args.scale > 0.0 && args.scale <= 100.0, "--scale: expected 0 to 100");
    let chosen = |name: &str| args.only.is_empty() || args.only.iter().any(|o| name.contains(o));
    if !PARTS.iter().any(|(name, _)| chosen(name)) {
        let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
        bail!("no part is named so; there are: {}", names.join(", "));
    }
    let workspace = Workspace::load()?;
    let soak = prepare(&workspace, args)?;
    let mut report = Report::new(&workspace.root, args.seed, args.scale);
    for (name, part) in PARTS.iter().filter(|(name, _)| chosen(name)) {
        let begin = now();
        let parts = part(&soak).with_context(|| (*name).to_owned())?;
        report.add(parts, begin.elapsed().as_secs_f64());
    }
    let table = report.write(&soak.folder)?;
    println!("{report}\n{}", table.display());
    Ok(if report.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds everything, and empties the folder.
fn prepare(workspace: &Workspace, args: &Args) -> Result<Soak> {
    let known = plugins::all(workspace)?;
    let all = build_plugin::bundled(&known);
    build_plugin::build(workspace, &all, Lock::Locked)?;
    let package = |name: &str| {
        let found = workspace.packages.iter().find(|package| package.name == name);
        found.with_context(|| format!("expected the package {name:?} in this workspace"))
    };
    let [strait, damage] = build_programs(workspace)?;
    let hostile = package("strait-hostile")?;
    let library = cargo::build(workspace, hostile, Product::SharedLibrary, Lock::Locked)?;
    let mut modes = cargo::command();
    modes.current_dir(&workspace.root).args(["run", "--release", "--locked", "--quiet"]);
    let modes = modes.args(["--package", &hostile.name, "--example", "modes"]).output()?;
    ensure!(modes.status.success(), "{}", String::from_utf8_lossy(&modes.stderr));

    let folder = args.output.clone().unwrap_or_else(|| workspace.target_directory.join("soak"));
    let folder = std::path::absolute(folder)?;
    for part in ["work", "kept"] {
        let path = folder.join(part);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
        }
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    }
    Ok(Soak {
        root: workspace.root.clone(),
        strait,
        damage,
        hostile: library,
        modes: String::from_utf8(modes.stdout)?,
        folder,
        seed: args.seed,
        scale: args.scale,
    })
}

/// Builds strait and the program that damages files, with one call: the second one alone would need fewer features, and
/// compile the backends once more.
fn build_programs(workspace: &Workspace) -> Result<[PathBuf; 2]> {
    let names = ["strait", "strait-damage"];
    let mut build = cargo::command();
    build.current_dir(&workspace.root).args(["build", "--release", "--locked", "--bins"]);
    let status = build.args(names.map(|name| format!("--package={name}"))).status();
    ensure!(status.context("cargo did not start")?.success(), "cargo failed; see above");
    let folder = workspace.target_directory.join("release");
    Ok(names.map(|name| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))))
}

impl Soak {
    /// How many of `whole` at this scale: one at least.
    fn count(&self, whole: u64) -> u64 {
        ((whole as f64 * self.scale).round() as u64).max(1)
    }

    /// The built library of a plugin.
    fn plugin(&self, id: &str) -> PathBuf {
        self.root.join("plugins").join(format!("libstrait_{}.so", id.replace('-', "_")))
    }

    fn dice(&self, name: &str, index: u64) -> Dice {
        Dice::new(self.seed, name, index)
    }

    /// Keeps a file or folder that shows what was wrong, and gives its new path.
    fn keep(&self, path: &Path, name: &str) -> Result<PathBuf> {
        let kept = self.folder.join("kept").join(name);
        if path.is_dir() {
            copy_folder(path, &kept)?;
        } else {
            fs::copy(path, &kept).with_context(|| path.display().to_string())?;
        }
        Ok(kept)
    }

    /// Mutations of files, written to a new folder under their indices.
    fn mutations(&self, kind: &str, from: u64, count: u64, files: &[PathBuf]) -> Result<PathBuf> {
        let folder = self.folder.join("work").join(format!("mutations-{kind}-{from}"));
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let mut write = Command::new(&self.damage);
        write.args(["write", kind]).args([self.seed, from, count].map(|word| word.to_string()));
        let status = write.arg(&folder).args(files).status().context("starting strait-damage")?;
        ensure!(status.success(), "strait-damage write {kind} failed");
        Ok(folder)
    }
}

/// Copies a folder of files and folders.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            fs::copy(&path, &target).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}
