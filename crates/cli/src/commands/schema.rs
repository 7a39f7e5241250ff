//! `strait schema`: the JSON Schema of what a user writes and of what the program leaves behind.

use std::process::ExitCode;

use clap::ValueEnum;
use strait_schema::{json_schema_experiment, json_schema_record, render};

use crate::output::say;

/// Which schema to print.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Of experiment files or of records.
    of: Of,
}

#[derive(Clone, Copy, ValueEnum)]
enum Of {
    Experiment,
    Record,
}

/// Prints the schema.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let schema = match arguments.of {
        Of::Experiment => json_schema_experiment(),
        Of::Record => json_schema_record(),
    };
    say(&render(&schema))?;
    Ok(ExitCode::SUCCESS)
}
