//! `cargo xtask run` and `cargo xtask fit`: builds what an experiment names, then runs it or fits its codecs.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::build_backend;
use crate::build_plugin;
use crate::cargo::{self, Lock, Product};
use crate::plugins;
use crate::workspace::Workspace;

/// The host's command for the experiment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// `strait run`.
    Run,
    /// `strait fit`.
    Fit,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The experiment file
    #[arg(value_name = "EXPERIMENT.toml")]
    experiment: PathBuf,
    /// Passed on to `strait` as they are
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<OsString>,
}

pub(crate) fn run(args: &Args, action: Action) -> Result<ExitCode> {
    let text = fs::read_to_string(&args.experiment)
        .with_context(|| format!("reading the experiment {}", args.experiment.display()))?;
    let named = named(&text).with_context(|| args.experiment.display().to_string())?;

    let workspace = Workspace::load()?;
    let known = plugins::all(&workspace)?;
    let (selected, elsewhere) = plugins::providers(&known, &named);
    build_plugin::build(&workspace, &selected, Lock::MayChange)?;
    if !elsewhere.is_empty() {
        eprintln!("no plugin of this workspace provides: {}", elsewhere.join(", "));
    }
    let Some(host) = workspace.packages.iter().find(|package| package.name == "strait") else {
        bail!("this workspace has no package \"strait\"; run this inside strait's repository");
    };
    let program = cargo::build(&workspace, host, Product::Program, Lock::MayChange)?;
    if build_backend::needed(&text)? {
        build_backend::build(&workspace, Lock::MayChange)?;
    }
    let mut strait = Command::new(program);
    let action = match action {
        Action::Run => "run",
        Action::Fit => "fit",
    };
    replace_process(strait.arg(action).arg(&args.experiment).args(&args.rest))
}

/// The ids of the codecs and presses that an experiment's cells name.
///
/// Only the necessary keys are read; `strait run` validates the file.
pub(crate) fn named(experiment: &str) -> Result<BTreeSet<String>> {
    let table: toml::Table = experiment.parse()?;
    let mut named = BTreeSet::new();
    for key in ["compressor", "cache"] {
        let Some(cells) = table.get(key) else { continue };
        let Some(cells) = cells.as_array() else {
            bail!("expected [[{key}]] tables, found {key} = …");
        };
        cells.iter().for_each(|cell| add_named(cell, &mut named));
    }
    Ok(named)
}

/// Adds the ids under every key `codec` or `press`: parameters may name codecs too, as tables.
fn add_named(value: &toml::Value, named: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            let ids = ["codec", "press"].into_iter().filter_map(|key| table.get(key)?.as_str());
            named.extend(ids.map(str::to_owned));
            table.values().for_each(|value| add_named(value, named));
        }
        toml::Value::Array(values) => values.iter().for_each(|value| add_named(value, named)),
        _ => {}
    }
}

/// Replaces this process by `command`, so that signals and the exit code are the host's own.
#[cfg(unix)]
fn replace_process(command: &mut Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;

    let program = command.get_program().to_owned();
    Err(command.exec()).with_context(|| format!("starting {}", program.display()))
}

#[cfg(not(unix))]
fn replace_process(command: &mut Command) -> Result<ExitCode> {
    let status = command.status().context("starting strait")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_and_presses_are_read_once_each() {
        let text = r#"
            name = "x"
            [[compressor]]
            codec = "affine"
            params = { bits = 8 }
            [[compressor]]
            codec = "affine"
            sweep = { bits = [4, 2] }
            [[compressor]]
            codec = "kv.int8"
            params = { inner = { codec = "mx", bits = 4 } }
            sweep = { low = [{ codec = "ggml" }] }
            [[cache]]
            press = "knorm"
            key = { codec = "hqq", bits = 4 }
        "#;
        let expected: BTreeSet<_> =
            ["affine", "ggml", "hqq", "knorm", "kv.int8", "mx"].map(String::from).into();
        assert_eq!(named(text).unwrap(), expected);
        assert!(named("name = \"x\"").unwrap().is_empty());
    }

    #[test]
    fn a_broken_file_is_an_error_before_anything_is_built() {
        let error = named("name = \n").unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
        let error = named("compressor = 3").unwrap_err().to_string();
        assert!(error.contains("[[compressor]]"), "{error}");
    }
}
