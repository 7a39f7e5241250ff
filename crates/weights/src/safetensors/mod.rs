//! safetensors: a JSON header and raw little-endian values; one file or several joined by an index.

mod header;
mod index;

use std::collections::HashMap;
use std::path::Path;

use crate::WeightsError;
use crate::bytes::FileBytes;
use crate::tensor::StoredTensor;

pub(crate) use index::{INDEX_NAME, Index};

/// The name of an unsharded model's only file.
pub(crate) const SINGLE_NAME: &str = "model.safetensors";

/// Reads and checks the headers of `files`, whose tensors together are one checkpoint.
pub(crate) fn read(files: &[FileBytes]) -> Result<Vec<StoredTensor>, WeightsError> {
    let mut tensors = Vec::new();
    for (number, file) in files.iter().enumerate() {
        tensors.extend(header::read(file, number)?);
    }
    let mut first_file: HashMap<&str, &Path> = HashMap::new();
    for tensor in &tensors {
        let path = files[tensor.file].path.as_path();
        if let Some(other) = first_file.insert(&tensor.info.name, path) {
            return Err(WeightsError::Invalid {
                path: path.to_path_buf(),
                what: format!("tensor \"{}\"", tensor.info.name),
                expected: "a tensor of one file".to_owned(),
                found: format!("the same name in {}", other.display()),
            });
        }
    }
    Ok(tensors)
}
