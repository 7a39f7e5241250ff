//! `strait table`: results as a table for a terminal, a README, a paper or a program.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use strait_report::Report;

use crate::commands::report::load;
use crate::commands::run::style;
use crate::output::say;

/// Which results, and in what form.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Results folders or single records of one protocol.
    #[arg(required = true)]
    results: Vec<PathBuf>,
    /// The form.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Print JSON.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Put different protocols into one table, though their perplexities do not compare.
    #[arg(long)]
    mixed: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Aligned text.
    Text,
    /// GitHub's Markdown.
    Markdown,
    /// LaTeX with booktabs.
    Latex,
    /// All figures in full precision.
    Csv,
}

/// Prints the table.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let report = report_of(&arguments.results, arguments.mixed)?;
    say(&match (arguments.json, arguments.format) {
        (true, _) => report.json(),
        (_, Format::Text) => report.terminal(&style()),
        (_, Format::Markdown) => report.markdown(),
        (_, Format::Latex) => report.latex(),
        (_, Format::Csv) => report.csv(),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// One report of everything below some paths.
pub(crate) fn report_of(paths: &[PathBuf], mixed: bool) -> anyhow::Result<Report> {
    let collection = load(paths)?;
    let report = match (collection.records.is_empty(), mixed) {
        (true, _) if !collection.imported.is_empty() => {
            Report::titled("imported", "imported results")
        }
        (_, true) => Report::of_any_protocols(&collection.records)?,
        (_, false) => Report::from_records(&collection.records)?,
    };
    Ok(report.with_imported(&collection.imported))
}
