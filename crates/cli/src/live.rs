//! Progress of a run: on a terminal the cells at work, as many as it has lines for, above a footer that never leaves;
//! elsewhere plain lines.

#![allow(clippy::print_stderr, reason = "progress goes to standard error")]

mod shown;

use std::time::Duration;

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use strait_report::{plain, prose};
use strait_runner::{CellIntro, CellProgress, Observer, Progress};

use shown::{Shown, figures};

/// Lines that are not cells': the footer, a step or download, and one for the prompt above.
const OTHER_LINES: usize = 3;
/// Columns of a label and of a bar, at most.
const LABEL: usize = 22;
const BAR: usize = 6;

/// Draws live lines on the screen, or prints lines where there is no terminal.
pub(crate) struct Live {
    screen: MultiProgress,
    terminal: bool,
    step: Option<ProgressBar>,
    download: Option<ProgressBar>,
    cells: Vec<Cell>,
    /// The lines of the screen, each with the cell that has it.
    lines: Vec<ProgressBar>,
    shown: Shown,
    footer: Option<ProgressBar>,
    windows: usize,
}

struct Cell {
    label: String,
    windows_done: usize,
    over: Over,
}

/// Whether a cell goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    No,
    Done,
    Failed,
}

impl Live {
    /// On a terminal if standard error is one.
    pub(crate) fn new(screen: MultiProgress) -> Self {
        let terminal = console::user_attended_stderr();
        let (cells, lines, windows) = (Vec::new(), Vec::new(), 0);
        let (step, download, footer) = (None, None, None);
        let shown = Shown::new(0, 0);
        Self { screen, terminal, step, download, cells, lines, shown, footer, windows }
    }

    fn clear_step(&mut self) {
        if let Some(step) = self.step.take() {
            step.finish_and_clear();
        }
    }

    /// Lines for the cells that fit, and the footer below them.
    fn draw_lines(&mut self) {
        let (rows, _) = console::Term::stderr().size();
        let room = usize::from(rows).saturating_sub(OTHER_LINES).max(1);
        self.shown = Shown::new(self.cells.len(), room);
        let labels = self.cells.iter().map(|cell| console::measure_text_width(&cell.label));
        let width = labels.max().unwrap_or(0).min(LABEL);
        let style = format!("{{prefix:{width}}} {{bar:{BAR}.cyan/dim}} {{wide_msg}}");
        let style = ProgressStyle::with_template(&style).ok();
        for line in 0..self.cells.len().min(room) {
            let bar = self.screen.add(ProgressBar::new(self.windows as u64));
            if let Some(style) = &style {
                bar.set_style(style.clone().progress_chars("━╸─"));
            }
            self.lines.push(bar);
            self.give(line, line);
            let cell = &self.cells[line];
            self.lines[line].set_message(match (cell.over, cell.windows_done) {
                (Over::No, 0) => "waiting".to_owned(),
                (Over::No, done) => format!("resumes after {done} windows"),
                _ => "finished by an earlier run".to_owned(),
            });
        }
        let footer = self.screen.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {wide_msg}") {
            footer.set_style(style);
        }
        footer.enable_steady_tick(Duration::from_millis(200));
        self.footer = Some(footer);
        self.tell(None);
    }

    /// A line becomes that of a cell.
    fn give(&self, line: usize, cell: usize) {
        let (bar, cell) = (&self.lines[line], &self.cells[cell]);
        bar.set_prefix(console::truncate_str(&cell.label, LABEL, "…").into_owned());
        bar.set_position(cell.windows_done as u64);
    }

    /// The line of a cell that has news.
    fn line_of(&mut self, cell: usize) -> Option<usize> {
        let over = |cell: usize| self.cells[cell].over != Over::No;
        let line = self.shown.line_of(cell, over)?;
        self.give(line, cell);
        Some(line)
    }

    /// What the footer says.
    fn tell(&self, left: Option<Duration>) {
        let Some(footer) = &self.footer else { return };
        let count = |over: Over| self.cells.iter().filter(|cell| cell.over == over).count();
        let mut parts = vec![format!("{}/{} cells done", count(Over::Done), self.cells.len())];
        if count(Over::Failed) > 0 {
            parts.push(format!("{} failed", count(Over::Failed)));
        }
        let live = self.cells.iter().filter(|cell| cell.over != Over::Failed);
        let (done, all) =
            live.fold((0, 0), |(done, all), cell| (done + cell.windows_done, all + self.windows));
        parts.push(format!("{done}/{all} windows"));
        if let Some(left) = left {
            parts.push(format!("{:#} left", indicatif::HumanDuration(left)));
        }
        footer.set_message(parts.join(" · "));
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
        let cell = |cell: &CellIntro| Cell {
            label: plain(&cell.label).into_owned(),
            windows_done: if cell.finished { windows } else { cell.windows_done },
            over: if cell.finished { Over::Done } else { Over::No },
        };
        self.cells = cells.iter().map(cell).collect();
        if self.terminal {
            self.draw_lines();
            return;
        }
        let labels = self.cells.iter().map(|cell| console::measure_text_width(&cell.label));
        let width = labels.max().unwrap_or(0).min(LABEL);
        for cell in &self.cells {
            let state = match cell.over {
                Over::No => format!("{}/{windows} windows done", cell.windows_done),
                _ => "finished by an earlier run".to_owned(),
            };
            eprintln!("  {:width$}  {state}", cell.label);
        }
    }

    fn window(&mut self, cell: usize, progress: &CellProgress, eta: Option<Duration>) {
        let windows = self.windows;
        let Some(of) = self.cells.get_mut(cell) else { return };
        of.windows_done = progress.windows_done;
        if progress.windows_done >= windows {
            of.over = Over::Done;
        }
        if self.terminal {
            if let Some(line) = self.line_of(cell) {
                let (_, columns) = console::Term::stderr().size();
                let room = usize::from(columns).saturating_sub(LABEL + BAR + 2);
                self.lines[line].set_message(figures(cell, progress, room));
            }
            self.tell(eta);
            return;
        }
        // Without a terminal a line for every tenth of the run is enough to follow it.
        let tenth = windows.div_ceil(10).max(1);
        if progress.windows_done.is_multiple_of(tenth) || progress.windows_done == windows {
            let left = eta.map(|eta| format!("  {:.0} s left", eta.as_secs_f64()));
            let (label, done) = (&self.cells[cell].label, progress.windows_done);
            let message = figures(cell, progress, usize::MAX);
            eprintln!("window {done}/{windows}  {label}  {message}{}", left.unwrap_or_default());
        }
    }

    fn failed(&mut self, cell: usize, reason: &str) {
        let Some(of) = self.cells.get_mut(cell) else { return };
        of.over = Over::Failed;
        let line = format!("failed  {}  {}", of.label, prose(reason));
        if !self.terminal {
            eprintln!("{line}");
            return;
        }
        // Above the lines, where it stays when another cell takes this one's.
        self.screen.suspend(|| eprintln!("{line}"));
        if let Some(line) = self.shown.has(cell) {
            self.lines[line].set_message("failed");
        }
        self.tell(None);
    }

    fn end(&mut self) {
        self.clear_step();
        for line in &self.lines {
            line.finish_and_clear();
        }
        if let Some(footer) = &self.footer {
            footer.finish_and_clear();
        }
    }
}
