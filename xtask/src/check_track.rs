//! `cargo xtask check-track`: reads the output of a tracked run with the real wandb, tensorboard and mlflow.
//!
//! It needs Python with the packages of `crates/track/tests/real/requirements.txt`. The gate does not need
//! them: there, strait's own decoders and a server on loopback take their place.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// Read a tracked run back with the real packages
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The results folder of a run with `[track] wandb = {}` and `tensorboard = {}`
    results: PathBuf,
    /// The MLflow server that the run was tracked on
    #[arg(long)]
    mlflow: Option<String>,
    /// A Python that has the packages
    #[arg(long, default_value = "python3")]
    python: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let script = Workspace::load()?.root.join("crates/track/tests/real/readback.py");
    let status = Command::new(&args.python)
        .arg(script)
        .arg(&args.results)
        .args(&args.mlflow)
        .status()
        .with_context(|| args.python.display().to_string())?;
    if !status.success() {
        bail!("the packages do not read what the records say");
    }
    Ok(ExitCode::SUCCESS)
}
