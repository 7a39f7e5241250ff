//! GGUF, versions 2 and 3: one file with metadata, tensor descriptions and tensor data.

mod architecture;
mod config;
mod cursor;
mod header;
mod metadata;
mod names;
mod parts;
mod rope;
mod rope_factors;
mod types;

use serde_json::Value;

use crate::WeightsError;
use crate::bytes::FileBytes;
use crate::tensor::StoredTensor;
use architecture::UNKNOWN;
use parts::Splitter;

pub(crate) use metadata::Metadata;

/// The four bytes a GGUF file starts with.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";

/// What a GGUF file holds besides tensor data.
pub(crate) struct Gguf {
    pub(crate) metadata: Metadata,
    pub(crate) config: Value,
    pub(crate) tensors: Vec<StoredTensor>,
}

/// Reads and checks the header of `file`, maps names to Hugging Face's, and builds the configuration.
pub(crate) fn read(file: &FileBytes) -> Result<Gguf, WeightsError> {
    let header = header::read(file)?;
    let metadata = &header.metadata;
    let name = metadata.require_text("general.architecture")?;
    let known = config::architecture(metadata, name)?;
    let mut config = config::build(metadata, name, known, &header.tensors)?;

    let splitter = Splitter::new(file, &header, known.unwrap_or(&UNKNOWN), &config);
    let mut tensors = Vec::with_capacity(header.tensors.len());
    let mut sources = Vec::with_capacity(header.tensors.len());
    for raw in &header.tensors {
        let parts = splitter.split(raw)?;
        sources.resize(sources.len() + parts.len(), raw);
        tensors.extend(parts);
    }
    let names = tensors.iter().map(|tensor| tensor.info.name.as_str());
    names::check_unique(&file.path, names.zip(sources))?;
    if config.get("rope_scaling").is_some_and(Value::is_null) {
        let scaling = scaling_in_tensors(file, metadata, &config, name, &tensors)?;
        config["rope_scaling"] = scaling;
    }
    Ok(Gguf { metadata: header.metadata, config, tensors })
}

/// `rope_scaling` where it is stored as factors in tensors, or null.
fn scaling_in_tensors(
    file: &FileBytes,
    metadata: &Metadata,
    config: &Value,
    architecture: &str,
    tensors: &[StoredTensor],
) -> Result<Value, WeightsError> {
    let factors = |name: &str| {
        let tensor = tensors.iter().find(|tensor| tensor.info.name == name);
        tensor.map(|tensor| tensor.dense(file, &file.path)).transpose()
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
