//! safetensors: a JSON header and raw little-endian values; one file or several joined by an index.

mod header;
mod index;

use std::collections::{HashMap, HashSet};

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
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut copies = HashSet::new();
    for (at, tensor) in tensors.iter().enumerate() {
        let Some(other) = first.get(tensor.info.name.as_str()) else {
            first.insert(&tensor.info.name, at);
            continue;
        };
        let other = &tensors[*other];
        if !same(files, tensor, other) {
            return Err(WeightsError::Invalid {
                path: files[tensor.file].path.clone(),
                what: format!("tensor \"{}\"", tensor.info.name),
                expected: "a tensor of one file, or the same bytes in each".to_owned(),
                found: format!("the same name in {}", files[other.file].path.display()),
            });
        }
        copies.insert(at);
    }
    let mut at = 0;
    tensors.retain(|_| {
        at += 1;
        !copies.contains(&(at - 1))
    });
    Ok(tensors)
}

/// Whether two tensors are stored identically, to the last bit.
fn same(files: &[FileBytes], one: &StoredTensor, other: &StoredTensor) -> bool {
    let bytes = |tensor: &StoredTensor| {
        let end = tensor.start.checked_add(usize::try_from(tensor.info.stored_bytes).ok()?)?;
        files[tensor.file].get(tensor.start..end)
    };
    one.info.format == other.info.format
        && one.info.shape == other.info.shape
        && bytes(one).is_some_and(|one| Some(one) == bytes(other))
}
