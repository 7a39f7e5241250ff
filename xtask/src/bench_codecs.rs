//! `cargo xtask bench-codecs`: measures the throughput of every codec in the catalogue, and writes the page
//! about them.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::build_plugin;
use crate::cargo::{self, Lock};
use crate::codecs_page::{FIGURES, PAGE};
use crate::plugins;
use crate::tidy;
use crate::workspace::Workspace;

/// Measure encode and decode of every codec through the loader; write results/codecs.json and docs/codecs.md
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Cells whose label contains this, or of the codec with this id; the page is written only without
    #[arg(value_name = "LABEL")]
    labels: Vec<String>,
    /// Messages of 576 channels alone
    #[arg(long)]
    quick: bool,
    /// The experiment whose cells are measured
    #[arg(long, value_name = "FILE", default_value = "configs/catalogue.toml")]
    experiment: PathBuf,
    /// Where the figures go, instead of to results/codecs.json; the page is written only without
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Measure nothing: write the page from the figures that are there
    #[arg(long, conflicts_with_all = ["labels", "quick", "output"])]
    page: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let page = workspace.root.join(PAGE);
    if !args.page {
        let known = plugins::all(&workspace)?;
        build_plugin::build(&workspace, &build_plugin::bundled(&known), Lock::MayChange)?;
        measure(args, &workspace)?;
        if !args.labels.is_empty() || args.output.is_some() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let text = tidy::codecs_page(&workspace)?;
    fs::write(&page, text).with_context(|| page.display().to_string())?;
    println!("{PAGE}");
    Ok(ExitCode::SUCCESS)
}

/// Runs the benchmark. Its figures go to the terminal if only some codecs are requested.
fn measure(args: &Args, workspace: &Workspace) -> Result<()> {
    let mut bench = cargo::command();
    bench.current_dir(&workspace.root);
    bench.args(["bench", "--package", "strait-conformance", "--bench", "codecs", "--"]);
    let absolute = |path: &PathBuf| std::path::absolute(path).context("an absolute path");
    bench.arg("--plugins").arg(workspace.root.join("plugins"));
    bench.arg("--experiment").arg(absolute(&args.experiment)?);
    let output = match &args.output {
        Some(output) => Some(absolute(output)?),
        None => args.labels.is_empty().then(|| workspace.root.join(FIGURES)),
    };
    if let Some(output) = output {
        bench.arg("--json").arg(output);
    }
    if args.quick {
        bench.arg("--quick");
    }
    bench.args(&args.labels);
    if !bench.status().context("cargo did not start")?.success() {
        bail!("the benchmark failed");
    }
    Ok(())
}
