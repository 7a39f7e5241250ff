//! `cargo xtask run`: builds what an experiment names, then runs it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::build_plugin;
use crate::cargo::{self, Lock, Product};
use crate::plugins;
use crate::workspace::Workspace;

/// Build the plugins an experiment names and the host, then run the experiment
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The experiment file
    #[arg(value_name = "EXPERIMENT.toml")]
    experiment: PathBuf,
    /// Passed on to `strait run` as they are
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let text = fs::read_to_string(&args.experiment)
        .with_context(|| format!("reading the experiment {}", args.experiment.display()))?;
    let codecs = codecs(&text).with_context(|| args.experiment.display().to_string())?;

    let workspace = Workspace::load()?;
    let known = plugins::all(&workspace)?;
    let (selected, elsewhere) = plugins::providers(&known, &codecs);
    build_plugin::build(&workspace, &selected, Lock::MayChange)?;
    if !elsewhere.is_empty() {
        eprintln!("no plugin of this workspace provides: {}", elsewhere.join(", "));
    }
    let Some(host) = workspace.packages.iter().find(|package| package.name == "strait") else {
        bail!("this workspace has no package \"strait\"; run this inside strait's repository");
    };
    let program = cargo::build(&workspace, host, Product::Program, Lock::MayChange)?;
    let mut strait = Command::new(program);
    replace_process(strait.arg("run").arg(&args.experiment).args(&args.rest))
}

/// The ids of the codecs that an experiment's `[[compressor]]` tables name.
///
/// Only what is needed here is read; `strait run` validates the file.
pub(crate) fn codecs(experiment: &str) -> Result<BTreeSet<String>> {
    let table: toml::Table = experiment.parse()?;
    let Some(compressors) = table.get("compressor") else { return Ok(BTreeSet::new()) };
    let Some(compressors) = compressors.as_array() else {
        bail!("expected [[compressor]] tables, found compressor = …");
    };
    let mut named = BTreeSet::new();
    compressors.iter().for_each(|compressor| add_codecs(compressor, &mut named));
    Ok(named)
}

/// The ids under every key `codec`: parameters may name codecs too, as tables.
fn add_codecs(value: &toml::Value, named: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            named.extend(table.get("codec").and_then(toml::Value::as_str).map(str::to_owned));
            table.values().for_each(|value| add_codecs(value, named));
        }
        toml::Value::Array(values) => values.iter().for_each(|value| add_codecs(value, named)),
        _ => {}
    }
}

/// Becomes `command`, so that signals and the exit code are the host's own.
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
    fn codecs_are_read_once_each() {
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
        "#;
        let expected: BTreeSet<_> = ["affine", "ggml", "kv.int8", "mx"].map(String::from).into();
        assert_eq!(codecs(text).unwrap(), expected);
        assert!(codecs("name = \"x\"").unwrap().is_empty());
    }

    #[test]
    fn a_broken_file_is_an_error_before_anything_is_built() {
        let error = codecs("name = \n").unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
        let error = codecs("compressor = 3").unwrap_err().to_string();
        assert!(error.contains("[[compressor]]"), "{error}");
    }
}
