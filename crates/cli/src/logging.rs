//! Log lines on standard error, above the live lines of a run.

#![allow(clippy::print_stderr, reason = "this is where the program speaks")]

use indicatif::{MultiProgress, ProgressDrawTarget};
use log::{Level, LevelFilter, Log, Metadata, Record};

struct Logger {
    screen: MultiProgress,
}

/// Installs the logger and returns the screen that live lines must be drawn on.
pub(crate) fn install(verbose: u8) -> MultiProgress {
    let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
    let level = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    if log::set_boxed_logger(Box::new(Logger { screen: screen.clone() })).is_ok() {
        log::set_max_level(level);
    }
    screen
}

/// Prints an error with its causes.
pub(crate) fn report(error: &anyhow::Error) {
    let label = console::style("error:").red().bold().for_stderr();
    eprintln!("{label} {error:#}");
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries below strait say only what goes wrong, unless everything is asked for.
        let ours = ["strait", "plugin::"].iter().any(|name| metadata.target().starts_with(name));
        ours || metadata.level() <= Level::Warn || log::max_level() == LevelFilter::Trace
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let label = match record.level() {
            Level::Error => console::style("error").red(),
            Level::Warn => console::style("warning").yellow(),
            Level::Info => console::style("info").cyan(),
            Level::Debug => console::style("debug").dim(),
            Level::Trace => console::style("trace").dim(),
        };
        let label = label.for_stderr();
        let source = record.target().strip_prefix("plugin::").map(|name| format!(" [{name}]"));
        let source = source.unwrap_or_default();
        self.screen.suspend(|| eprintln!("{label}{source}: {}", record.args()));
    }

    fn flush(&self) {}
}
