//! `strait compare`: paired differences between the cells of two results.

use std::path::PathBuf;
use std::process::ExitCode;

use strait_report::Comparison;

use crate::commands::report::load;
use crate::output::say;

/// The two results.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A record, or a folder whose cells are paired with those of the other by label.
    a: PathBuf,
    /// What it is compared with: the differences are this minus the first.
    b: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the differences.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let a = load(std::slice::from_ref(&arguments.a))?;
    let b = load(std::slice::from_ref(&arguments.b))?;
    let comparisons = Comparison::of_results(&a.records, &b.records)?;
    say(&if arguments.json {
        serde_json::to_string_pretty(&comparisons)?
    } else {
        Comparison::text(&comparisons)
    })?;
    Ok(ExitCode::SUCCESS)
}
