//! `strait watch`: a running experiment from outside, also of another machine on a shared folder.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use strait_runner::Stopwatch;
use strait_schema::RunStatus;

use crate::commands::run::columns_of_terminal;
use crate::output::say;

/// After so many seconds without news a run is said to be silent.
const SILENT_S: f64 = 60.0;

/// Which experiment.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The results folder of the experiment.
    results: PathBuf,
    /// Print the state once and end.
    #[arg(long)]
    once: bool,
    /// Print JSON, one object for each change.
    #[arg(long)]
    json: bool,
    /// Seconds between two looks.
    #[arg(long, default_value_t = 1.0)]
    every: f64,
}

/// Shows the state until the run ends.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let redraw = console::user_attended() && !arguments.json && !arguments.once;
    let terminal = console::Term::stdout();
    let (mut beat, mut drawn, mut news) = (None, 0, Stopwatch::start());
    loop {
        let Some(status) = RunStatus::load(&arguments.results)? else {
            bail!(
                "{}: expected a results folder that a run writes to, found no journal/status.json",
                arguments.results.display()
            );
        };
        if beat != Some(status.beat) {
            (beat, news) = (Some(status.beat), Stopwatch::start());
            if redraw {
                terminal.clear_last_lines(drawn)?;
            }
            let text = if arguments.json {
                serde_json::to_string(&status)?
            } else {
                strait_report::watch(&status, columns_of_terminal())
            };
            say(&text)?;
            drawn = text.trim_end().lines().count();
        }
        if status.ended || arguments.once {
            let failed = status.cells.iter().any(|cell| cell.reason.is_some());
            return Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS });
        }
        if news.seconds() > SILENT_S {
            log::warn!("no news for {SILENT_S} s: the run may have been killed");
            news = Stopwatch::start();
        }
        std::thread::sleep(Duration::from_secs_f64(arguments.every.clamp(0.05, 3600.0)));
    }
}
