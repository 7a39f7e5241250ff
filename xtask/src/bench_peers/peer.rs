//! The peer's process: `xtask/peers/peer.py`, which loads its models once and answers requests.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::job::Job;
use super::outcome::{BASELINE, Score, Sitting};

/// The peer's name in the figures.
pub(super) const NAME: &str = "PyTorch, Transformers (sdpa) and forward hooks";

/// The joined text, which the peer leaves in the scratch folder for programs that cannot read
/// Parquet.
pub(super) const TEXT_FILE: &str = "text.txt";

/// Number of lines of the peer's own messages that an error shows.
const SHOWN: usize = 12;

/// A running peer.
#[derive(Debug)]
pub(super) struct Peer {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// The file that receives the peer's messages.
    log: PathBuf,
    facts: Facts,
}

/// The peer's description of itself.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Facts {
    pub(super) python: String,
    pub(super) torch: String,
    pub(super) transformers: String,
    pub(super) threads: usize,
    pub(super) tokens_sha256: String,
}

/// The answer to one request.
#[derive(Debug, Deserialize)]
struct Pass {
    seconds: f64,
    nll: f64,
    scored: u64,
}

impl Peer {
    /// Starts the peer and waits until it has tokenised the text.
    pub(super) fn start(
        root: &Path,
        python: &Path,
        model: &Path,
        text: &Path,
        scratch: &Path,
        tokens: u32,
        threads: Option<u32>,
    ) -> Result<Self> {
        let log = scratch.join("peer.log");
        let messages = File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = Command::new(python);
        command.arg(root.join("xtask/peers/peer.py"));
        command.arg("--model").arg(model).arg("--text").arg(text);
        command.arg("--save-text").arg(scratch.join(TEXT_FILE));
        command.arg("--tokens").arg(tokens.to_string());
        if let Some(threads) = threads {
            command.arg("--threads").arg(threads.to_string());
        }
        let mut child = command
            .env("HF_HUB_OFFLINE", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("TQDM_DISABLE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(messages)
            .spawn()
            .with_context(|| format!("starting {}", python.display()))?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the peer was started without pipes");
        };
        let mut answers = BufReader::new(answers);
        let facts = read(&mut answers, &log)?;
        Ok(Self { child, requests, answers, log, facts })
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Runs the whole model once for each cell of the job.
    pub(super) fn run(&mut self, job: &Job, scored_only: bool) -> Result<Sitting> {
        let codecs = job.codecs();
        let mut sitting = Sitting { seconds: 0.0, scores: Vec::new() };
        let baseline = (BASELINE, Value::Null, json!({}));
        let cells = codecs.iter().map(|codec| (codec.label, json!(codec.id), codec.params.clone()));
        for (label, codec, params) in std::iter::once(baseline).chain(cells) {
            let request = json!({
                "dtype": if job.dtype == "bf16" { "bfloat16" } else { "float32" },
                "cuts": job.cuts,
                "codec": codec,
                "params": params,
                "scored_only": scored_only,
            });
            // If the peer has ended, `read` reports it, in the peer's own words.
            let _ = writeln!(self.requests, "{request}").and_then(|()| self.requests.flush());
            let pass: Pass =
                read(&mut self.answers, &self.log).with_context(|| label.to_owned())?;
            sitting.seconds += pass.seconds;
            let (nll, scored) = (pass.nll, pass.scored);
            sitting.scores.push(Score { label: label.to_owned(), nll, scored });
        }
        Ok(sitting)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may already have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read<T: DeserializeOwned>(answers: &mut impl BufRead, log: &Path) -> Result<T> {
    let mut line = String::new();
    answers.read_line(&mut line).context("reading the peer's answer")?;
    if line.is_empty() {
        let messages = fs::read_to_string(log).unwrap_or_default();
        bail!("the peer ended; the last lines of {}:\n{}", log.display(), last_lines(&messages));
    }
    serde_json::from_str(&line).with_context(|| format!("the peer answered {:?}", line.trim_end()))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_one_line_each() {
        let mut answers = &b"{\"seconds\": 1.5, \"nll\": 20.0, \"scored\": 7}\nToken\n"[..];
        let pass: Pass = read(&mut answers, Path::new("peer.log")).unwrap();
        assert_eq!((pass.seconds, pass.nll, pass.scored), (1.5, 20.0, 7));
        let error = format!("{:#}", read::<Pass>(&mut answers, Path::new("p")).unwrap_err());
        assert!(error.starts_with("the peer answered \"Token\""), "{error}");
    }

    #[test]
    fn a_peer_that_ended_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("peer.log");
        let messages: String = (0..20).map(|i| format!("line {i}\n")).collect();
        fs::write(&log, messages + "ImportError: no torch\n").unwrap();
        let error = read::<Pass>(&mut &b""[..], &log).unwrap_err().to_string();
        assert!(error.ends_with("line 19\nImportError: no torch"), "{error}");
        assert_eq!(error.lines().count(), 1 + SHOWN);
    }
}
