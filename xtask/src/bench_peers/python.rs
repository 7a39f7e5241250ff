//! The Python that runs the peer: one that the user names, or a virtual environment of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Prints the versions of the packages named as arguments.
const VERSIONS: &str = "\
import importlib.metadata, json, sys
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
";

/// The user's interpreter. It must have the packages; a version other than the pinned one is
/// reported.
pub(super) fn given(python: &Path, requirements: &Path) -> Result<PathBuf> {
    let wanted = read(requirements)?;
    let installed = versions(python, &wanted)?;
    let missing: Vec<_> =
        wanted.iter().filter(|(name, _)| installed[name].is_none()).map(|(name, _)| name).collect();
    if let Some(first) = missing.first() {
        bail!(
            "{} has no package {first}; install what {} names, or leave --python out",
            python.display(),
            requirements.display()
        );
    }
    for line in unmet(&wanted, &installed) {
        eprintln!("{}: {line}", python.display());
    }
    Ok(python.to_owned())
}

/// The interpreter of the virtual environment in `folder`, which is created and filled if needed.
pub(super) fn installed(folder: &Path, requirements: &Path) -> Result<PathBuf> {
    let python = environment(folder)?;
    let wanted = read(requirements)?;
    if !unmet(&wanted, &versions(&python, &wanted)?).is_empty() {
        eprintln!("installing PyTorch and Transformers into {} (some GB, once)", folder.display());
        install(&python, &["-r".as_ref(), requirements.as_os_str()])?;
    }
    Ok(python)
}

/// A virtual environment's interpreter; the environment is created if needed.
pub(super) fn environment(folder: &Path) -> Result<PathBuf> {
    let python = folder.join("bin").join("python");
    if !python.exists() {
        let mut command = Command::new("python3");
        succeed(command.args(["-m", "venv"]).arg(folder))
            .context("a Python 3.11 or later with its module venv is needed")?;
    }
    Ok(python)
}

/// Runs `pip install` with these arguments.
pub(super) fn install(python: &Path, arguments: &[&std::ffi::OsStr]) -> Result<()> {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    succeed(command.args(arguments))
}

/// Runs a command whose output the user sees.
pub(super) fn succeed(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("starting {program}"))?;
    if !status.success() {
        bail!("{program} failed with {status}; its messages are above");
    }
    Ok(())
}

/// Names with their pinned versions.
type Pins = Vec<(String, String)>;

fn read(requirements: &Path) -> Result<Pins> {
    let text = fs::read_to_string(requirements)
        .with_context(|| format!("reading {}", requirements.display()))?;
    pins(&text)
}

fn pins(text: &str) -> Result<Pins> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let pin = line.split_once("==");
            let (name, version) =
                pin.with_context(|| format!("expected name==version, found {line:?}"))?;
            Ok((name.to_owned(), version.to_owned()))
        })
        .collect()
}

fn versions(python: &Path, wanted: &Pins) -> Result<BTreeMap<String, Option<String>>> {
    let output = Command::new(python)
        .args(["-c", VERSIONS])
        .args(wanted.iter().map(|(name, _)| name))
        .output()
        .with_context(|| format!("starting {}", python.display()))?;
    if !output.status.success() {
        bail!("{}: {}", python.display(), String::from_utf8_lossy(&output.stderr).trim_end());
    }
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{} printed unexpected JSON", python.display()))
}

/// A line for each pin that is not satisfied. What follows `+` in a version names a build of it.
fn unmet(wanted: &Pins, installed: &BTreeMap<String, Option<String>>) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, version) in wanted {
        let found = installed.get(name).and_then(Option::as_deref);
        let release = found.and_then(|found| found.split('+').next());
        if release != Some(version) {
            let found = found.unwrap_or("nothing");
            lines.push(format!("expected {name} {version}, found {found}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_requirements_are_pinned() {
        let pins = pins(include_str!("../../peers/requirements.txt")).unwrap();
        assert!(pins.iter().any(|(name, _)| name == "torch"));
        let error = super::pins("torch>=2").unwrap_err().to_string();
        assert_eq!(error, "expected name==version, found \"torch>=2\"");
    }

    #[test]
    fn a_build_of_the_pinned_version_meets_the_pin() {
        let wanted = pins("# pinned\ntorch==2.1.0\nnumpy==2.0.0\n\ngguf==0.1.0\n").unwrap();
        let installed = [("torch", Some("2.1.0+cpu")), ("numpy", Some("2.0.1")), ("gguf", None)]
            .map(|(name, version)| (name.to_owned(), version.map(str::to_owned)))
            .into();
        let lines = unmet(&wanted, &installed);
        assert_eq!(
            lines,
            ["expected numpy 2.0.0, found 2.0.1", "expected gguf 0.1.0, found nothing"]
        );
    }
}
