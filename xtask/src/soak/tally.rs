//! What a part did and how it came out, and the table of all parts.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// One line of the table.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) what: String,
    /// How many outcomes of each sort.
    outcomes: BTreeMap<&'static str, u64>,
    wrong: Vec<Wrong>,
    pub(super) seconds: Option<f64>,
}

/// Something that must not happen.
#[derive(Debug)]
struct Wrong {
    what: String,
    kept: Option<PathBuf>,
}

impl Part {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    /// Counts an outcome that is as it must be.
    pub(super) fn count(&mut self, outcome: &'static str) {
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    /// Notes something that is not, and says it at once.
    pub(super) fn wrong(&mut self, what: String, kept: Option<PathBuf>) {
        eprintln!("wrong: {}: {what}", self.what);
        self.wrong.push(Wrong { what, kept });
    }

    /// So many wrong that more would tell nothing.
    pub(super) fn is_hopeless(&self) -> bool {
        self.wrong.len() >= 50
    }

    fn done(&self) -> u64 {
        self.outcomes.values().sum::<u64>() + self.wrong.len() as u64
    }

    fn outcomes(&self) -> String {
        let counts = self.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}"));
        counts.collect::<Vec<_>>().join(", ")
    }
}

/// All parts.
#[derive(Debug)]
pub(super) struct Report {
    commit: Option<String>,
    seed: u64,
    scale: f64,
    parts: Vec<Part>,
}

impl Report {
    pub(super) fn new(root: &Path, seed: u64, scale: f64) -> Self {
        let mut git = Command::new("git");
        let output = git.current_dir(root).args(["rev-parse", "--short", "HEAD"]).output().ok();
        let commit = output.filter(|output| output.status.success());
        let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        Self { commit, seed, scale, parts: Vec::new() }
    }

    /// Adds what a part gave; lines without a time of their own share that of the part.
    pub(super) fn add(&mut self, mut parts: Vec<Part>, seconds: f64) {
        let timed: f64 = parts.iter().filter_map(|part| part.seconds).sum();
        let open = parts.iter().filter(|part| part.seconds.is_none()).count() as f64;
        for part in &mut parts {
            part.seconds.get_or_insert((seconds - timed).max(0.0) / open);
            eprintln!("{}", row(part).join("  "));
        }
        self.parts.extend(parts);
    }

    pub(super) fn is_right(&self) -> bool {
        self.parts.iter().all(|part| part.wrong.is_empty())
    }

    /// Writes `table.md`, and gives its path.
    pub(super) fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("table.md");
        fs::write(&path, self.to_string()).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

const HEADING: [&str; 5] = ["what", "times", "outcomes", "wrong", "seconds"];

fn row(part: &Part) -> [String; 5] {
    let seconds = part.seconds.map_or(String::new(), |seconds| format!("{seconds:.0}"));
    let (done, wrong) = (part.done().to_string(), part.wrong.len().to_string());
    [part.what.clone(), done, part.outcomes(), wrong, seconds]
}

/// Markdown.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} |\n|---|---:|---|---:|---:|", HEADING.join(" | "))?;
        for part in &self.parts {
            writeln!(f, "| {} |", row(part).join(" | "))?;
        }
        let of = self.commit.as_deref().unwrap_or("an unknown commit");
        let (wrong, done): (usize, u64) = self
            .parts
            .iter()
            .fold((0, 0), |(wrong, done), part| (wrong + part.wrong.len(), done + part.done()));
        writeln!(
            f,
            "\n{wrong} of {done} wrong; seed {}, scale {}, commit {of}",
            self.seed, self.scale
        )?;
        for part in &self.parts {
            for Wrong { what, kept } in &part.wrong {
                writeln!(f, "\n* {}: {what}", part.what)?;
                if let Some(kept) = kept {
                    writeln!(f, "  kept: {}", kept.display())?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_part_and_says_what_was_wrong() {
        let mut kills = Part::new("kills");
        (0..3).for_each(|_| kills.count("went on"));
        kills.count("ended before");
        let mut files = Part::new("files");
        files.seconds = Some(4.0);
        files.count("refused");
        files.wrong("signal 11".to_owned(), Some(PathBuf::from("kept/7")));
        let mut report = Report { commit: None, seed: 5, scale: 0.5, parts: Vec::new() };
        report.add(vec![kills, files], 10.0);
        assert!(!report.is_right());
        let text = report.to_string();
        assert!(text.contains("| kills | 4 | 1 ended before, 3 went on | 0 | 6 |"), "{text}");
        assert!(text.contains("| files | 2 | 1 refused | 1 | 4 |"), "{text}");
        assert!(text.contains("1 of 6 wrong; seed 5, scale 0.5, commit an unknown"), "{text}");
        assert!(text.contains("* files: signal 11\n  kept: kept/7\n"), "{text}");
    }
}
