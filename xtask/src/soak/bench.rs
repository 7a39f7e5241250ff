//! A folder with a model, a text, plugins and an experiment, and the records that runs leave there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::ended::{self, Ended};
use super::{PLUGINS, Soak};
use crate::check_cuda::copy_family;

/// The experiment file.
pub(super) const EXPERIMENT: &str = "test.toml";
/// The family of the tiny model: three layers of 40 channels.
const FAMILY: &str = "qwen2";

/// A folder of its own for one part.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    soak: &'a Soak,
    pub(super) folder: PathBuf,
}

/// The records of a results folder, by identity.
pub(super) type Records = BTreeMap<String, Value>;

impl<'a> Bench<'a> {
    /// With a tiny model in `model/`, a text of some 120 windows, and cells of every kind that a run can have in two links:
    /// milliseconds.
    pub(super) fn tiny(soak: &'a Soak, name: &str) -> Result<Self> {
        let bench = Self::empty(soak, name)?;
        copy_family(&soak.root, FAMILY, &bench.folder.join("model"))?;
        let text = "The ferry turned back toward the island at nine. Nobody expected the storm. ";
        bench.write("text.txt", &text.repeat(12))?;
        bench.write(EXPERIMENT, TINY)?;
        Ok(bench)
    }

    /// With the embedded model and text: seconds. `more` ends the experiment file.
    pub(super) fn small(soak: &'a Soak, name: &str, tokens: usize, more: &str) -> Result<Self> {
        let bench = Self::empty(soak, name)?;
        let model = soak.root.join("assets/models/wiki-4m");
        let text = format!(
            "name = \"soak\"\n[model]\nsource = {:?}\ndevice = \"cpu\"\n\
             [data]\nsource = \"wikitext-2-raw\"\nfirst_k_tokens = {tokens}\n\
             [protocol]\nwindow = 256\nstride = 128\n{more}",
            model.display().to_string()
        );
        bench.write(EXPERIMENT, &text)?;
        Ok(bench)
    }

    fn empty(soak: &'a Soak, name: &str) -> Result<Self> {
        let folder = soak.folder.join("work").join(name);
        fs::create_dir_all(folder.join("plugins"))?;
        fs::create_dir_all(folder.join("model"))?;
        let bench = Self { soak, folder };
        for id in PLUGINS {
            bench.add_plugin(&soak.plugin(id))?;
        }
        Ok(bench)
    }

    pub(super) fn add_plugin(&self, library: &Path) -> Result<()> {
        let name = library.file_name().context("a library has a file name")?;
        let target = self.folder.join("plugins").join(name);
        fs::copy(library, target).with_context(|| library.display().to_string())?;
        Ok(())
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// `strait …` in this folder. It finds no hub and no colours.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        self.prepared(Command::new(&self.soak.strait), arguments)
    }

    /// The same for a program that ends by starting strait.
    pub(super) fn prepared(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.current_dir(&self.folder).args(arguments).env("NO_COLOR", "1");
        command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", self.folder.join("hub"));
        command
    }

    /// The arguments of a run whose results go to `output`.
    pub(super) fn run_arguments(&self, experiment: &str, output: &str) -> Vec<String> {
        let assets = self.soak.root.join("assets").display().to_string();
        ["run", experiment, "--assets", &assets, "-o", output].map(str::to_owned).to_vec()
    }

    /// `strait run`, killed after a while or not.
    pub(super) fn run(&self, output: &str, kill_after: Option<Duration>) -> Result<Ended> {
        self.run_of(EXPERIMENT, output, kill_after)
    }

    pub(super) fn run_of(
        &self,
        experiment: &str,
        output: &str,
        kill_after: Option<Duration>,
    ) -> Result<Ended> {
        let arguments = self.run_arguments(experiment, output);
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ended::run(&mut self.command(&words), &self.folder, kill_after)
    }

    /// The records of a run that nothing disturbs, and the seconds that it took.
    pub(super) fn undisturbed(&self) -> Result<(Records, f64)> {
        let ended = self.run("undisturbed", None)?;
        ensure!(ended.code == Some(0), "a run that nothing disturbs failed: {}", ended.stderr);
        Ok((self.records("undisturbed")?, ended.seconds))
    }

    pub(super) fn records(&self, output: &str) -> Result<Records> {
        records(&self.folder.join(output))
    }

    pub(super) fn remove(&self, output: &str) -> Result<()> {
        let path = self.folder.join(output);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// Every JSON file of a results folder and every journal, as paths.
    pub(super) fn files(&self, output: &str, extension: &str) -> Result<Vec<PathBuf>> {
        with_extension(&self.folder.join(output), extension)
    }
}

fn with_extension(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The records of a folder; none where it does not exist.
pub(super) fn records(folder: &Path) -> Result<Records> {
    let mut records = Records::new();
    if !folder.exists() {
        return Ok(records);
    }
    for path in with_extension(folder, "json")? {
        let record: Value = serde_json::from_slice(&fs::read(&path)?)
            .with_context(|| format!("{}: a run left half a record", path.display()))?;
        if let Some(id) = record["id"].as_str() {
            records.insert(id.to_owned(), record);
        }
    }
    Ok(records)
}

/// What is measured: everything but how long it took and the hash that covers that.
fn timeless(record: &Value) -> Value {
    let mut record = record.clone();
    if let Some(record) = record.as_object_mut() {
        record.retain(|key, _| !["timing", "content_sha256"].contains(&key.as_str()));
    }
    for link in record["links"].as_array_mut().into_iter().flatten() {
        if let Some(link) = link.as_object_mut() {
            link.retain(|key, _| !["encode_s", "decode_s"].contains(&key.as_str()));
        }
    }
    record
}

/// How the records of a run differ from those of one that nothing disturbed, which has the same cells.
pub(super) fn difference(expected: &Records, found: &Records) -> Option<String> {
    if !expected.keys().eq(found.keys()) {
        return Some(format!("{} records, expected {}", found.len(), expected.len()));
    }
    let mut pairs = expected.values().zip(found.values());
    let differs = pairs.find(|(expected, found)| timeless(expected) != timeless(found))?;
    let (expected, found) = (timeless(differs.0), timeless(differs.1));
    let keys = expected.as_object().into_iter().flat_map(|record| record.keys());
    let keys: Vec<&String> = keys.filter(|key| expected[*key] != found[*key]).collect();
    Some(format!("the record {} differs in {keys:?}", expected["label"]))
}

/// A finished record whose identity is that of an undisturbed one and whose numbers are not.
pub(super) fn wrong_number(expected: &Records, found: &Records) -> Option<String> {
    let numbers = |record: &Value| {
        let record = timeless(record);
        ["scores", "windows", "links"].map(|key| record[key].clone())
    };
    let wrong = found.iter().find(|(id, record)| {
        let same = expected.get(*id).is_none_or(|expected| numbers(expected) == numbers(record));
        record["status"] == "finished" && !same
    });
    wrong.map(|(id, record)| format!("other numbers under the identity {id}, {}", record["label"]))
}

/// Two links, one codec with parameters, one without, and a compressed cache.
const TINY: &str = "\
name = \"soak\"
[model]
source = \"model\"
device = \"cpu\"
[data]
source = \"text.txt\"
[protocol]
window = 48
stride = 24
[partition]
cuts = [0, 1]
[run]
threads = 1
[[compressor]]
codec = \"affine\"
params = { granularity = \"group\", group = 8 }
sweep = { bits = [8, 4] }
[[compressor]]
codec = \"raw\"
[[cache]]
press = \"knorm\"
ratio = 0.5
";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(label: &str, nll: f64, seconds: f64) -> Value {
        json!({
            "id": label, "label": label, "status": "finished", "timing": { "wall_s": seconds },
            "content_sha256": seconds.to_string(), "windows": [{ "sums": { "a": nll } }],
            "links": [{ "payload_bytes": 3, "encode_s": seconds, "decode_s": seconds }],
        })
    }

    fn of(records: &[Value]) -> Records {
        records
            .iter()
            .map(|record| (record["id"].as_str().unwrap().into(), record.clone()))
            .collect()
    }

    #[test]
    fn times_may_differ_and_numbers_may_not() {
        let expected = of(&[record("a", 1.5, 1.0), record("b", 2.5, 1.0)]);
        assert_eq!(
            difference(&expected, &of(&[record("a", 1.5, 2.0), record("b", 2.5, 3.0)])),
            None
        );
        let other = of(&[record("a", 1.5, 1.0), record("b", 2.500_000_000_000_001, 1.0)]);
        let found = difference(&expected, &other).unwrap();
        assert_eq!(found, "the record \"b\" differs in [\"windows\"]");
        assert!(wrong_number(&expected, &other).unwrap().contains("identity b"));
        let fewer = difference(&expected, &of(&[record("a", 1.5, 1.0)])).unwrap();
        assert_eq!(fewer, "1 records, expected 2");
        // Another cell has other numbers, and one that failed has none.
        assert_eq!(wrong_number(&expected, &of(&[record("c", 9.0, 1.0)])), None);
        let mut failed = record("b", 0.0, 1.0);
        failed["status"] = json!("failed");
        assert_eq!(wrong_number(&expected, &of(&[failed])), None);
    }
}
