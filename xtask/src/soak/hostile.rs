//! Hostile plugins among good cells: each bad cell ends as the table of its modes says (`plugins/hostile/src/table.rs`), and the
//! good ones have the numbers that they have alone.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::Soak;
use super::bench::{Bench, EXPERIMENT, Records, wrong_number};
use super::tally::Part;

const RUNS: u64 = 100;
/// Bad cells of a run.
const BAD: usize = 4;
/// Of a call, in seconds: several modes hang.
const TIMEOUT_S: u64 = 2;

/// One thing that the plugin does wrong, and what becomes of its cell.
#[derive(Debug, Deserialize)]
struct Mode {
    id: String,
    params: String,
    outcome: String,
    words: String,
}

const HEAD: &str = "[run]\nthreads = 2\ncall_timeout_s = ";
const GOOD: &str = "[partition]\ncuts = [3]\n[[compressor]]\ncodec = \"affine\"\n";
const LAST: &str = "[[compressor]]\nlabel = \"last\"\ncodec = \"affine\"\nparams = { bits = 4 }\n";

pub(super) fn run(soak: &Soak) -> Result<Vec<Part>> {
    let modes: Vec<Mode> = serde_json::from_str(&soak.modes).context("the table of modes")?;
    ensure!(modes.len() >= BAD, "expected {BAD} hostile modes, found {}", modes.len());
    let good = format!("{HEAD}{TIMEOUT_S}\n{GOOD}");
    let bench = Bench::small(soak, "hostile", 700, &format!("{good}{LAST}"))?;
    bench.add_plugin(&soak.hostile)?;
    let (expected, _) = bench.undisturbed()?;
    let alone = std::fs::read_to_string(bench.folder.join(EXPERIMENT))?;
    let head = alone.strip_suffix(LAST).context("the experiment ends in its last cell")?;

    let mut part = Part::new(format!("runs of {BAD} hostile cells among good ones"));
    let mut cells = Part::new("their hostile cells");
    for index in 0..soak.count(RUNS) {
        let mut dice = soak.dice("hostile", index);
        let mut left: Vec<&Mode> = modes.iter().collect();
        // Two cells with one codec and the same parameters are one cell, which is an error of its own.
        let bad: Vec<&Mode> = (0..BAD).map(|_| left.swap_remove(dice.below(left.len()))).collect();
        let text: String = bad.iter().enumerate().map(|(at, mode)| cell(at, mode)).collect();
        bench.write(EXPERIMENT, &format!("{head}{text}{LAST}"))?;
        bench.remove("results")?;
        let ended = bench.run("results", None)?;
        let records = bench.records("results")?;
        let failing = bad.iter().any(|mode| ["fails", "ends"].contains(&mode.outcome.as_str()));
        let verdict = good_cells(&expected, &records).or_else(|| {
            // Panics of a plugin are its own, and it may write to the terminal what it likes.
            let code = Some(i32::from(failing));
            (ended.code != code).then(|| format!("exit code {:?}: {}", ended.code, ended.stderr))
        });
        let wrong = match verdict {
            Some(wrong) => vec![wrong],
            None => bad
                .iter()
                .enumerate()
                .filter_map(|(at, mode)| bad_cell(at, mode, &records, &mut cells))
                .collect(),
        };
        if wrong.is_empty() {
            part.count("good cells right, bad ones by name");
        } else {
            let kept =
                soak.keep(&bench.folder.join(EXPERIMENT), &format!("hostile-{index}.toml"))?;
            part.wrong(wrong.join("; "), Some(kept));
        }
        if part.is_hopeless() {
            break;
        }
    }
    cells.seconds = Some(0.0);
    Ok(vec![part, cells])
}

fn label(at: usize, mode: &Mode) -> String {
    format!("bad {at} {}", mode.id)
}

fn cell(at: usize, mode: &Mode) -> String {
    let Mode { id, params, .. } = mode;
    let press = id == "hostile.press";
    let (table, key) = if press { ("cache", "press") } else { ("compressor", "codec") };
    let ratio = if press { "ratio = 0.5\n" } else { "" };
    let label = label(at, mode);
    format!("[[{table}]]\nlabel = {label:?}\n{key} = {id:?}\n{ratio}params = {{ {params} }}\n")
}

/// Whether the good cells have the numbers that they have alone.
fn good_cells(expected: &Records, records: &Records) -> Option<String> {
    let missing = expected
        .iter()
        .find(|(id, _)| records.get(*id).is_none_or(|record| record["status"] != "finished"));
    if let Some((_, record)) = missing {
        return Some(format!("the good cell {} did not finish", record["label"]));
    }
    wrong_number(expected, records)
}

/// What is wrong with the record of a hostile cell; counts its outcome otherwise.
fn bad_cell(at: usize, mode: &Mode, records: &Records, cells: &mut Part) -> Option<String> {
    let label = label(at, mode);
    let by_label: BTreeMap<&str, &Value> =
        records.values().filter_map(|record| Some((record["label"].as_str()?, record))).collect();
    let what = format!("{label} {{ {} }}", mode.params);
    let Some(record) = by_label.get(label.as_str()) else {
        return Some(format!("{what}: no record"));
    };
    let (reason, warnings) = (record["reason"].as_str().unwrap_or(""), &record["warnings"]);
    let warnings: Vec<&str> =
        warnings.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let finished = record["status"] == "finished";
    let (right, outcome) = match mode.outcome.as_str() {
        "fails" => (!finished && reason.contains(&mode.words), "failed by name"),
        "ends" => {
            (!finished && reason.contains(&mode.words), "ended the process and failed by name")
        }
        "warns" => (finished && warnings.iter().any(|w| w.contains(&mode.words)), "warned of"),
        _ => (finished, "did no harm"),
    };
    if right {
        cells.count(outcome);
        return None;
    }
    Some(format!(
        "{what}: {} {reason:?} {warnings:?}, expected {} {:?}",
        record["status"], mode.outcome, mode.words
    ))
}
