//! `strait table`: results as a table for a terminal, a README, a paper or a program.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::ValueEnum;
use strait_report::{Figure, Pivot, Report};

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
    /// One figure by these keys, with the values of the last across: `cut,side.metric,fraction`.
    #[arg(long, value_name = "KEYS", value_delimiter = ',')]
    by: Vec<String>,
    /// The figure.
    #[arg(long, value_enum, default_value_t = Of::Ppl, requires = "by")]
    of: Of,
    /// Only cells with this value of a key: `low.granularity=tensor`.
    #[arg(long = "where", value_name = "KEY=VALUE", value_parser = pair, requires = "by")]
    only: Vec<(String, String)>,
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

#[derive(Clone, Copy, ValueEnum)]
enum Of {
    /// Perplexity.
    Ppl,
    /// Perplexity above the baseline.
    Delta,
    /// Mean divergence from the baseline.
    Kld,
    /// Bits per value on the links where the codec works.
    Bits,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Prints the table.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if !arguments.by.is_empty() {
        return pivot(arguments);
    }
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

fn pivot(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let figure = match arguments.of {
        Of::Ppl => Figure::Perplexity,
        Of::Delta => Figure::Difference,
        Of::Kld => Figure::Divergence,
        Of::Bits => Figure::Bits,
    };
    let records = load(&arguments.results)?.records;
    let pivot = Pivot::new(&records, &arguments.by, &arguments.only, figure)?;
    say(&match (arguments.json, arguments.format) {
        (true, _) => pivot.json(),
        (_, Format::Text) => pivot.terminal(),
        (_, Format::Markdown) => pivot.markdown(),
        (_, Format::Csv) => pivot.csv(),
        (_, Format::Latex) => {
            bail!("expected text, markdown, csv or --json with --by, found latex")
        }
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
