//! The table of agreement: as text of 80 columns, as Markdown, and as JSON.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

use super::device_tests::Tests;
use super::outcome::{CellLine, Measure};
use super::rows::Row;

pub(super) const MARKDOWN: &str = "table.md";
const JSON: &str = "table.json";

/// A row with its outcome.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Line {
    name: String,
    experiment: &'static str,
    dtype: &'static str,
    devices: &'static [&'static str],
    settings: Vec<(&'static str, &'static str)>,
    compared_with: &'static str,
    seconds: f64,
    pub(super) device: Option<String>,
    pub(super) measures: Vec<Measure>,
    pub(super) error: Option<String>,
    /// The emulator's reports of wrong addresses and blocks that hang.
    pub(super) complaints: Vec<String>,
    pub(super) cells: Vec<CellLine>,
}

/// All lines of one check.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    commit: Option<String>,
    pub(super) device: Option<String>,
    long: bool,
    pub(super) tests: Vec<Tests>,
    pub(super) lines: Vec<Line>,
}

impl Line {
    pub(super) fn new(row: &Row, seconds: f64) -> Self {
        Self {
            name: row.name.clone(),
            experiment: row.experiment,
            dtype: row.dtype,
            devices: row.devices,
            settings: row.settings.clone(),
            compared_with: row.reference_device(),
            seconds,
            device: None,
            measures: Vec::new(),
            error: None,
            complaints: Vec::new(),
            cells: Vec::new(),
        }
    }

    pub(super) fn failed(row: &Row, error: String) -> Self {
        Self { error: Some(error), ..Self::new(row, 0.0) }
    }

    pub(super) fn agrees(&self) -> bool {
        self.error.is_none()
            && self.complaints.is_empty()
            && self.measures.iter().all(|measure| measure.value <= measure.allowed)
    }

    fn verdict(&self) -> &'static str {
        match (self.agrees(), &self.error) {
            (true, _) => "agrees",
            (false, Some(_)) => "FAILED",
            (false, None) => "DIFFERS",
        }
    }

    fn value_of(&self, name: &str) -> String {
        let found = self.measures.iter().find(|measure| measure.name == name);
        found.map_or(String::new(), |measure| short(measure.value))
    }

    /// The measures that are not in one of the three columns.
    fn other(&self) -> String {
        let shown = |measure: &&Measure| {
            !COLUMNS.contains(&measure.name) && (measure.name != ENTRIES || measure.value > 0.0)
        };
        let other = self.measures.iter().filter(shown);
        other.map(|measure| format!("{} {}", short(measure.value), measure.name)).collect()
    }
}

/// A measure that is shown where it is not 0.
const ENTRIES: &str = "other entries";

/// Measures with their own columns; the others are written across them.
const COLUMNS: [&str; 3] = ["exact", "PPL", "KLD"];

/// A number in eight characters.
fn short(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { format!("{value:.1e}") }
}

pub(super) fn heading() -> String {
    format!(
        "{:<38} {:>8} {:>8} {:>8} {:>6}\n{:<38} {:>8} {:>8} {:>8}",
        "compared with the CPU",
        "exact",
        "PPL",
        "KLD",
        "time",
        "largest difference of any cell",
        "nats",
        "relative",
        "relative"
    )
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [exact, ppl, kld] = COLUMNS.map(|name| self.value_of(name));
        let other = self.other();
        let (middle, behind) =
            if self.measures.iter().any(|measure| COLUMNS.contains(&measure.name)) {
                (format!("{exact:>8} {ppl:>8} {kld:>8}"), other)
            } else {
                (format!("{other:>26}"), String::new())
            };
        let (name, seconds, verdict) = (&self.name, self.seconds, self.verdict());
        write!(f, "{name:<38} {middle} {seconds:>4.0} s {verdict}")?;
        if !behind.is_empty() {
            write!(f, "\n    {behind}, of cells whose PPL and KLD are not compared for that")?;
        }
        for said in self.error.iter().chain(self.complaints.iter().take(3)) {
            for line in said.lines() {
                write!(f, "\n    {line}")?;
            }
        }
        Ok(())
    }
}

impl Report {
    pub(super) fn new(long: bool, root: &Path) -> Self {
        Self { commit: commit(root), device: None, long, tests: Vec::new(), lines: Vec::new() }
    }

    pub(super) fn agrees(&self) -> bool {
        self.tests.iter().all(|tests| tests.failed == 0) && self.lines.iter().all(Line::agrees)
    }

    /// Writes both files to `folder`.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let json = serde_json::to_string_pretty(self)? + "\n";
        for (name, text) in [(MARKDOWN, self.markdown()), (JSON, json)] {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    fn markdown(&self) -> String {
        let device = self.device.as_deref().unwrap_or("no device");
        let mut text = format!("# {device}, compared with the CPU\n\n");
        if let Some(commit) = &self.commit {
            text += &format!("`cargo xtask check-cuda` at {commit}. ");
        }
        text += "Largest difference of any cell. Exact: in nats a token, of any window of a cell that \
                 loses nothing, the baseline among them. PPL: relative. KLD: of the mean divergence, \
                 relative to it and 1e-4 nats (half types 1e-2); both of cells whose presses kept the same entries. In \
                 brackets what is allowed.\n\n";
        for tests in &self.tests {
            text += &format!("* {tests}.\n");
        }
        text += "\n";
        text += "| | devices | exact | PPL | KLD | |\n|:--|:--|--:|--:|--:|:--|\n";
        for line in &self.lines {
            text += &line.markdown();
        }
        text
    }
}

impl Line {
    fn markdown(&self) -> String {
        let shown = COLUMNS.map(|name| {
            let found = self.measures.iter().find(|measure| measure.name == name);
            found.map_or(String::new(), |measure| {
                format!("{} ({})", short(measure.value), short(measure.allowed))
            })
        });
        let mut notes = vec![self.verdict().to_lowercase()];
        notes.extend(Some(self.other()).filter(|other| !other.is_empty()));
        notes.extend(self.error.iter().map(|error| error.lines().next().unwrap_or("").to_owned()));
        notes.extend(self.complaints.first().cloned());
        let notes = notes.join("; ").replace('|', "\\|");
        let devices = self.devices.join(", ");
        format!("| {} | {devices} | {} | {notes} |\n", self.name, shown.join(" | "))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = self.device.as_deref().unwrap_or("no device");
        writeln!(f, "{device}")?;
        for tests in &self.tests {
            writeln!(f, "{tests}")?;
        }
        writeln!(f, "{}", heading())?;
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        let agree = self.lines.iter().filter(|line| line.agrees()).count();
        write!(f, "{agree} of {} rows agree", self.lines.len())
    }
}

fn commit(root: &Path) -> Option<String> {
    let mut git = Command::new("git");
    git.arg("-C").arg(root).args(["rev-parse", "--short", "HEAD"]);
    let output = git.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::rows;
    use super::*;

    fn line(values: [f64; 3]) -> Line {
        let row = rows::all(true).into_iter().max_by_key(|row| row.name.len()).unwrap();
        let allowed = row.tolerance();
        let allowed = [allowed.exact, allowed.ppl, allowed.kld];
        let mut line = Line::new(&row, 754.4);
        line.measures = COLUMNS
            .into_iter()
            .zip(values.into_iter().zip(allowed))
            .map(|(name, (value, allowed))| Measure { name, value, allowed })
            .collect();
        line
    }

    #[test]
    fn a_line_fits_into_80_columns_and_says_whether_it_agrees() {
        let good = line([1.2e-7, 0.0, 3e-6]);
        assert!(good.agrees());
        assert!(good.to_string().ends_with(" 1.2e-7        0   3.0e-6  754 s agrees"), "{good}");
        let wrong = line([1.2e-7, f64::NAN, 3e-6]);
        assert!(!wrong.agrees() && wrong.to_string().ends_with("DIFFERS"), "{wrong}");
        for text in [good.to_string(), wrong.to_string(), heading()] {
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }

    #[test]
    fn a_complaint_of_the_emulator_is_no_agreement() {
        let mut complained = line([0.0; 3]);
        complained.complaints.push("cuda-emulator: reads 4 bytes (error 700)".to_owned());
        assert!(!complained.agrees());
        assert!(complained.to_string().contains("DIFFERS\n    cuda-emulator: reads"));
    }

    #[test]
    fn a_report_is_a_table_and_json() {
        let root = tempfile::tempdir().unwrap();
        let mut report = Report::new(true, root.path());
        report.device = Some("cuda:0 Emulated sm_80".to_owned());
        report.tests = vec![Tests { suite: "model", passed: 24, failed: 0, seconds: 61.0 }];
        report.lines = vec![line([1.2e-7, 0.0, 3e-6]), line([0.5, 0.0, 0.0])];
        assert!(!report.agrees());
        assert!(report.to_string().ends_with("1 of 2 rows agree"), "{report}");
        report.write(root.path()).unwrap();
        let text = fs::read_to_string(root.path().join(MARKDOWN)).unwrap();
        assert!(text.starts_with("# cuda:0 Emulated sm_80, compared with the CPU\n"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("| ")).count(), 3, "{text}");
        let json: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(root.path().join(JSON)).unwrap()).unwrap();
        assert_eq!(json["lines"][0]["measures"][0]["name"], "exact");
        assert_eq!(json["tests"][0]["passed"], 24);
    }
}
