//! Log lines on standard error, above the live lines of a run.

#![allow(clippy::print_stderr, reason = "this is where the program speaks")]

use indicatif::{MultiProgress, ProgressDrawTarget};
use log::{Level, LevelFilter, Log, Metadata, Record};
use strait_report::{lines, prose};

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
    eprintln!("{label} {}", wrapped(&prose(&with_causes(error)), width()));
}

/// An error and its causes, each stated once: many messages already contain the text of their cause.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// Columns that messages may take: those of the terminal, at most 100; no limit in a pipe, where
/// programs read lines.
fn width() -> usize {
    let size = console::Term::stderr().size_checked();
    size.map_or(usize::MAX, |(_, columns)| usize::from(columns).clamp(40, 100))
}

/// Breaks long lines between words; what follows is indented.
fn wrapped(text: &str, width: usize) -> String {
    // Room for "warning: " before the first line.
    lines(text, width.saturating_sub(9), "")
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries below strait say only what goes wrong, unless everything is asked for.
        let ours = ["strait", "plugin::"].iter().any(|name| metadata.target().starts_with(name));
        // CubeCL warns of a panic without its message; the error that follows has it.
        let wordless = metadata.target().starts_with("cubecl_common::device");
        let wrong = metadata.level() <= Level::Warn && !wordless;
        ours || wrong || log::max_level() == LevelFilter::Trace
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
        let text = wrapped(&prose(&record.args().to_string()), width());
        self.screen.suspend(|| eprintln!("{label}{source}: {text}"));
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::{with_causes, wrapped};

    #[test]
    fn a_cause_is_stated_once() {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let read = |source| strait_schema::SchemaError::Read { path: "a.toml".into(), source };
        let once = "a.toml: cannot be read: entity not found";
        let error = anyhow::Error::from(read(missing()));
        assert_eq!(with_causes(&error), once);
        assert_ne!(format!("{error:#}"), once, "what anyhow makes of it");
        let wrapped = Err::<(), _>(read(missing())).context("cannot begin").unwrap_err();
        assert_eq!(with_causes(&wrapped), format!("cannot begin: {once}"));
    }

    #[test]
    fn messages_fit_and_lose_no_word() {
        let text = "expected records of one protocol, found \"a\" with fingerprint 1 and \"b\" with \
                    fingerprint 2\n  hint: tabulate them one protocol at a time";
        let lines = wrapped(text, 49);
        assert!(lines.lines().all(|line| line.len() <= 44), "{lines}");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&lines), words(text));
        assert_eq!(wrapped(text, usize::MAX), text);
    }
}
