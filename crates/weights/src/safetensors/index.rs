//! `model.safetensors.index.json`: which shard holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::WeightsError;
use crate::bytes::FileBytes;
use crate::directory::read_json;
use crate::tensor::StoredTensor;

/// The index's file name.
pub(crate) const INDEX_NAME: &str = "model.safetensors.index.json";

/// A parsed index.
pub(crate) struct Index {
    path: PathBuf,
    shard_of: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Document {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    /// Reads the index at `path`; every shard must be a plain file name.
    pub(crate) fn read(path: &Path) -> Result<Self, WeightsError> {
        let Document { weight_map } = read_json(path, "the shard index")?;
        for (tensor, shard) in &weight_map {
            let mut parts = Path::new(shard).components();
            if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
                return Err(WeightsError::Invalid {
                    path: path.to_path_buf(),
                    what: format!("shard of \"{tensor}\""),
                    expected: "a file name in the same directory".to_owned(),
                    found: format!("\"{shard}\""),
                });
            }
        }
        Ok(Self { path: path.to_path_buf(), shard_of: weight_map })
    }

    /// The shards' file names, sorted and without repetition.
    pub(crate) fn shards(&self) -> BTreeSet<&str> {
        self.shard_of.values().map(String::as_str).collect()
    }

    /// Rejects a tensor in a shard other than the one the index names. Tensors that the index does not name are
    /// kept. Those that it names and that no shard contains may belong to an older version of the model; they
    /// are reported as missing when requested.
    pub(crate) fn check(
        &self,
        files: &[FileBytes],
        tensors: &[StoredTensor],
    ) -> Result<(), WeightsError> {
        let found: BTreeMap<&str, &Path> = tensors
            .iter()
            .map(|tensor| (tensor.info.name.as_str(), files[tensor.file].path.as_path()))
            .collect();
        for (tensor, shard) in &self.shard_of {
            let Some(holder) = found.get(tensor.as_str()).copied() else {
                log::debug!("{}: no shard has \"{tensor}\"", self.path.display());
                continue;
            };
            if holder.file_name() != Some(shard.as_ref()) {
                return Err(WeightsError::Invalid {
                    path: self.path.clone(),
                    what: format!("tensor \"{tensor}\""),
                    expected: format!("it in {shard}"),
                    found: format!("it in {}", holder.display()),
                });
            }
        }
        Ok(())
    }
}
