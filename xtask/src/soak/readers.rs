//! Thousands of damaged files of every kind, read by the library's own readers in a process that may crash (`crates/damage`).

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::tally::Part;
use super::{PLUGINS, Soak};
use crate::test::now;

/// Mutations of each kind.
const EACH: u64 = 2000;
/// A file of kilobytes takes milliseconds.
const DEADLINE: Duration = Duration::from_secs(30);
/// Of address space, in KiB: files of kilobytes explain no more.
const MEMORY_KIB: u64 = 8 << 20;

pub(super) fn run(soak: &Soak) -> Result<Vec<Part>> {
    let output = Command::new(&soak.damage).arg("kinds").output().context("strait-damage")?;
    let kinds = String::from_utf8(output.stdout)?;
    let payloads = soak.folder.join("work/payloads");
    fs::create_dir_all(&payloads)?;
    let status = Command::new(&soak.damage).arg("payloads").arg(&payloads).status()?;
    ensure!(status.success(), "strait-damage payloads failed");
    kinds.lines().map(|kind| read(soak, kind, &seeds(soak, &payloads, kind)?)).collect()
}

/// The whole files that mutations of a kind are made from: the corpus of the fuzz target, and what was built.
fn seeds(soak: &Soak, payloads: &Path, kind: &str) -> Result<Vec<PathBuf>> {
    let mut seeds = match kind {
        "payload" => files_of(payloads)?,
        "header" => PLUGINS.map(|id| soak.plugin(id)).to_vec(),
        _ => Vec::new(),
    };
    seeds.extend(files_of(&soak.root.join("fuzz/corpus").join(kind))?);
    Ok(seeds)
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

fn read(soak: &Soak, kind: &str, seeds: &[PathBuf]) -> Result<Part> {
    let begin = now();
    let mut part = Part::new(format!("damaged {} read by the library", words(kind)));
    let (count, mut first) = (soak.count(EACH), 0);
    while first < count && !part.is_hopeless() {
        first = read_some(soak, kind, seeds, first..count, &mut part)?;
    }
    part.seconds = Some(begin.elapsed().as_secs_f64());
    Ok(part)
}

fn words(kind: &str) -> &str {
    match kind {
        "safetensors" => "safetensors files",
        "quantized" => "quantized checkpoints",
        "gguf" => "GGUF files",
        "config" => "config.json",
        "tokenizer" => "tokenizer.json",
        "tokenizer_config" => "tokenizer_config.json",
        "experiment" => "experiment files",
        "record" => "records",
        "journal" => "journals",
        "header" => "plugin files",
        "payload" => "payloads",
        other => other,
    }
}

/// Reads mutations in one process until all are read or one ends it; gives the index to go on from.
fn read_some(
    soak: &Soak,
    kind: &str,
    seeds: &[PathBuf],
    indices: std::ops::Range<u64>,
    part: &mut Part,
) -> Result<u64> {
    let log = fs::File::create(soak.folder.join("work/readers.txt"))?;
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\"")]);
    command.arg(&soak.damage).args(["read", kind]);
    let numbers = [soak.seed, indices.start, indices.end - indices.start];
    command.args(numbers.map(|number| number.to_string())).args(seeds);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let mut child = command.spawn().context("starting strait-damage")?;
    let lines = lines_of(child.stdout.take().context("a pipe")?);

    let mut at = None;
    let mut bad = false;
    let ended = loop {
        match lines.recv_timeout(DEADLINE) {
            Ok(line) => match line.split_once(' ') {
                Some(("at", index)) => {
                    if at.is_some() && !bad {
                        part.count("right or refused");
                    }
                    (at, bad) = (index.parse::<u64>().ok(), false);
                }
                Some(("bad", text)) => {
                    let kept = keep(soak, kind, seeds, at.unwrap_or(indices.start))?;
                    part.wrong(text.to_owned(), Some(kept));
                    bad = true;
                }
                _ => {}
            },
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                break Some(format!("it did not return within {} s", DEADLINE.as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = child.wait()?;
                break (!status.success()).then(|| format!("it ended the process: {status}"));
            }
        }
    };
    match (ended, at) {
        (None, _) => {
            if at.is_some() && !bad {
                part.count("right or refused");
            }
            Ok(indices.end)
        }
        (Some(how), Some(at)) => {
            let kept = keep(soak, kind, seeds, at)?;
            part.wrong(format!("{at}: {how}"), Some(kept));
            Ok(at + 1)
        }
        (Some(how), None) => anyhow::bail!("strait-damage read {kind}: {how}"),
    }
}

/// The lines of a stream as they come.
fn lines_of(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn keep(soak: &Soak, kind: &str, seeds: &[PathBuf], index: u64) -> Result<PathBuf> {
    let folder = soak.mutations(kind, index, 1, seeds)?;
    soak.keep(&folder.join(index.to_string()), &format!("{kind}-{index}"))
}
