//! GGUF, versions 2 and 3: one file with metadata, tensor descriptions and tensor data.

mod config;
mod cursor;
mod header;
mod metadata;
mod names;
mod rope_factors;
mod types;

use std::path::Path;

use serde_json::Value;

use crate::WeightsError;
use crate::bytes::FileBytes;
use crate::format::Format;
use crate::tensor::{StoredTensor, TensorInfo};

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
    let metadata = header.metadata;
    let architecture = metadata.require_text("general.architecture")?.to_owned();
    let names: Vec<_> =
        header.tensors.iter().map(|tensor| names::to_hugging_face(&tensor.name)).collect();
    names::check_unique(&file.path, &header.tensors, &names)?;
    let mut config = config::build(&metadata, &architecture, &header.tensors)?;

    let mut tensors = Vec::with_capacity(header.tensors.len());
    for (raw, name) in header.tensors.iter().zip(names) {
        // llama.cpp's converter interleaves the halves of every query and key head for this architecture only.
        let heads_key = match (architecture.as_str(), names::query_or_key(&raw.name)) {
            ("llama", Some(names::Projection::Query)) => Some("num_attention_heads"),
            ("llama", Some(names::Projection::Key)) => Some("num_key_value_heads"),
            _ => None,
        };
        let interleaved_heads = match heads_key {
            Some(key) => Some(heads(&file.path, &config, key, raw)?),
            None => None,
        };
        tensors.push(StoredTensor {
            info: TensorInfo {
                name,
                shape: raw.shape.clone(),
                format: raw.kind.name.to_owned(),
                values: raw.values,
                stored_bytes: raw.stored_bytes,
            },
            format: Format::from_name(raw.kind.name),
            file: 0,
            start: raw.start,
            interleaved_heads,
        });
    }
    if let Some(factors) = tensors.iter().find(|tensor| tensor.info.name == rope_factors::NAME)
        && config["rope_scaling"].is_null()
    {
        let theta = config["rope_theta"].as_f64().unwrap_or(config::DEFAULT_ROPE_THETA);
        let factors = factors.dense(file, &file.path)?;
        config["rope_scaling"] = rope_factors::scaling(&factors.data, theta);
    }
    Ok(Gguf { metadata, config, tensors })
}

/// The head count under `key`, checked to divide the rows of `tensor` into heads of even size.
fn heads(
    path: &Path,
    config: &Value,
    key: &str,
    tensor: &header::RawTensor,
) -> Result<usize, WeightsError> {
    let rows = tensor.shape.first().copied().unwrap_or(0);
    let heads = config[key].as_u64().and_then(|heads| usize::try_from(heads).ok());
    match heads {
        Some(heads) if heads > 0 && heads <= rows && rows % heads == 0 && rows / heads % 2 == 0 => {
            Ok(heads)
        }
        _ => Err(WeightsError::Invalid {
            path: path.to_path_buf(),
            what: format!("tensor \"{}\"", tensor.name),
            expected: format!("rows that {key} = {} divides into heads of even size", config[key]),
            found: format!("{rows} rows"),
        }),
    }
}
