//! The `strait` command: reads the arguments, calls a command, and turns errors into exit codes.
//!
//! Exit codes: 0 everything finished, 1 some cell or check failed, 2 the input was wrong or the
//! machine could not do it, 130 interrupted (start again to resume).

mod commands;
mod live;
mod logging;
mod output;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exact perplexity per measured byte of split, compressed language models.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Say more: -v for information, -vv for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Command {
    /// Run an experiment file: compress what crosses the links and measure perplexity.
    Run(commands::run::Arguments),
    /// Calibrate codecs: run the model over another text and write their artifacts.
    Fit(commands::fit::Arguments),
    /// List, describe and check codec plugins.
    Plugins(commands::plugins::Arguments),
    /// Say what a checkpoint holds: formats, parameters, bits per weight, size.
    Inspect(commands::inspect::Arguments),
    /// Print the JSON Schema of experiment files or of records.
    Schema(commands::schema::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let screen = logging::install(arguments.verbose);
    let done = match arguments.command {
        Command::Run(arguments) => commands::run::run(arguments, screen),
        Command::Fit(arguments) => commands::fit::run(arguments, screen),
        Command::Plugins(arguments) => commands::plugins::run(arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments, screen),
        Command::Schema(arguments) => commands::schema::run(&arguments),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            logging::report(&error);
            ExitCode::from(2)
        }
    }
}
