//! The results of a row, and how far two of them differ.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kept::{self, Kept};
use super::rows::Row;

/// The results that are compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// The cells of a run by label.
    Cells(BTreeMap<String, Cell>),
    /// Generated tokens, and the bytes of the cache after the prompt.
    Text { tokens: Vec<u64>, cache_bytes: u64 },
    /// The numbers of every file by name.
    Numbers(BTreeMap<String, Vec<f64>>),
}

/// A difference, and the largest one that is accepted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Measure {
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) allowed: f64,
}

/// The part of a record about a cell that is compared.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Cell {
    id: String,
    label: String,
    reason: Option<String>,
    scores: Option<Scores>,
    windows: Vec<Window>,
    links: Vec<Link>,
    #[serde(default)]
    speed: Option<Vec<Speed>>,
    environment: Environment,
    #[serde(skip)]
    kept: Kept,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Scores {
    sums: Sums,
    kld: Divergence,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Sums {
    n: u64,
    a: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Divergence {
    mean: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Window {
    sums: Sums,
}

/// Counts that do not depend on values.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Link {
    tokens: u64,
    messages: u64,
    raw_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Speed {
    prefill_s: Vec<f64>,
    decode_s: Vec<f64>,
    cache_bytes: u64,
    peak_bytes: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Environment {
    device: String,
}

/// A cell in the table's JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct CellLine {
    label: String,
    ppl: f64,
    ppl_expected: f64,
    kld: f64,
    kld_expected: f64,
    /// Largest difference of a window's likelihood, in nats per token.
    window: f64,
    /// Share of the entries that a press kept in the place of others.
    entries: f64,
}

impl Outcome {
    /// Reads every record of a results folder.
    pub(super) fn records(folder: &Path) -> Result<Self> {
        let mut cells = BTreeMap::new();
        for (name, text) in texts(folder, "json")? {
            let mut cell: Cell = serde_json::from_str(&text).with_context(|| name.clone())?;
            cell.kept = kept::read(folder, &cell.id)?;
            cells.insert(cell.label.clone(), cell);
        }
        ensure!(!cells.is_empty(), "{}: no records", folder.display());
        Ok(Self::Cells(cells))
    }

    /// Parses the output of `strait generate --json`.
    pub(super) fn text(printed: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(printed.trim()).context("the text's JSON")?;
        let tokens = value["tokens"].as_array().context("expected `tokens`")?;
        let tokens = tokens.iter().filter_map(Value::as_u64).collect();
        let cache_bytes = value["cache_bytes"].as_u64().context("expected `cache_bytes`")?;
        Ok(Self::Text { tokens, cache_bytes })
    }

    /// Reads all numbers of the files with this extension.
    pub(super) fn numbers(folder: &Path, extension: &str) -> Result<Self> {
        let mut numbers = BTreeMap::new();
        for (name, text) in texts(folder, extension)? {
            let parts = text.split(|letter: char| ",[]{}:\"\n ".contains(letter));
            numbers.insert(name, parts.filter_map(|part| part.parse().ok()).collect());
        }
        ensure!(!numbers.is_empty(), "{}: no .{extension} files", folder.display());
        Ok(Self::Numbers(numbers))
    }

    /// The device as records name it.
    pub(super) fn device(&self) -> Option<String> {
        match self {
            Self::Cells(cells) => cells.values().next().map(|cell| cell.environment.device.clone()),
            _ => None,
        }
    }

    /// Compares with the results of the reference.
    pub(super) fn differences(&self, expected: &Self, row: &Row) -> Result<Vec<Measure>> {
        let tolerance = row.tolerance();
        match (self, expected) {
            (Self::Cells(found), Self::Cells(expected)) => {
                let lines = cell_lines(found, expected)?;
                let floor = row.kld_floor();
                let worst = |measure: fn(&CellLine, f64) -> f64| {
                    lines.iter().map(|line| measure(line, floor)).fold(0.0, largest)
                };
                Ok(vec![
                    Measure { name: "exact", value: worst(exact), allowed: tolerance.exact },
                    Measure { name: "PPL", value: worst(ppl), allowed: tolerance.ppl },
                    Measure { name: "KLD", value: worst(kld), allowed: tolerance.kld },
                    Measure {
                        name: "other entries",
                        value: worst(|line, _| line.entries),
                        allowed: tolerance.entries,
                    },
                ])
            }
            (
                Self::Text { tokens, cache_bytes },
                Self::Text { tokens: expected, cache_bytes: bytes },
            ) => {
                ensure!(cache_bytes == bytes, "a cache of {cache_bytes} bytes, expected {bytes}");
                let pairs = tokens.iter().zip(expected);
                let same = pairs.take_while(|(found, expected)| found == expected).count();
                let other = expected.len().max(tokens.len()) - same;
                let allowed = if row.dtype == "f32" { 0.0 } else { f64::INFINITY };
                Ok(vec![Measure { name: "other tokens", value: count(other), allowed }])
            }
            (Self::Numbers(found), Self::Numbers(expected)) => {
                let value = number_difference(found, expected)?;
                Ok(vec![Measure { name: "number", value, allowed: tolerance.number }])
            }
            _ => bail!("two kinds of outcome"),
        }
    }

    /// The cells for the table's JSON.
    pub(super) fn lines(&self, expected: &Self) -> Vec<CellLine> {
        match (self, expected) {
            (Self::Cells(found), Self::Cells(expected)) => {
                cell_lines(found, expected).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// Checks that every cell has times and reports its memory; the error is what is missing.
    pub(super) fn check_speed(&self, expected: &Self) -> Result<()> {
        let (Self::Cells(found), Self::Cells(expected)) = (self, expected) else {
            bail!("expected cells");
        };
        for (label, cell) in found {
            let speed = cell.speed.as_deref().unwrap_or_default();
            let known = expected.get(label).and_then(|cell| cell.speed.as_deref());
            ensure!(!speed.is_empty(), "{label}: no speed was measured");
            for (found, expected) in speed.iter().zip(known.unwrap_or_default()) {
                let times = found.prefill_s.iter().chain(&found.decode_s);
                let timed = times.clone().count() >= 2 && times.clone().all(|time| *time > 0.0);
                ensure!(timed, "{label}: times of {:?}", times.collect::<Vec<_>>());
                ensure!(found.cache_bytes == expected.cache_bytes, "{label}: other cache_bytes");
                ensure!(found.peak_bytes.is_some(), "{label}: the device's memory is not told");
            }
        }
        Ok(())
    }
}

fn ppl(line: &CellLine, _: f64) -> f64 {
    if line.entries > 0.0 { 0.0 } else { (line.ppl / line.ppl_expected - 1.0).abs() }
}

fn kld(line: &CellLine, floor: f64) -> f64 {
    let difference = (line.kld - line.kld_expected).abs();
    if line.entries > 0.0 { 0.0 } else { difference / (line.kld_expected + floor) }
}

/// The largest difference over the windows of a lossless cell, whose divergence is 0 except for
/// rounding.
fn exact(line: &CellLine, _: f64) -> f64 {
    if line.kld_expected.abs() < LOSSLESS { line.window } else { 0.0 }
}

const LOSSLESS: f64 = 1e-9;

/// The larger value, or NaN if either is NaN.
fn largest(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn cell_lines(
    found: &BTreeMap<String, Cell>,
    expected: &BTreeMap<String, Cell>,
) -> Result<Vec<CellLine>> {
    let labels = |cells: &BTreeMap<String, Cell>| cells.keys().cloned().collect::<Vec<_>>();
    ensure!(
        labels(found) == labels(expected),
        "cells {:?}, expected {:?}",
        labels(found),
        labels(expected)
    );
    found.values().zip(expected.values()).map(|(found, expected)| found.line(expected)).collect()
}

impl Cell {
    fn scores(&self) -> Result<&Scores> {
        let reason = self.reason.as_deref().unwrap_or("no reason");
        self.scores.as_ref().with_context(|| format!("{}: failed: {reason}", self.label))
    }

    fn line(&self, expected: &Self) -> Result<CellLine> {
        let (found, known) = (self.scores()?, expected.scores().context("on the CPU")?);
        let label = &self.label;
        ensure!(found.sums.n == known.sums.n, "{label}: {} tokens scored", found.sums.n);
        ensure!(self.links == expected.links, "{label}: other messages crossed");
        ensure!(self.windows.len() == expected.windows.len(), "{label}: other windows");
        let windows = self.windows.iter().zip(&expected.windows);
        let window = windows.map(|(found, expected)| {
            (found.sums.a - expected.sums.a).abs() / count_u64(expected.sums.n.max(1))
        });
        Ok(CellLine {
            label: label.clone(),
            ppl: found.sums.perplexity(),
            ppl_expected: known.sums.perplexity(),
            kld: found.kld.mean,
            kld_expected: known.kld.mean,
            window: window.fold(0.0, largest),
            entries: kept::others(&self.kept, &expected.kept),
        })
    }
}

impl Sums {
    fn perplexity(&self) -> f64 {
        (self.a / count_u64(self.n)).exp()
    }
}

/// Largest difference of two files' numbers, relative to the largest number in the file.
fn number_difference(
    found: &BTreeMap<String, Vec<f64>>,
    expected: &BTreeMap<String, Vec<f64>>,
) -> Result<f64> {
    let mut worst = 0.0;
    for (name, expected) in expected {
        let found = found.get(name).with_context(|| format!("no {name}"))?;
        ensure!(
            found.len() == expected.len(),
            "{name}: {} numbers, expected {}",
            found.len(),
            expected.len()
        );
        let scale = expected.iter().fold(f64::MIN_POSITIVE, |scale, value| scale.max(value.abs()));
        for (found, expected) in found.iter().zip(expected) {
            worst = largest(worst, (found - expected).abs() / scale);
        }
    }
    Ok(worst)
}

/// The files of a folder with this extension, as name and text, sorted.
fn texts(folder: &Path, extension: &str) -> Result<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.extension().is_some_and(|known| known == extension) {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            texts.insert(name, text);
        }
    }
    Ok(texts)
}

fn count(value: usize) -> f64 {
    u32::try_from(value).map_or(f64::INFINITY, f64::from)
}

fn count_u64(value: u64) -> f64 {
    u32::try_from(value).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests;
