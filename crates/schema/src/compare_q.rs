//! The specifications of ExLlamaV3's `compare_q`, a JSON file about a text and others about models, as an experiment file.
//!
//! Keys were read from `eval/compare_q.py` of [exllamav3](https://github.com/turboderp-org/exllamav3). What a key asks for
//! and this program does not do is an error, and so is a key that is not known: nothing is dropped.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml::Table;

use crate::{Dtype, Join, Preset};

/// A specification that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A file that cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Text that is not JSON.
    #[error("{}: not valid JSON: {message}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        message: String,
    },
    /// A key that is missing, unknown, or has another value than can be used.
    #[error("{}: `{key}`: expected {expected}, found {found}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key, with the number of the model in brackets.
        key: String,
        /// What could stand there.
        expected: String,
        /// What stands there.
        found: String,
    },
}

/// Names of the data sets that both programs know: theirs, ours and our split.
const SETS: [(&str, &str, &str); 6] = [
    ("wiki2", "wikitext-2-raw", "test"),
    ("wikitext2", "wikitext-2-raw", "test"),
    ("wiki103", "wikitext-103-raw", "test"),
    ("wikitext103", "wikitext-103-raw", "test"),
    ("lambada", "lambada", "test"),
    ("c4", "c4-en", "validation"),
];

/// How `compare_q` loads models. All of them are read by this program's own reader, which knows a checkpoint by what is in it.
const LOADERS: [&str; 10] = [
    "transformers",
    "transformers_auto",
    "transformers_auto_bf16",
    "transformers_mm",
    "transformers_tp",
    "exllamav2",
    "exllamav3",
    "llamacpp",
    "anyprecision",
    "qtip",
];

/// The experiment file that does what `compare_q -d data -m models…` does: the windows of its text, and the models one
/// after the other, compared with the one that has `out_logits`, or with the first.
///
/// Two things differ, both said in the file: the divergence is measured in all rows instead of the first ten, and all
/// models compute in `dtype`.
///
/// # Errors
/// When a file cannot be read, is not JSON of that form, or asks for what this program does not do.
pub fn experiment_of_specs(
    name: &str,
    data: &Path,
    models: &[PathBuf],
    dtype: Dtype,
) -> Result<String, SpecError> {
    let value = read(data)?;
    let spec = Keys::of(data, "", object(data, &value)?);
    let mut all = Vec::new();
    for path in models {
        all.extend(entries(path, dtype, &spec)?);
    }
    if let Some(reference) = all.iter().rposition(|(_, is_reference)| *is_reference) {
        let reference = all.remove(reference);
        all.insert(0, reference);
    }
    let mut table = Table::new();
    table.insert("name".to_owned(), name.into());
    table.insert("data".to_owned(), text_of(&spec)?.into());
    table.insert("protocol".to_owned(), protocol_of(&spec)?.into());
    let models: Vec<toml::Value> = all.into_iter().map(|(model, _)| model.into()).collect();
    table.insert("model".to_owned(), models.into());
    spec.nothing_else(&["display_rows", "display_eval_len", "dataset_display_name"])?;
    Ok(format!("{HEAD}\n{table}"))
}

const HEAD: &str = "\
# Made from specifications of compare_q. The divergence is that of all rows, where compare_q takes the first ten; all models
# compute in one dtype; the first model is the reference.
";

/// `[data]`.
fn text_of(spec: &Keys<'_>) -> Result<Table, SpecError> {
    let found = spec.text("dataset")?;
    let Some((_, source, split)) = SETS.iter().find(|(theirs, ..)| *theirs == found.to_lowercase())
    else {
        let known: Vec<&str> = SETS.iter().map(|(theirs, ..)| *theirs).collect();
        let ways = "or a `[data] source` of its own in the experiment file, such as \"hf:owner/name/file.parquet\"";
        return Err(spec.wrong("dataset", format!("one of {} ({ways})", known.join(", "))));
    };
    let mut table = Table::new();
    table.insert("source".to_owned(), (*source).into());
    let split = match spec.optional("dataset_split").or(spec.optional("split")) {
        Some(Value::String(split)) => split,
        _ => *split,
    };
    table.insert("split".to_owned(), split.into());
    table.insert("join".to_owned(), Join::NonEmptyBlankLine.name().into());
    let rows = [spec.count("max_text_rows")?, spec.count("max_dataset_rows")?];
    if let Some(rows) = rows.into_iter().flatten().find(|rows| *rows > 0) {
        table.insert("max_documents".to_owned(), rows.into());
    }
    Ok(table)
}

/// `[protocol]`.
fn protocol_of(spec: &Keys<'_>) -> Result<Table, SpecError> {
    spec.only("tokenize_fn", "transformers")?;
    if spec.optional("chat_template").is_some_and(|value| *value != Value::Bool(false)) {
        return Err(
            spec.wrong("chat_template", "false: rows are not put into a template here".to_owned())
        );
    }
    if spec.count("warmup_tokens")?.is_some_and(|tokens| tokens > 0) {
        return Err(
            spec.wrong("warmup_tokens", "0: every position of a row is scored here".to_owned())
        );
    }
    let mut table = Table::new();
    table.insert("preset".to_owned(), Preset::Exl3.name().into());
    for (theirs, ours) in [("eval_len", "window"), ("eval_stride", "stride")] {
        let count = spec.count(theirs)?.filter(|count| *count > 0);
        let count = count.ok_or_else(|| spec.wrong(theirs, "a number of tokens".to_owned()))?;
        table.insert(ours.to_owned(), count.into());
    }
    let windows = match spec.count("max_rows")? {
        Some(rows) if rows > 0 => rows.into(),
        _ => toml::Value::from("all"),
    };
    table.insert("max_windows".to_owned(), windows);
    Ok(table)
}

/// The models of a file as `[[model]]`, and whether each is the reference.
fn entries(path: &Path, dtype: Dtype, data: &Keys<'_>) -> Result<Vec<(Table, bool)>, SpecError> {
    let value = read(path)?;
    let found = value.as_array().filter(|entries| !entries.is_empty());
    let entries = found.ok_or_else(|| SpecError::Key {
        path: path.to_owned(),
        key: "[0]".to_owned(),
        expected: "a list of models".to_owned(),
        found: brief(Some(&value)),
    })?;
    let tokenizer = data.optional("tokenizer_dir").and_then(Value::as_str);
    let mut models = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let keys = Keys::of(path, &format!("[{index}]."), object(path, entry)?);
        let source = keys.text("model_dir")?;
        let mut model = Table::new();
        if let Some(label) = keys.optional("label") {
            let label = label.as_str().ok_or_else(|| keys.wrong("label", "a name".to_owned()))?;
            model.insert("label".to_owned(), label.into());
        }
        model.insert("source".to_owned(), source.into());
        model.insert("dtype".to_owned(), dtype.name().into());
        if let Some(tokenizer) = tokenizer.filter(|tokenizer| !same_folder(tokenizer, source)) {
            model.insert("tokenizer".to_owned(), tokenizer.into());
        }
        let loader = keys.text("load_fn")?;
        if !LOADERS.contains(&loader) {
            return Err(keys.wrong("load_fn", format!("one of {}", LOADERS.join(", "))));
        }
        let is_reference = keys.optional("out_logits").is_some();
        keys.nothing_else(&["fwd_fn", "group"])?;
        models.push((model, is_reference));
    }
    Ok(models)
}

fn same_folder(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

fn read(path: &Path) -> Result<Value, SpecError> {
    let text = fs::read_to_string(path)
        .map_err(|source| SpecError::Read { path: path.to_owned(), source })?;
    serde_json::from_str(&text)
        .map_err(|error| SpecError::Json { path: path.to_owned(), message: error.to_string() })
}

fn object<'a>(path: &Path, value: &'a Value) -> Result<&'a Map<String, Value>, SpecError> {
    value.as_object().ok_or_else(|| SpecError::Key {
        path: path.to_owned(),
        key: ".".to_owned(),
        expected: "an object".to_owned(),
        found: brief(Some(value)),
    })
}

fn brief(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    if text.chars().count() > 60 { text.chars().take(60).collect::<String>() + "…" } else { text }
}

/// The keys of an object, and which of them have been asked for.
struct Keys<'a> {
    path: &'a Path,
    prefix: String,
    object: &'a Map<String, Value>,
    asked: std::cell::RefCell<Vec<String>>,
}

impl<'a> Keys<'a> {
    fn of(path: &'a Path, prefix: &str, object: &'a Map<String, Value>) -> Self {
        let asked = std::cell::RefCell::new(Vec::new());
        Self { path, prefix: prefix.to_owned(), object, asked }
    }

    fn optional(&self, key: &str) -> Option<&Value> {
        self.asked.borrow_mut().push(key.to_owned());
        self.object.get(key).filter(|value| !value.is_null())
    }

    fn text(&self, key: &str) -> Result<&str, SpecError> {
        let found = self.optional(key).and_then(Value::as_str);
        found.ok_or_else(|| self.wrong(key, "a text".to_owned()))
    }

    fn count(&self, key: &str) -> Result<Option<i64>, SpecError> {
        let Some(value) = self.optional(key) else { return Ok(None) };
        let count = value.as_i64().filter(|count| *count >= 0);
        count.map(Some).ok_or_else(|| self.wrong(key, "a number of 0 or more".to_owned()))
    }

    fn only(&self, key: &str, allowed: &str) -> Result<(), SpecError> {
        if self.text(key)? == allowed {
            Ok(())
        } else {
            Err(self.wrong(key, format!("{allowed:?}")))
        }
    }

    /// Refuses keys that nobody has asked for and that are not among `harmless`.
    fn nothing_else(&self, harmless: &[&str]) -> Result<(), SpecError> {
        let asked = self.asked.borrow();
        let known = |key: &&String| asked.contains(key) || harmless.contains(&key.as_str());
        match self.object.keys().find(|key| !known(key)) {
            None => Ok(()),
            Some(key) => {
                let mut known: Vec<&str> = asked.iter().map(String::as_str).collect();
                known.extend(harmless);
                known.sort_unstable();
                known.dedup();
                Err(self.wrong(
                    key,
                    format!("no such key; those that are read are {}", known.join(", ")),
                ))
            }
        }
    }

    fn wrong(&self, key: &str, expected: String) -> SpecError {
        SpecError::Key {
            path: self.path.to_owned(),
            key: format!("{}{key}", self.prefix),
            expected,
            found: brief(self.object.get(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Experiment;

    const DATA: &str = r#"{"tokenize_fn": "transformers", "tokenizer_dir": "/m/hf/", "dataset": "wiki2",
        "eval_stride": 512, "eval_len": 2048, "max_rows": 20}"#;
    const GGUF: &str = r#"[
        {"model_dir": "/m/Q4_K_M.gguf", "load_fn": "llamacpp", "fwd_fn": "llamacpp", "label": "GGUF Q4_K_M"},
        {"model_dir": "/m/Q6_K.gguf", "load_fn": "llamacpp", "fwd_fn": "llamacpp", "label": "GGUF Q6_K"}]"#;
    const HF: &str = r#"[{"model_dir": "/m/hf", "load_fn": "transformers_auto", "fwd_fn": "transformers",
        "label": "HF", "out_logits": "/m/ref_logits"}]"#;

    fn made(data: &str, models: &[&str]) -> Result<String, SpecError> {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: String, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let data = write("data.json".to_owned(), data);
        let models: Vec<PathBuf> =
            models.iter().enumerate().map(|(at, text)| write(format!("{at}.json"), text)).collect();
        experiment_of_specs("x", &data, &models, Dtype::Bf16)
    }

    fn error(data: &str, models: &[&str]) -> String {
        let message = made(data, models).unwrap_err().to_string();
        let name = message.split('/').next_back().unwrap().to_owned();
        if message.starts_with('/') {
            message.split(".json").nth(1).map_or(name, str::to_owned)
        } else {
            message
        }
    }

    #[test]
    fn the_reference_comes_first_and_windows_are_those_of_the_text() {
        let text = made(DATA, &[GGUF, HF]).unwrap();
        let experiment = Experiment::parse(&text, "x.toml").unwrap();
        let names: Vec<String> = experiment.model.iter().map(crate::ModelSection::name).collect();
        assert_eq!(names, ["HF", "GGUF Q4_K_M", "GGUF Q6_K"]);
        let tokenizers: Vec<Option<&str>> =
            experiment.model.iter().map(|model| model.tokenizer.as_deref()).collect();
        assert_eq!(tokenizers, [None, Some("/m/hf/"), Some("/m/hf/")]);
        assert_eq!(experiment.protocol.preset, Preset::Exl3);
        assert_eq!(
            (experiment.protocol.window, experiment.protocol.stride),
            (Some(2048), Some(512))
        );
        assert_eq!(experiment.data.join, Some(Join::NonEmptyBlankLine));
        assert!(text.contains("max_windows = 20"), "{text}");
        let all = made(&DATA.replace(", \"max_rows\": 20", ""), &[HF]).unwrap();
        assert!(all.contains("max_windows = \"all\""), "{all}");
    }

    #[test]
    fn what_is_not_done_here_is_refused_by_name() {
        let with = |more: &str| DATA.replace("\"max_rows\"", &format!("{more}, \"max_rows\""));
        for (data, expected) in [
            (
                with("\"chat_template\": true"),
                ": `chat_template`: expected false: rows are not put into a template here, found true",
            ),
            (
                with("\"warmup_tokens\": 128"),
                ": `warmup_tokens`: expected 0: every position of a row is scored here, found 128",
            ),
            (
                with("\"eval_len\": \"2k\"").replace("\"eval_len\": 2048,", ""),
                ": `eval_len`: expected a number of 0 or more, found \"2k\"",
            ),
            (
                with("\"dataset_path\": \"a/b\""),
                ": `dataset_path`: expected no such key; those that are read are ",
            ),
            (DATA.replace("wiki2", "fineweb"), ": `dataset`: expected one of wiki2, "),
        ] {
            let found = error(&data, &[HF]);
            assert!(found.starts_with(expected), "{found}");
        }
        let found = error(DATA, &[&HF.replace("transformers_auto", "onnx")]);
        assert!(found.starts_with(": `[0].load_fn`: expected one of transformers, "), "{found}");
        let found =
            error(DATA, &[&HF.replace("\"label\"", "\"override_bpw_layer\": 4, \"label\"")]);
        assert!(found.starts_with(": `[0].override_bpw_layer`: expected no such key"), "{found}");
        assert!(error(DATA, &["{}"]).starts_with(": `[0]`: expected a list of models"));
        assert!(error("nonsense", &[HF]).starts_with(": not valid JSON: "));
    }
}
