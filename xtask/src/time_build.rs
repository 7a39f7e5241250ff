//! `cargo xtask time-build`: what a newcomer's first build costs, in processor time, crate by crate.
//!
//! Processor time says the same on a busy machine as on an idle one, nearly; the clock does not. Cargo starts this program
//! in place of the compiler (`RUSTC_WRAPPER`), which starts the compiler and notes what it used.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::build_backend;
use crate::cargo::{self, Product};
use crate::plugins;
use crate::run;
use crate::test::now;
use crate::workspace::Workspace;

/// Holds the path of the notes while cargo runs.
const NOTES: &str = "STRAIT_TIME_BUILD";
/// What marks a folder of things that can be made again (<https://bford.info/cachedir/>).
const CACHE_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n";
/// A processor-time tick of `/proc`, in seconds: 1/100 in every Linux interface for programs.
const TICK: f64 = 0.01;

/// Build what `cargo xtask run` builds in a fresh folder and say what each crate costs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The experiment whose plugins are built
    #[arg(value_name = "EXPERIMENT.toml", default_value = "configs/quickstart.toml")]
    experiment: PathBuf,
    /// Also build what a change in one of these crates builds again
    #[arg(long, value_name = "CRATE")]
    touch: Vec<String>,
    /// Build the library that GPUs need, too
    #[arg(long)]
    backend: bool,
    /// How many crates to list
    #[arg(long, value_name = "N", default_value_t = 25)]
    top: usize,
    /// The folder to build in; it is emptied first
    #[arg(long, value_name = "DIR", default_value = "target/time-build")]
    folder: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if !cfg!(target_os = "linux") {
        bail!("expected Linux, whose /proc tells processor time; found {}", std::env::consts::OS);
    }
    let workspace = Workspace::load()?;
    let packages = packages(&workspace, &args.experiment, args.backend)?;
    let folder = workspace.root.join(&args.folder);
    let known: Vec<&str> = workspace.packages.iter().map(|package| &*package.name).collect();
    if let Some(name) = args.touch.iter().find(|name| !known.contains(&&***name)) {
        bail!("expected a package of this workspace, found {name:?}");
    }
    if folder.exists() {
        // The mark of such folders: nothing else is deleted.
        if !folder.join("CACHEDIR.TAG").is_file() {
            bail!(
                "{}: expected no folder, or one that cargo built in; choose another --folder",
                folder.display()
            );
        }
        fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    let build = Build { folder, root: workspace.root.clone(), packages };

    let all = build.timed("from nothing")?;
    println!("xtask, strait and the plugins of {}, from nothing:\n", args.experiment.display());
    all.print(args.top);
    for name in &args.touch {
        let package = workspace.packages.iter().find(|package| package.name == *name);
        let source = package.context("it was found before")?.manifest_path.with_file_name("src");
        let root = ["lib.rs", "main.rs"].map(|name| source.join(name));
        touch(root.iter().find(|file| file.exists()).context("a package has a root file")?)?;
        println!("\nafter a change in {name}:\n");
        build.timed(name)?.print(args.top);
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts the compiler as cargo asked for and notes its processor time, if cargo started this program for that.
pub(crate) fn compile() -> Option<Result<ExitCode>> {
    let notes = std::env::var_os(NOTES)?;
    let mut args = std::env::args_os().skip(1);
    let compiler = args.next()?;
    Some(compile_noting(Path::new(&notes), &compiler, args.collect()))
}

fn compile_noting(notes: &Path, compiler: &OsString, args: Vec<OsString>) -> Result<ExitCode> {
    let status = Command::new(compiler).args(&args).status().context("starting the compiler")?;
    let named = args.iter().position(|arg| arg == "--crate-name");
    // Cargo also asks the compiler what it is, without a crate, or with one that is called `___`.
    if let Some(name) = named.and_then(|at| args.get(at + 1)).filter(|name| *name != "___") {
        let mut file = OpenOptions::new().create(true).append(true).open(notes)?;
        // One call of `write` for a line: several compilers append to this file.
        file.write_all(format!("{} {}\n", name.display(), children_ticks()?).as_bytes())?;
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// The selections that are built, in the order in which `cargo xtask run` builds them, one call of cargo for each.
fn packages(workspace: &Workspace, experiment: &Path, backend: bool) -> Result<Vec<Vec<String>>> {
    let text = fs::read_to_string(experiment)
        .with_context(|| format!("reading the experiment {}", experiment.display()))?;
    let known = plugins::all(workspace)?;
    let (selected, _) = plugins::providers(&known, &run::named(&text)?);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    // As cargo's alias `xtask` does.
    let mut builds: Vec<Vec<String>> = vec![words(&["--bin", "xtask"])];
    for plugin in &selected {
        builds.push(words(&cargo::selection(&plugin.package.name, Product::SharedLibrary)));
    }
    builds.push(words(&cargo::selection("strait", Product::Program)));
    if backend {
        builds.push(words(&cargo::selection(build_backend::PACKAGE, Product::SharedLibrary)));
    }
    Ok(builds)
}

struct Build {
    root: PathBuf,
    folder: PathBuf,
    packages: Vec<Vec<String>>,
}

/// What a build used.
struct Spent {
    /// Processor seconds of each crate; one that is compiled twice has the sum.
    crates: BTreeMap<String, f64>,
    /// Processor seconds of everything, with build scripts and cargo itself.
    total: f64,
    clock: f64,
}

impl Build {
    fn timed(&self, name: &str) -> Result<Spent> {
        fs::create_dir_all(&self.folder)?;
        // Cargo writes this into folders that it makes itself; it is what allows the next run to empty this one.
        fs::write(self.folder.join("CACHEDIR.TAG"), CACHE_TAG)?;
        let notes = self.folder.join(format!("{name}.txt"));
        let (before, start) = (children_ticks()?, now());
        for package in &self.packages {
            let mut cargo = cargo::command();
            cargo.current_dir(&self.root).args(["build", "--release", "--locked"]).args(package);
            cargo.env("CARGO_TARGET_DIR", &self.folder).env(NOTES, &notes);
            cargo.env("RUSTC_WRAPPER", std::env::current_exe()?);
            if !cargo.status().context("cargo did not start")?.success() {
                bail!("cargo failed; its messages are above");
            }
        }
        let clock = start.elapsed().as_secs_f64();
        let total = (children_ticks()? - before) as f64 * TICK;
        let mut crates = BTreeMap::new();
        // Nothing was compiled: there is no file.
        for line in fs::read_to_string(&notes).unwrap_or_default().lines() {
            let (name, ticks) = line.split_once(' ').context("a note is a name and a number")?;
            *crates.entry(name.to_owned()).or_insert(0.0) += ticks.parse::<f64>()? * TICK;
        }
        Ok(Spent { crates, total, clock })
    }
}

impl Spent {
    fn print(&self, top: usize) {
        let mut rows: Vec<(&String, &f64)> = self.crates.iter().collect();
        rows.sort_by(|a, b| b.1.total_cmp(a.1));
        let compiled: f64 = self.crates.values().sum();
        println!("{:>9}  crate", "seconds");
        for (name, seconds) in rows.iter().take(top) {
            println!("{seconds:>9.1}  {name}");
        }
        let others = rows.iter().skip(top);
        if others.len() > 0 {
            let sum: f64 = others.clone().map(|(_, seconds)| **seconds).sum();
            println!("{sum:>9.1}  {} others", others.len());
        }
        println!("{:>9.1}  build scripts and cargo", (self.total - compiled).max(0.0));
        println!("{:>9.1}  processor seconds in all, {:.0} by the clock", self.total, self.clock);
    }
}

/// Processor time of the children that this process has waited for, and of theirs, in ticks.
fn children_ticks() -> Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat").context("reading /proc/self/stat")?;
    // The second field, the program's name in parentheses, may hold spaces. Fields 16 and 17 are wanted; this is from the third on.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    let (Some(user), Some(system)) = (ticks(13), ticks(14)) else {
        bail!("expected 17 fields in /proc/self/stat, found {}", fields.len() + 2);
    };
    Ok(user + system)
}

/// Writes the file as it is, which cargo takes for a change.
fn touch(file: &Path) -> Result<()> {
    let touched = fs::read(file).and_then(|text| fs::write(file, text));
    touched.with_context(|| format!("touching {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_childs_processor_time_is_noted_under_its_crate() {
        let root = tempfile::tempdir().unwrap();
        let notes = root.path().join("notes");
        let script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        let args = ["-c", script, "sh", "--crate-name", "busy"].map(OsString::from).to_vec();
        compile_noting(&notes, &"sh".into(), args).unwrap();
        let noted = fs::read_to_string(&notes).unwrap();
        let ticks: u64 = noted.trim().strip_prefix("busy ").unwrap().parse().unwrap();
        assert!(ticks > 0, "{noted}");
        compile_noting(&notes, &"true".into(), vec!["-vV".into()]).unwrap();
        assert_eq!(fs::read_to_string(&notes).unwrap(), noted);
    }
}
