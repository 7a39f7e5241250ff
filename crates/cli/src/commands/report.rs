//! `strait report`: one page of results that opens without a network.

#![allow(clippy::print_stderr, reason = "what was left out goes to standard error")]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use strait_report::{Collection, Page, prose};

use crate::output::say;

/// Which results, and where the page goes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Results folders, with what is below them, or single records.
    #[arg(required = true)]
    results: Vec<PathBuf>,
    /// The page.
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
}

/// Writes the page.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let collection = load(&arguments.results)?;
    let html = Page::new(&collection)?.html();
    let path = &arguments.output;
    fs::write(path, &html).with_context(|| format!("cannot write {}", path.display()))?;
    let cells = collection.records.len() + collection.imported.len();
    say(&format!("{}: {cells} cells, {} kB", path.display(), html.len() / 1000))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads results and says what was left out.
pub(crate) fn load(paths: &[PathBuf]) -> anyhow::Result<Collection> {
    let collection = Collection::load(paths)?;
    for note in &collection.notes {
        eprintln!("{}", prose(note));
    }
    Ok(collection)
}
