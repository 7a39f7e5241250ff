//! Damaged files in the hands of the program as a user runs it: a model, its configuration and tokenizer, an experiment, a
//! record, a journal.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::bench::{Bench, EXPERIMENT, Records, difference, wrong_number};
use super::ended::{self, Ended};
use super::tally::Part;
use super::{Soak, copy_folder};
use crate::test::now;

/// Mutations of each kind of file.
const EACH: u64 = 200;
/// Made at a time, so that they need little room.
const AT_A_TIME: u64 = 50;

/// A file of a bench and what is done with its damaged copies.
struct Way {
    kind: &'static str,
    what: &'static str,
    /// The whole file.
    file: PathBuf,
    run: fn(&Whole<'_>, &Path) -> Result<Verdict>,
}

/// A bench in which everything is whole.
struct Whole<'a> {
    bench: Bench<'a>,
    records: Records,
    /// What `strait table` prints about them.
    table: String,
    /// The file that is damaged.
    file: PathBuf,
}

/// How a command took a damaged file: an outcome that is as it must be, or what was wrong.
type Verdict = Result<&'static str, String>;

pub(super) fn run(soak: &Soak) -> Result<Vec<Part>> {
    let bench = Bench::tiny(soak, "files")?;
    let (records, _) = bench.undisturbed()?;
    let table = table(&bench, "undisturbed")?;
    ensure!(table.complaint(&[0]).is_none(), "{}", table.stderr);
    fs::copy(soak.root.join("fuzz/corpus/gguf/sentence-piece"), bench.folder.join("model.gguf"))?;
    let first = |files: Vec<PathBuf>| files.into_iter().next().context("a run that left no file");
    let record = first(bench.files("undisturbed", "json")?)?;
    let journal = first(bench.files("undisturbed/journal", "bin")?)?;
    let mut whole = Whole { bench, records, table: table.stdout, file: PathBuf::new() };
    let in_folder = |name: &str| whole.bench.folder.join(name);
    let ways = [
        way("safetensors", "model.safetensors", in_folder("model/model.safetensors"), run_with),
        way("config", "config.json", in_folder("model/config.json"), run_with),
        way("tokenizer", "tokenizer.json", in_folder("model/tokenizer.json"), run_with),
        way("gguf", "GGUF files under `strait inspect`", in_folder("model.gguf"), inspect),
        way("experiment", "experiment files", in_folder(EXPERIMENT), run_with),
        way("record", "records under `strait table`", record, table_with),
        way("journal", "journals", journal, go_on_with),
    ];
    let mut parts = Vec::new();
    for way in &ways {
        whole.file.clone_from(&way.file);
        parts.push(damage(soak, &whole, way)?);
    }
    Ok(parts)
}

fn way(
    kind: &'static str,
    what: &'static str,
    file: PathBuf,
    run: fn(&Whole<'_>, &Path) -> Result<Verdict>,
) -> Way {
    Way { kind, what, file, run }
}

/// Hands a number of damaged copies to the program.
fn damage(soak: &Soak, whole: &Whole<'_>, way: &Way) -> Result<Part> {
    let begin = now();
    let what = if way.what.contains('`') {
        way.what.to_owned()
    } else {
        format!("{} under `strait run`", way.what)
    };
    let mut part = Part::new(format!("damaged {what}"));
    let seed = soak.folder.join("work").join(format!("whole-{}", way.kind));
    let original = fs::read(&whole.file).with_context(|| whole.file.display().to_string())?;
    fs::write(&seed, &original)?;
    // Apart from those that the library reads.
    let name = format!("program {}", way.kind);
    let count = soak.count(EACH);
    for from in (0..count).step_by(AT_A_TIME as usize) {
        let some = AT_A_TIME.min(count - from);
        let folder = soak.mutations(&name, from, some, std::slice::from_ref(&seed))?;
        for index in from..from + some {
            let damaged = folder.join(index.to_string());
            match (way.run)(whole, &damaged)? {
                Ok(outcome) => part.count(outcome),
                Err(wrong) => {
                    let kept = soak.keep(&damaged, &format!("program-{}-{index}", way.kind))?;
                    part.wrong(format!("{index}: {wrong}"), Some(kept));
                }
            }
            if part.is_hopeless() {
                break;
            }
        }
        fs::remove_dir_all(folder)?;
    }
    fs::write(&whole.file, original)?;
    part.seconds = Some(begin.elapsed().as_secs_f64());
    Ok(part)
}

/// Puts the damaged file into its place and runs the experiment: a run that ends has the right numbers, or another identity.
fn run_with(whole: &Whole<'_>, damaged: &Path) -> Result<Verdict> {
    fs::copy(damaged, &whole.file)?;
    whole.bench.remove("damaged")?;
    let ended = whole.bench.run("damaged", None)?;
    let records = whole.bench.records("damaged")?;
    Ok(judge(&ended, whole, &records))
}

fn judge(ended: &Ended, whole: &Whole<'_>, records: &Records) -> Verdict {
    if let Some(complaint) = ended.complaint(&[0, 1, 2]) {
        return Err(complaint);
    }
    if let Some(wrong) = wrong_number(&whole.records, records) {
        return Err(wrong);
    }
    let failed = records.values().any(|record| record["status"] == "failed");
    let same = difference(&whole.records, records).is_none();
    match (ended.code, failed) {
        (Some(2), _) => Ok("refused"),
        (Some(1), true) => Ok("failed by name"),
        (Some(0), false) if same => Ok("the same"),
        (Some(0), false) if !records.is_empty() => Ok("another cell"),
        (code, _) => {
            Err(format!("exit code {code:?} with {} records, failed: {failed}", records.len()))
        }
    }
}

fn inspect(whole: &Whole<'_>, damaged: &Path) -> Result<Verdict> {
    fs::copy(damaged, &whole.file)?;
    let file = whole.file.display().to_string();
    let mut command = whole.bench.command(&["inspect", "--layers", &file]);
    let ended = ended::run(&mut command, &whole.bench.folder, None)?;
    Ok(match ended.complaint(&[0, 2]) {
        Some(complaint) => Err(complaint),
        None if ended.code == Some(2) => Ok("refused"),
        None => Ok("described"),
    })
}

fn table(bench: &Bench<'_>, results: &str) -> Result<Ended> {
    ended::run(&mut bench.command(&["table", results]), &bench.folder, None)
}

/// A table of a folder with a damaged record: it is that of the whole ones, or something is said about the damage.
fn table_with(whole: &Whole<'_>, damaged: &Path) -> Result<Verdict> {
    fs::copy(damaged, &whole.file)?;
    let ended = table(&whole.bench, "undisturbed")?;
    Ok(match (ended.complaint(&[0, 2]), ended.code) {
        (Some(complaint), _) => Err(complaint),
        (None, Some(2)) => Ok("refused"),
        _ if ended.stdout == whole.table => Ok("the same"),
        _ if !ended.stderr.is_empty() => Ok("named"),
        _ if ended.stdout.contains("edited") => Ok("named"),
        _ => Err(format!("another table, and not a word: {}", ended.stdout)),
    })
}

/// A results folder without records and with a damaged journal: the run goes on from what is whole, and its records are the
/// same.
fn go_on_with(whole: &Whole<'_>, damaged: &Path) -> Result<Verdict> {
    let bench = &whole.bench;
    bench.remove("damaged")?;
    let journals = bench.folder.join("damaged/journal");
    copy_folder(&bench.folder.join("undisturbed/journal"), &journals)?;
    let name = whole.file.file_name().context("a journal has a file name")?;
    fs::copy(damaged, journals.join(name))?;
    let ended = bench.run("damaged", None)?;
    if let Some(complaint) = ended.complaint(&[0, 2]) {
        return Ok(Err(complaint));
    }
    if ended.code == Some(2) {
        return Ok(Ok("refused"));
    }
    Ok(match difference(&whole.records, &bench.records("damaged")?) {
        None => Ok("the same"),
        Some(what) => Err(what),
    })
}
