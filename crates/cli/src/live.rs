//! Progress of a run: one live line a cell on a terminal, plain lines elsewhere.

#![allow(clippy::print_stderr, reason = "progress goes to standard error")]

use std::time::Duration;

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use strait_report::{plain, prose};
use strait_runner::{CellIntro, CellProgress, Observer, Progress};

/// Draws live lines on the screen, or prints lines where there is no terminal.
pub(crate) struct Live {
    screen: MultiProgress,
    terminal: bool,
    step: Option<ProgressBar>,
    download: Option<ProgressBar>,
    cells: Vec<Line>,
    footer: Option<ProgressBar>,
    windows: usize,
}

struct Line {
    label: String,
    bar: ProgressBar,
}

impl Live {
    /// On a terminal if standard error is one.
    pub(crate) fn new(screen: MultiProgress) -> Self {
        let terminal = console::user_attended_stderr();
        let (cells, windows) = (Vec::new(), 0);
        Self { screen, terminal, step: None, download: None, cells, footer: None, windows }
    }

    fn clear_step(&mut self) {
        if let Some(step) = self.step.take() {
            step.finish_and_clear();
        }
    }
}

impl Progress for Live {
    fn start(&mut self, file: &str, size: u64, done: u64) {
        if !self.terminal {
            eprintln!("download {file}, {}", HumanBytes(size - done));
            return;
        }
        let bar = self.screen.add(ProgressBar::new(size));
        let style = "{msg} {bar:20.cyan/dim} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_message(file.to_owned());
        bar.set_position(done);
        bar.reset_eta();
        if let Some(broken_off) = self.download.replace(bar) {
            broken_off.finish_and_clear();
        }
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &self.download {
            bar.inc(bytes);
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.download.take() {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Live {
    fn step(&mut self, what: &str) {
        self.clear_step();
        if self.terminal {
            let spinner = self.screen.add(ProgressBar::new_spinner());
            spinner.set_message(what.to_owned());
            spinner.enable_steady_tick(Duration::from_millis(120));
            self.step = Some(spinner);
        } else {
            eprintln!("{what}");
        }
    }

    fn begin(&mut self, cells: &[CellIntro], windows: usize) {
        self.clear_step();
        self.windows = windows;
        let width =
            cells.iter().map(|c| console::measure_text_width(&plain(&c.label))).max().unwrap_or(0);
        let width = width.min(24);
        let style = format!("{{prefix:{width}}} {{bar:8.cyan/dim}} {{wide_msg}}");
        for cell in cells {
            let bar = if self.terminal {
                self.screen.add(ProgressBar::new(windows as u64))
            } else {
                ProgressBar::hidden()
            };
            if let Ok(style) = ProgressStyle::with_template(&style) {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar.set_prefix(console::truncate_str(&plain(&cell.label), width, "…").into_owned());
            bar.set_position(cell.windows_done as u64);
            match (cell.finished, cell.windows_done) {
                (true, _) => bar.abandon_with_message("finished by an earlier run"),
                (false, 0) => bar.set_message("waiting"),
                (false, done) => bar.set_message(format!("resumes after {done} windows")),
            }
            if !self.terminal {
                let state = match (cell.finished, cell.windows_done) {
                    (true, _) => "finished by an earlier run".to_owned(),
                    (false, done) => format!("{done}/{windows} windows done"),
                };
                eprintln!("  {:width$}  {state}", plain(&cell.label));
            }
            self.cells.push(Line { label: plain(&cell.label).into_owned(), bar });
        }
        if self.terminal {
            let footer = self.screen.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
                footer.set_style(style);
            }
            footer.enable_steady_tick(Duration::from_millis(200));
            self.footer = Some(footer);
        }
    }

    fn window(&mut self, cell: usize, progress: &CellProgress, eta: Option<Duration>) {
        let Some(line) = self.cells.get(cell) else { return };
        let message = figures(cell, progress);
        if self.terminal {
            line.bar.set_position(progress.windows_done as u64);
            line.bar.set_message(message);
            if let (Some(footer), Some(eta)) = (&self.footer, eta) {
                let left = indicatif::HumanDuration(eta);
                footer.set_message(format!(
                    "window {}/{}, {left:#} left",
                    progress.windows_done, self.windows
                ));
            }
            return;
        }
        // Without a terminal a line for every tenth of the run is enough to follow it.
        let tenth = self.windows.div_ceil(10).max(1);
        if progress.windows_done.is_multiple_of(tenth) || progress.windows_done == self.windows {
            let left = eta.map(|eta| format!("  {:.0} s left", eta.as_secs_f64()));
            let (done, all) = (progress.windows_done, self.windows);
            eprintln!("window {done}/{all}  {}  {message}{}", line.label, left.unwrap_or_default());
        }
    }

    fn failed(&mut self, cell: usize, reason: &str) {
        let Some(line) = self.cells.get(cell) else { return };
        if self.terminal {
            line.bar.abandon_with_message(format!("failed: {}", plain(reason)));
        } else {
            eprintln!("failed  {}  {}", line.label, prose(reason));
        }
    }

    fn end(&mut self) {
        self.clear_step();
        for line in &self.cells {
            line.bar.finish_and_clear();
        }
        if let Some(footer) = &self.footer {
            footer.finish_and_clear();
        }
    }
}

/// One line that fits behind label and bar in 100 columns.
fn figures(cell: usize, p: &CellProgress) -> String {
    let delta = match cell {
        0 => format!("{:31}", ""),
        _ => format!("{:>+9.4} ±{:<7.4} KLD {:.4}  ", p.ppl_delta, p.ppl_delta_error, p.kld_mean),
    };
    let bytes = if p.bytes_per_token.is_nan() {
        String::new()
    } else {
        format!("{:>8.1} B/token {:.2} b/value", p.bytes_per_token, p.bits_per_value)
    };
    format!("PPL {:.4}  {delta}{bytes}", p.ppl)
}
