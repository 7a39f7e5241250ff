//! Runs a row, or what it is compared with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::experiment;
use super::models;
use super::outcome::Outcome;
use super::process::{self, Ended};
use super::rows::{Row, Work};
use super::table::Line;
use crate::emulator::Emulator;

/// What all rows share.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub(super) program: PathBuf,
    pub(super) root: PathBuf,
    /// The folder for everything that rows need and write.
    pub(super) folder: PathBuf,
    pub(super) emulator: Option<&'a Emulator>,
    pub(super) jobs: usize,
}

/// The CPU's results for an experiment.
#[derive(Debug)]
pub(super) struct Reference {
    outcome: Option<Outcome>,
}

/// The prompt for generation.
const PROMPT: &str =
    " = Robert Boulter = \n Robert Boulter is an English film , television and theatre actor .";
const NEW_TOKENS: &str = "12";

impl Reference {
    pub(super) fn make(bench: &Bench<'_>, row: &Row) -> Result<Self> {
        if row.work == Work::Refused {
            return Ok(Self { outcome: None });
        }
        let folder = bench.folder.join("cpu").join(slug(&row.reference_name()));
        let ended = bench.start(row, &folder, true)?;
        ensure!(ended.succeeded(), "{}", ended.reason());
        Ok(Self { outcome: Some(bench.read(row, &folder, &ended)?) })
    }
}

impl Bench<'_> {
    /// Runs a row and compares it.
    pub(super) fn line(&self, row: &Row, reference: &Reference) -> Line {
        let folder = self.folder.join("rows").join(slug(&row.name));
        match self.compare(row, reference, &folder) {
            Ok(line) => line,
            Err(error) => Line::failed(row, format!("{error:#}")),
        }
    }

    fn compare(&self, row: &Row, reference: &Reference, folder: &Path) -> Result<Line> {
        let ended = self.start(row, folder, false)?;
        let mut line = Line::new(row, ended.seconds);
        line.complaints = complaints(&ended)?;
        let Some(expected) = &reference.outcome else {
            line.error = refusal(&ended).err().map(|error| format!("{error:#}"));
            return Ok(line);
        };
        if !ended.succeeded() {
            line.error = Some(ended.reason());
            return Ok(line);
        }
        let found = self.read(row, folder, &ended)?;
        line.device = found.device();
        line.measures = found.differences(expected, row)?;
        line.cells = found.lines(expected);
        if row.work == Work::Speed {
            line.error = found.check_speed(expected).err().map(|error| error.to_string());
        }
        Ok(line)
    }

    /// Writes the experiment and runs the row's command.
    fn start(&self, row: &Row, folder: &Path, reference: bool) -> Result<Ended> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let template = experiment::template(&self.root, row.experiment)?;
        let models = self.folder.join(models::FOLDER);
        // A single row may use all threads.
        let threads = if self.jobs > 1 { 1 } else { 2 };
        let text = experiment::text(&template, row, reference, &models, threads)?;
        let file = folder.join("experiment.toml");
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        let mut command = self.command(row, &file, &folder.join("results"));
        if !reference {
            if let Some(emulator) = self.emulator {
                command.envs(emulator.environment());
            }
            command.envs(row.settings.iter().copied());
        }
        process::run(command, folder, row.limit)
    }

    fn command(&self, row: &Row, file: &Path, results: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.root).env("NO_COLOR", "1");
        let (plugins, assets) = (self.root.join("plugins"), self.root.join("assets"));
        match row.work {
            Work::Run | Work::Speed | Work::Refused => {
                command.arg("run").arg(file).arg("--fresh").arg("--output").arg(results);
                command.arg("--plugins").arg(plugins).arg("--assets").arg(assets);
            }
            Work::Generate { cell } => {
                command.arg("generate").arg(file).arg("--json").args(["-p", PROMPT]);
                command.args(["-n", NEW_TOKENS]).arg("--plugins").arg(plugins);
                if let Some(cell) = cell {
                    command.args(["--cell", cell]);
                }
            }
            Work::Importance | Work::Heads => {
                let what = if row.work == Work::Heads { "heads" } else { "importance" };
                command.args(["analyze", what]).arg(file).arg("--output").arg(results);
                command.arg("--assets").arg(assets);
            }
        }
        command
    }

    fn read(&self, row: &Row, folder: &Path, ended: &Ended) -> Result<Outcome> {
        let results = folder.join("results");
        match row.work {
            Work::Run | Work::Speed => Outcome::records(&results),
            Work::Generate { .. } => Outcome::text(&fs::read_to_string(&ended.stdout)?),
            Work::Importance => Outcome::numbers(&results, "csv"),
            Work::Heads => Outcome::numbers(&results, "json"),
            Work::Refused => bail!("a row that has to fail has nothing to compare"),
        }
    }
}

/// Checks that a run without a kernel for its products ended in an error that says so.
fn refusal(ended: &Ended) -> Result<()> {
    ensure!(ended.in_time, "did not end within {:.0} s", ended.seconds);
    ensure!(ended.code.is_some_and(|code| code > 0), "expected an error, found {:?}", ended.code);
    let text = fs::read_to_string(&ended.stderr).context("standard error")?;
    ensure!(text.lines().any(|line| line.starts_with("error: ")), "{}", ended.reason());
    Ok(())
}

/// The emulator's reports of what no card would run: wrong addresses, and blocks that hang.
fn complaints(ended: &Ended) -> Result<Vec<String>> {
    let text = fs::read(&ended.stderr).context("standard error")?;
    let text = String::from_utf8_lossy(&text);
    let told = text.lines().filter(|line| line.starts_with("cuda-emulator: "));
    let codes = ["(error 700)", "(error 716)", "(error 719)", "threads met at different"];
    let severe = told.filter(|line| codes.iter().any(|code| line.contains(code)));
    Ok(severe.map(str::to_owned).collect())
}

/// Replaces everything except letters, digits and points by hyphens.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() || letter == '.' {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: Option<i32>, in_time: bool, said: &str) -> (Ended, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let stderr = folder.path().join("stderr.txt");
        fs::write(&stderr, said).unwrap();
        let stdout = folder.path().join("stdout.txt");
        (Ended { code, in_time, seconds: 1.0, stdout, stderr }, folder)
    }

    #[test]
    fn names_become_folders() {
        assert_eq!(slug("mma.sync on sm_80: links bf16"), "mma.sync-on-sm-80-links-bf16");
        assert_eq!(slug("EMU_REFUSE-wmma,mma.sync"), "emu-refuse-wmma-mma.sync");
    }

    #[test]
    fn a_refusal_is_an_error_in_time() {
        assert!(refusal(&ended(Some(2), true, "x\nerror: no kernel\n").0).is_ok());
        for (code, in_time, said) in [
            (Some(0), true, "error: x\n"),
            (None, false, "error: x\n"),
            (None, true, "error: x\n"),
            (Some(101), true, "thread panicked\n"),
        ] {
            assert!(refusal(&ended(code, in_time, said).0).is_err(), "{code:?} {said}");
        }
    }

    #[test]
    fn severe_complaints_are_found_among_harmless_ones() {
        let said = "cuda-emulator: device attribute 5 was asked for and is 0 (error 0)\n\
                    cuda-emulator: k: block (0, 0, 0), thread (1, 0, 0): reads 4 bytes (error 700)\n\
                    cuda-emulator: k wants 99 bytes of shared memory, the limit is 9 (error 1)\n\
                    window 1/3 (error 700)\n";
        let (ended, _folder) = ended(Some(0), true, said);
        let found = complaints(&ended).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("reads 4 bytes"));
    }
}
