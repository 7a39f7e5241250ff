//! The `strait` command: reads the arguments, calls a command, and turns errors into exit codes.
//!
//! Exit codes: 0 everything finished, 1 some cell or check failed, 2 the input was wrong or the
//! machine could not do it, 130 interrupted (start again to resume).

mod built;
mod commands;
mod follow;
mod interrupt;
mod live;
mod logging;
mod output;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use strait_loader::Guard;

/// What scripts may rely on.
const EXIT_CODES: &str = "Exit codes: 0 everything finished; 1 some cell or check failed; 2 the input was \
wrong or the machine could not do it; 130 interrupted, start again to resume. Colours follow NO_COLOR and \
CLICOLOR.";

/// Exact perplexity per measured byte of split, compressed language models.
#[derive(Parser)]
#[command(version, about, max_term_width = 80, after_help = EXIT_CODES)]
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
    /// Generate text, with the KV cache compressed or not, and say what it cost.
    Generate(commands::generate::Arguments),
    /// Write one page with charts and a table that opens without a network.
    Report(commands::report::Arguments),
    /// Draw a picture for a paper: SVG or PNG.
    Plot(commands::plot::Arguments),
    /// Print results as text, Markdown, LaTeX, CSV or JSON.
    Table(commands::table::Arguments),
    /// Show paired differences between two results, with significance.
    Compare(commands::compare::Arguments),
    /// Run the cells of records again and say which digits agree.
    Reproduce(commands::reproduce::Arguments),
    /// Choose the cut and the codec with the shortest time per token on a network.
    Plan(commands::plan::Arguments),
    /// List what models can run on here, and what a GPU lacks.
    Devices(commands::devices::Arguments),
    /// Look into the uncompressed model: importances, activations, outliers.
    Analyze(commands::analyze::Arguments),
    /// Follow a running experiment, here or on a shared folder.
    Watch(commands::watch::Arguments),
    /// Serve the live page of results on this machine.
    Serve(commands::serve::Arguments),
    /// Read results of split-bench, kvpress-pythia and compare_q.
    Import(commands::import::Arguments),
    /// Make an experiment file of compare_q's specifications of a text and of models.
    ImportSpec(commands::import_spec::Arguments),
    /// List, describe and check codec plugins.
    Plugins(commands::plugins::Arguments),
    /// Say what a checkpoint holds: formats, parameters, bits per weight, size.
    Inspect(commands::inspect::Arguments),
    /// Print the JSON Schema of experiment files or of records.
    Schema(commands::schema::Arguments),
    /// Print the completion script of a shell.
    Completions(commands::completions::Arguments),
    /// Print the manual page, or write one for every command.
    Man(commands::completions::ManArguments),
}

impl Command {
    /// Whether it may run a model.
    fn computes(&self) -> bool {
        matches!(
            self,
            Command::Run(_)
                | Command::Fit(_)
                | Command::Generate(_)
                | Command::Reproduce(_)
                | Command::Analyze(_)
                | Command::Devices(_)
        )
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let screen = logging::install(arguments.verbose);
    if arguments.command.computes() {
        // Before there is a second thread: it may set CUDA_PATH.
        strait_nvidia::prepare();
    }
    // Until main ends, a plugin that crashes or calls `exit` is named and does not end as success.
    let guard = Guard::install();
    // A lost device is no plugin's fault.
    strait_model::leave_by(Guard::leave);
    let done = match arguments.command {
        Command::Run(arguments) => commands::run::run(arguments, screen, &guard),
        Command::Fit(arguments) => commands::fit::run(arguments, screen),
        Command::Generate(arguments) => commands::generate::run(&arguments, screen, &guard),
        Command::Report(arguments) => commands::report::run(&arguments),
        Command::Plot(arguments) => commands::plot::run(&arguments),
        Command::Table(arguments) => commands::table::run(&arguments),
        Command::Compare(arguments) => commands::compare::run(&arguments),
        Command::Reproduce(arguments) => commands::reproduce::run(&arguments, screen, &guard),
        Command::Plan(arguments) => commands::plan::run(&arguments),
        Command::Devices(arguments) => commands::devices::run(&arguments),
        Command::Analyze(arguments) => commands::analyze::run(arguments, screen),
        Command::Watch(arguments) => commands::watch::run(&arguments),
        Command::Serve(arguments) => commands::serve::run(&arguments),
        Command::Import(arguments) => commands::import::run(&arguments),
        Command::ImportSpec(arguments) => commands::import_spec::run(&arguments),
        Command::Plugins(arguments) => commands::plugins::run(arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments, screen),
        Command::Schema(arguments) => commands::schema::run(&arguments),
        Command::Completions(arguments) => commands::completions::run(&arguments),
        Command::Man(arguments) => commands::completions::man(&arguments),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            logging::report(&error);
            ExitCode::from(2)
        }
    }
}
