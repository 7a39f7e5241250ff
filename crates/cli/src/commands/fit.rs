//! `strait fit`: makes the artifacts of calibrated codecs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use indicatif::MultiProgress;
use strait_runner::Options;
use strait_schema::Experiment;

use crate::built::build;
use crate::live::Live;
use crate::output::{columns, say};

/// Which experiment.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The experiment file (TOML), with a table `fit` and codecs with `artifact`.
    experiment: PathBuf,
    /// Look for plugins here instead of in the file's folder.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Folder of the named data sets; by default `STRAIT_ASSETS`, or `assets` above the experiment file or beside strait.
    #[arg(long, value_name = "DIR")]
    assets: Option<PathBuf>,
}

/// Fits every codec that has an artifact and prints the files.
pub(crate) fn run(arguments: Arguments, screen: MultiProgress) -> anyhow::Result<ExitCode> {
    let mut experiment = Experiment::load(&arguments.experiment)?;
    if let Some(plugins) = arguments.plugins {
        experiment.plugins.dir = plugins;
    }
    let stop = AtomicBool::new(false);
    let assets = experiment.assets(arguments.assets);
    let options = Options { assets, stop: &stop, fresh: false, trace: None, build: build() };
    let fitted = strait_runner::fit(&experiment, &options, &mut Live::new(screen))?;
    let header = ["cell", ">link", ">bytes", "sha256", "file"].map(str::to_owned);
    let rows = fitted.iter().map(|artifact| {
        [
            artifact.label.clone(),
            format!(">{}", artifact.link),
            format!(">{}", artifact.bytes),
            artifact.sha256[..16].to_owned(),
            artifact.path.display().to_string(),
        ]
    });
    say(&columns(&std::iter::once(header).chain(rows).collect::<Vec<_>>()))?;
    Ok(ExitCode::SUCCESS)
}
