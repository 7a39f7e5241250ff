//! A model directory as Transformers writes it: config.json, safetensors, tokenizer.json.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;
use strait_hub::StandIn;

use crate::WeightsError;
use crate::bytes::FileBytes;
use crate::quantized;
use crate::safetensors::{self, INDEX_NAME, Index, SINGLE_NAME};
use crate::tensor::StoredTensor;

/// Larger JSON files are rejected. The indices of the largest models have a few megabytes.
const JSON_LIMIT_BYTES: u64 = 1 << 26;

/// The contents of a model directory.
pub(crate) struct Directory {
    pub(crate) config: Value,
    pub(crate) files: Vec<FileBytes>,
    pub(crate) tensors: Vec<StoredTensor>,
}

/// Weights that are not a model by themselves or are in an unsupported form, and what to do about them.
const OTHER_WEIGHTS: [(&str, &str); 4] = [
    (
        "adapter_config.json",
        "a LoRA adapter: merge it into its base model (`merge_and_unload` of peft) and save that",
    ),
    (
        "pytorch_model.bin",
        "pickled weights, which are not read: save the model again with Transformers, which writes safetensors",
    ),
    (
        "pytorch_model.bin.index.json",
        "pickled weights, which are not read: save the model again with Transformers, which writes safetensors",
    ),
    (
        "consolidated.00.pth",
        "weights in the publisher's own form: fetch the model in Transformers' form",
    ),
];

/// Opens the directory; a single file is preferred to shards, as in Transformers.
pub(crate) fn read(directory: &Path) -> Result<Directory, WeightsError> {
    let config = directory.join("config.json");
    if !config.is_file() {
        return Err(missing(directory, "config.json"));
    }
    let mut config = read_config(&config)?;
    quantized::read_config_beside(directory, &mut config)?;
    let single = directory.join(SINGLE_NAME);
    if single.is_file() {
        let files = vec![FileBytes::map(&single)?];
        let tensors = safetensors::read(&files)?;
        return Ok(Directory { config, files, tensors });
    }
    let index = directory.join(INDEX_NAME);
    if !index.is_file() {
        let mut files = Vec::new();
        for name in without_index(directory)? {
            files.push(FileBytes::map(&directory.join(name))?);
        }
        let tensors = safetensors::read(&files)?;
        return Ok(Directory { config, files, tensors });
    }
    let index = Index::read(&index)?;
    let mut files = Vec::new();
    for shard in index.shards() {
        let path = directory.join(shard);
        if !path.is_file() {
            return Err(missing(directory, &format!("the shard {shard} that {INDEX_NAME} names")));
        }
        files.push(FileBytes::map(&path)?);
    }
    let tensors = safetensors::read(&files)?;
    index.check(&files, &tensors)?;
    Ok(Directory { config, files, tensors })
}

/// The weight files when neither a known name nor an index identifies them: the only safetensors file, or all
/// shards of one model.
fn without_index(directory: &Path) -> Result<Vec<String>, WeightsError> {
    let expected = format!("{SINGLE_NAME} or {INDEX_NAME}");
    let mut names = names_in(directory);
    if let Some((name, way_out)) =
        OTHER_WEIGHTS.iter().find(|(name, _)| names.iter().any(|found| found == name))
    {
        return Err(WeightsError::MissingFile {
            directory: directory.to_path_buf(),
            expected,
            found: format!("{name}: {way_out}"),
        });
    }
    names.retain(|name| name.ends_with(".safetensors"));
    let shards = names.first().and_then(|name| shard_names(name));
    match (names.as_slice(), shards) {
        (_, Some(shards)) => match shards.iter().find(|shard| !names.contains(shard)) {
            None if shards.len() == names.len() => Ok(names),
            None => Err(missing(directory, &expected)),
            Some(shard) => {
                Err(missing(directory, &format!("{shard}, one of {} shards,", shards.len())))
            }
        },
        ([_], None) => Ok(names),
        _ => Err(missing(directory, &expected)),
    }
}

/// The names of all shards of a model in order, given the name of one of them.
fn shard_names(name: &str) -> Option<Vec<String>> {
    let stem = name.strip_suffix(".safetensors")?;
    let parts = crate::gguf::part_names(&format!("{stem}.gguf"))?;
    Some(parts.iter().map(|part| part.replace(".gguf", ".safetensors")).collect())
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

/// Reads `config.json`, which must be an object.
pub(crate) fn read_config(path: &Path) -> Result<Value, WeightsError> {
    let object: serde_json::Map<String, Value> = read_json(path, "the model configuration")?;
    Ok(Value::Object(object))
}

/// Reads a JSON file of bounded size.
pub(crate) fn read_json<T: DeserializeOwned>(
    path: &Path,
    what: &'static str,
) -> Result<T, WeightsError> {
    let io = |action| move |source| WeightsError::Io { action, path: path.to_path_buf(), source };
    let file = File::open(path).map_err(io("open"))?;
    let mut text = Vec::new();
    file.take(JSON_LIMIT_BYTES + 1).read_to_end(&mut text).map_err(io("read"))?;
    if text.len() as u64 > JSON_LIMIT_BYTES {
        return Err(WeightsError::TooLarge {
            path: path.to_path_buf(),
            what: format!("length of {what} in bytes"),
            limit: JSON_LIMIT_BYTES,
            found: text.len() as u64,
        });
    }
    if let Some(what) = StandIn::of(&text) {
        return Err(WeightsError::StandIn { path: path.to_path_buf(), what });
    }
    serde_json::from_slice(&text).map_err(|source| WeightsError::Json {
        path: path.to_path_buf(),
        what,
        source,
    })
}

/// The error for a missing file, with what was found instead.
fn missing(directory: &Path, expected: &str) -> WeightsError {
    let names = names_in(directory);
    let gguf = names.iter().find(|name| name.to_lowercase().ends_with(".gguf"));
    let found = match (gguf, names.as_slice()) {
        (Some(name), _) => format!("{name}: give that file itself as the model source"),
        (None, []) => "nothing".to_owned(),
        (None, names) if names.len() > 8 => {
            format!("{} and {} more", names[..8].join(", "), names.len() - 8)
        }
        (None, names) => names.join(", "),
    };
    WeightsError::MissingFile {
        directory: directory.to_path_buf(),
        expected: expected.to_owned(),
        found,
    }
}
