//! strait's side: an experiment file for each job, `strait run`, and the records that it leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::job::{JOBS, Job, WINDOW};
use super::outcome::{Score, Sitting};
use super::peer;
use crate::build_plugin;
use crate::cargo::{self, Lock, Product};
use crate::plugins;
use crate::workspace::Workspace;

/// The built program, and what its experiments have in common.
#[derive(Debug)]
pub(super) struct Strait<'a> {
    program: PathBuf,
    root: &'a Path,
    model: &'a Path,
    scratch: &'a Path,
    tokens: u32,
    threads: Option<u32>,
}

/// The result of one run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) sitting: Sitting,
    pub(super) facts: Facts,
}

/// What the records say about the run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    pub(super) version: String,
    pub(super) cpu: String,
    pub(super) threads: usize,
    pub(super) model: String,
    pub(super) model_sha256: String,
    pub(super) tokens: usize,
    pub(super) tokens_sha256: String,
}

impl<'a> Strait<'a> {
    /// Builds the plugins that the jobs need, and the program.
    pub(super) fn build(
        workspace: &'a Workspace,
        model: &'a Path,
        scratch: &'a Path,
        tokens: u32,
        threads: Option<u32>,
    ) -> Result<Self> {
        let codecs: BTreeSet<String> =
            JOBS.iter().flat_map(Job::codecs).map(|codec| codec.id.to_owned()).collect();
        let known = plugins::all(workspace)?;
        let (selected, missing) = plugins::providers(&known, &codecs);
        ensure!(missing.is_empty(), "no plugin here provides: {}", missing.join(", "));
        build_plugin::build(workspace, &selected, Lock::MayChange)?;
        let host = workspace.packages.iter().find(|package| package.name == "strait");
        let host = host.context("expected the package \"strait\" in this workspace, found none")?;
        let program = cargo::build(workspace, host, Product::Program, Lock::MayChange)?;
        Ok(Self { program, root: &workspace.root, model, scratch, tokens, threads })
    }

    /// Runs all cells of the job in one experiment, from the first window.
    pub(super) fn run(&self, job: &Job) -> Result<Run> {
        let file = self.scratch.join(format!("{}.toml", job.name));
        let folder = self.scratch.join(job.name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        fs::write(&file, self.experiment(job)?).with_context(|| file.display().to_string())?;
        let output = Command::new(&self.program)
            .arg("run")
            .arg(&file)
            .arg("--fresh")
            .arg("--output")
            .arg(&folder)
            .arg("--plugins")
            .arg(self.root.join("plugins"))
            .arg("--assets")
            .arg(self.root.join("assets"))
            .output()
            .with_context(|| format!("starting {}", self.program.display()))?;
        if !output.status.success() {
            bail!(
                "strait run {} failed:\n{}",
                file.display(),
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        read(&folder)
    }

    fn experiment(&self, job: &Job) -> Result<String> {
        let compressor = |codec: super::job::Codec| json!({"label": codec.label, "codec": codec.id, "params": codec.params});
        let compressors: Vec<Value> = job.codecs().into_iter().map(compressor).collect();
        let mut experiment = json!({
            "name": job.name,
            "model": {"source": self.model, "dtype": job.dtype, "device": "cpu"},
            "data": {"source": "wikitext-2-raw", "split": "test", "first_k_tokens": self.tokens},
            "protocol": {"preset": job.preset, "window": WINDOW},
            "partition": {"cuts": job.cuts},
            "run": {},
            "compressor": compressors,
        });
        if let Some(threads) = self.threads {
            experiment["run"]["threads"] = json!(threads);
        }
        toml::to_string(&experiment).context("writing the experiment")
    }
}

impl Facts {
    /// Checks that the peer has the same tokens.
    pub(super) fn check_tokens(&self, peer: &peer::Facts) -> Result<()> {
        ensure!(
            self.tokens_sha256 == peer.tokens_sha256,
            "strait's tokens have the SHA-256 {}, the peer's {}; both must score the same text, so \
             compare the tokenizers",
            self.tokens_sha256,
            peer.tokens_sha256
        );
        Ok(())
    }
}

/// The part of a record that is needed here.
#[derive(Debug, Deserialize)]
struct Record {
    label: String,
    reason: Option<String>,
    cell: Cell,
    environment: Environment,
    scores: Option<Scores>,
    timing: Timing,
}

#[derive(Debug, Deserialize)]
struct Cell {
    model: Model,
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Model {
    files: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Data {
    tokens: usize,
    tokens_sha256: String,
}

#[derive(Debug, Deserialize)]
struct Environment {
    strait: String,
    cpu: String,
    threads: usize,
}

#[derive(Debug, Deserialize)]
struct Scores {
    sums: Sums,
}

#[derive(Debug, Deserialize)]
struct Sums {
    n: u64,
    a: f64,
}

#[derive(Debug, Deserialize)]
struct Timing {
    wall_s: f64,
}

/// Reads all records of a results folder.
fn read(folder: &Path) -> Result<Run> {
    let mut sitting = Sitting { seconds: 0.0, scores: Vec::new() };
    let mut facts = None;
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let record: Record =
            serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let Some(Scores { sums }) = record.scores else {
            bail!("{}: the cell failed: {}", record.label, record.reason.unwrap_or_default());
        };
        sitting.seconds += record.timing.wall_s;
        sitting.scores.push(Score { label: record.label, nll: sums.a, scored: sums.n });
        if facts.is_none() {
            let model = record.cell.model.files.into_iter().next();
            let (model, model_sha256) = model.context("a record names the model's file")?;
            facts = Some(Facts {
                version: record.environment.strait,
                cpu: record.environment.cpu,
                threads: record.environment.threads,
                model,
                model_sha256,
                tokens: record.cell.data.tokens,
                tokens_sha256: record.cell.data.tokens_sha256,
            });
        }
    }
    let facts = facts.with_context(|| format!("{}: no records", folder.display()))?;
    sitting.scores.sort_by(|a, b| a.label.cmp(&b.label));
    Ok(Run { sitting, facts })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(label: &str, wall_s: f64) -> Value {
        json!({
            "label": label,
            "reason": null,
            "cell": {
                "model": {"files": {"m.gguf": "abc"}},
                "data": {"tokens": 10, "tokens_sha256": "def"},
            },
            "environment": {"strait": "0.1.0", "cpu": "X", "threads": 2},
            "scores": {"sums": {"n": 9, "a": 27.0, "b": 27.0}},
            "timing": {"wall_s": wall_s},
        })
    }

    #[test]
    fn the_time_of_a_job_is_the_sum_over_its_records() {
        let folder = tempfile::tempdir().unwrap();
        for (label, wall_s) in [("baseline", 1.5), ("bf16", 2.0)] {
            let path = folder.path().join(format!("{label}.json"));
            fs::write(path, record(label, wall_s).to_string()).unwrap();
        }
        fs::write(folder.path().join("summary.csv"), "label\n").unwrap();
        let run = read(folder.path()).unwrap();
        assert_eq!(run.sitting.seconds, 3.5);
        let labels: Vec<_> = run.sitting.scores.iter().map(|score| score.label.as_str()).collect();
        assert_eq!(labels, ["baseline", "bf16"]);
        assert_eq!((run.facts.model.as_str(), run.facts.model_sha256.as_str()), ("m.gguf", "abc"));
    }

    #[test]
    fn a_failed_cell_and_an_empty_folder_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("no records"), "{error}");
        let mut failed = record("int3 g64", 1.0);
        failed["scores"] = Value::Null;
        failed["reason"] = json!("not finite");
        fs::write(folder.path().join("a.json"), failed.to_string()).unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        assert_eq!(error, "int3 g64: the cell failed: not finite");
    }

    #[test]
    fn experiments_are_toml_with_a_table_for_each_codec() {
        let path = Path::new("m.gguf");
        let strait = Strait {
            program: PathBuf::new(),
            root: path,
            model: path,
            scratch: path,
            tokens: 4096,
            threads: Some(2),
        };
        let text = strait.experiment(&JOBS[2]).unwrap();
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["compressor"].as_array().unwrap().len(), 8);
        assert_eq!(table["compressor"][4]["params"]["bits"].as_integer(), Some(4));
        assert_eq!(table["partition"]["cuts"].as_array().unwrap().len(), 4);
        assert_eq!(table["run"]["threads"].as_integer(), Some(2));
        let alone: toml::Table = strait.experiment(&JOBS[1]).unwrap().parse().unwrap();
        assert_eq!(alone["model"]["dtype"].as_str(), Some("bf16"));
        assert_eq!(alone["compressor"].as_array().map(Vec::len), Some(0));
    }
}
