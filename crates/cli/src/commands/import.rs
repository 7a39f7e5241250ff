//! `strait import`: results of other programs, to stand beside records.

#![allow(clippy::print_stderr, reason = "what was left out goes to standard error")]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::output::{columns, say};

/// Which files, and where the results go.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// JSON files of split-bench, kvpress-pythia or compare_q, or folders of them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The folder of the imported results.
    #[arg(short, long, value_name = "DIR", default_value = "results/imported")]
    output: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Writes one file for each result.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (results, notes) = strait_report::import(&arguments.files)?;
    for note in notes {
        eprintln!("{note}");
    }
    if results.is_empty() {
        bail!("expected results of split-bench, kvpress-pythia or compare_q, found none");
    }
    let folder = &arguments.output;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for result in &results {
        result.save(folder.join(result.file_name()))?;
    }
    if arguments.json {
        say(&serde_json::to_string_pretty(&results)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let header = ["origin", "cell", ">bits/value", ">PPL", "protocol"].map(str::to_owned);
    let rows = results.iter().map(|result| {
        [
            result.origin.clone(),
            result.label.clone(),
            format!(
                ">{}",
                result.bits_per_value.map_or_else(String::new, |bits| format!("{bits:.3}"))
            ),
            format!(">{:.4}", result.ppl),
            result.protocol.clone(),
        ]
    });
    let table = columns(&std::iter::once(header).chain(rows).collect::<Vec<_>>());
    say(&format!("{table}\n\n{}: {} results, bytes as declared", folder.display(), results.len()))?;
    Ok(ExitCode::SUCCESS)
}
