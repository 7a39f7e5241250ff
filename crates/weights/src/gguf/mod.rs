//! GGUF, versions 2 and 3: metadata, tensor descriptions and tensor data, in one file or in several.

mod architecture;
mod config;
mod cursor;
mod harmless;
mod header;
mod metadata;
mod names;
mod parts;
mod rope;
mod rope_factors;
mod split;
mod types;

use std::collections::HashSet;

use serde_json::Value;

use crate::WeightsError;
use crate::bytes::FileBytes;
use crate::tensor::StoredTensor;
use crate::unread::Unread;
use architecture::UNKNOWN;
use header::RawTensor;
use parts::Splitter;

pub(crate) use metadata::Metadata;
pub(crate) use split::{open_all, part_names};

/// The four bytes with which a GGUF file begins.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";

/// The contents of GGUF files besides tensor data.
pub(crate) struct Gguf {
    /// The metadata of the first file.
    pub(crate) metadata: Metadata,
    pub(crate) config: Value,
    pub(crate) tensors: Vec<StoredTensor>,
    /// Names of tensors that were merged into others or into the configuration.
    pub(crate) read: HashSet<String>,
    /// Keys about the model that were never requested.
    pub(crate) unread: Vec<Unread>,
    /// What is quantized besides weights, for messages.
    pub(crate) weights_only: Vec<String>,
}

/// Reads and checks the headers of `files`, which together are one model, maps names to Hugging Face's, and
/// builds the configuration.
pub(crate) fn read(files: &[FileBytes]) -> Result<Gguf, WeightsError> {
    let (metadata, raw) = headers(files)?;
    let name = metadata.require_text("general.architecture")?;
    let known = config::architecture(&metadata, name)?;
    let mut config = config::build(&metadata, name, known, &raw)?;

    let splitter = Splitter::new(files, &metadata, &raw, known.unwrap_or(&UNKNOWN), &config);
    let mut tensors = Vec::with_capacity(raw.len());
    let mut sources = Vec::with_capacity(raw.len());
    let mut read = HashSet::new();
    let mut weights_only = Vec::new();
    for raw in &raw {
        let parts = splitter.split(raw)?;
        sources.resize(sources.len() + parts.len(), raw);
        let of_inputs = raw.name.ends_with(".input_scale");
        if of_inputs && weights_only.is_empty() {
            weights_only.push(format!("input activations {}", raw.kind.name));
        }
        if of_inputs || splitter.is_factor(raw) {
            read.extend(parts.iter().map(|part| part.info.name.clone()));
        }
        tensors.extend(parts);
    }
    let names = tensors.iter().map(|tensor| tensor.info.name.as_str());
    names::check_unique(metadata.path(), names.zip(sources))?;
    if config.get("rope_scaling").is_some_and(Value::is_null) {
        let scaling = scaling_in_tensors(files, &metadata, &config, name, &tensors)?;
        if !scaling.is_null() || tensors.iter().any(|t| t.info.name == rope_factors::NAME) {
            read.extend(
                [rope_factors::NAME]
                    .into_iter()
                    .chain(rope_factors::LONG_AND_SHORT)
                    .map(str::to_owned),
            );
        }
        config["rope_scaling"] = scaling;
    }
    let unread = metadata.unread(&format!("{name}."), harmless::KEYS);
    Ok(Gguf { config, tensors, read, unread, weights_only, metadata })
}

/// The metadata of the first file, and the tensors of all.
fn headers(files: &[FileBytes]) -> Result<(Metadata, Vec<RawTensor>), WeightsError> {
    let mut metadata = None;
    let mut tensors = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let header = header::read(file, number)?;
        tensors.extend(header.tensors);
        metadata.get_or_insert(header.metadata);
    }
    let metadata = metadata.ok_or(WeightsError::NotAModel {
        path: Default::default(),
        expected: "a GGUF file",
        found: "none".to_owned(),
    })?;
    split::check_tensors(&metadata, tensors.len())?;
    Ok((metadata, tensors))
}

/// The value of `rope_scaling` if it is stored as factors in tensors, or null.
fn scaling_in_tensors(
    files: &[FileBytes],
    metadata: &Metadata,
    config: &Value,
    architecture: &str,
    tensors: &[StoredTensor],
) -> Result<Value, WeightsError> {
    let factors = |name: &str| {
        let tensor = tensors.iter().find(|tensor| tensor.info.name == name);
        tensor.map(|tensor| tensor.dense(&files[tensor.file], metadata.path())).transpose()
    };
    if let Some(factors) = factors(rope_factors::NAME)? {
        let theta = config["rope_theta"].as_f64().unwrap_or(rope::DEFAULT_THETA);
        return Ok(rope_factors::scaling(&factors.data, theta));
    }
    let [long, short] = rope_factors::LONG_AND_SHORT.map(factors);
    let (Some(long), Some(short)) = (long?, short?) else {
        return Ok(Value::Null);
    };
    let length = |key: &str| config[key].as_f64();
    let lengths = length("max_position_embeddings").zip(length("original_max_position_embeddings"));
    let attention = metadata.number(&format!("{architecture}.rope.scaling.attn_factor"))?;
    Ok(rope_factors::longrope([&long.data, &short.data], lengths, attention))
}
