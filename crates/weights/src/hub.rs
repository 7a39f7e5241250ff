//! Decides which files of a model on the Hugging Face hub are fetched.

use std::path::{Path, PathBuf};

use strait_hub::{Address, Hub, HubError, Kind, Progress, Repository};

use crate::WeightsError;
use crate::directory::read_config;
use crate::gguf;
use crate::quantized;
use crate::safetensors::{INDEX_NAME, Index, SINGLE_NAME};

/// A model on the hub.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HubModel {
    repository: Repository,
    /// The GGUF file, or `None` for a directory of safetensors.
    file: Option<String>,
}

impl HubModel {
    /// Parses `owner/name[/path/file.gguf][@revision]`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let address = Address::parse(text)?;
        let gguf = |file: &String| file.to_lowercase().ends_with(".gguf");
        if address.file.as_ref().is_some_and(|file| !gguf(file)) {
            return Err("only a .gguf file can be named by itself".to_owned());
        }
        Ok(Self { repository: address.repository(Kind::Model), file: address.file })
    }

    /// Fetches what is missing from the cache and returns the path of the directory or GGUF file.
    pub(crate) fn fetch(
        &self,
        hub: &Hub,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, WeightsError> {
        if let Some(file) = &self.file {
            return self.fetch_gguf(hub, file, progress);
        }
        let complete = hub.cached(&self.repository, "config.json").is_some();
        let config = self.get(hub, "config.json", progress)?;
        // Checking the index first lets a cached sharded model load without network access, which would be
        // needed to learn that no single file exists.
        let sharded = hub.cached(&self.repository, INDEX_NAME).is_some();
        if sharded || self.get_optional(hub, SINGLE_NAME, false, progress)?.is_none() {
            let index = Index::read(&self.get(hub, INDEX_NAME, progress)?)?;
            for shard in index.shards() {
                self.get(hub, shard, progress)?;
            }
        }
        for file in ["tokenizer.json", "tokenizer_config.json"] {
            self.get_optional(hub, file, complete, progress)?;
        }
        if quantized::may_be_beside(&read_config(&config)?) {
            for file in quantized::BESIDE {
                if self.get_optional(hub, file, complete, progress)?.is_some() {
                    break;
                }
            }
        }
        Ok(config.parent().map(Path::to_path_buf).unwrap_or(config))
    }

    /// Fetches the tokenizer alone and returns the path of its folder or GGUF file.
    pub(crate) fn fetch_tokenizer(
        &self,
        hub: &Hub,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, WeightsError> {
        if let Some(file) = &self.file {
            return self.fetch_gguf(hub, file, progress);
        }
        let path = self.get(hub, "tokenizer.json", progress)?;
        self.get_optional(hub, "tokenizer_config.json", true, progress)?;
        Ok(path)
    }

    /// Fetches a GGUF file, and the other files if the model has several.
    fn fetch_gguf(
        &self,
        hub: &Hub,
        file: &str,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, WeightsError> {
        let (folder, name) =
            file.rsplit_once('/').map_or(("", file), |(folder, name)| (folder, name));
        let Some(parts) = gguf::part_names(name) else { return self.get(hub, file, progress) };
        let separator = if folder.is_empty() { "" } else { "/" };
        let mut first = None;
        for part in parts {
            let path = self.get(hub, &format!("{folder}{separator}{part}"), progress)?;
            // Opening the model reports if a later part was named.
            if part == name {
                first = Some(path);
            }
        }
        first.map_or_else(|| self.get(hub, file, progress), Ok)
    }

    fn get(
        &self,
        hub: &Hub,
        file: &str,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, WeightsError> {
        hub.get(&self.repository, file, progress).map_err(WeightsError::from)
    }

    /// Returns `None` if the repository has no such file or, with `forgive`, if it cannot be reached.
    fn get_optional(
        &self,
        hub: &Hub,
        file: &str,
        forgive: bool,
        progress: &mut dyn Progress,
    ) -> Result<Option<PathBuf>, WeightsError> {
        match hub.get_optional(&self.repository, file, progress) {
            Err(error) if forgive => {
                log::debug!("{}: {file} left out: {error}", self.repository);
                Ok(None)
            }
            result => result.map_err(WeightsError::from),
        }
    }
}

impl From<HubError> for WeightsError {
    fn from(error: HubError) -> Self {
        Self::Hub {
            hint: error.reason.hint(),
            reason: error.reason.to_string(),
            model: error.repository,
            file: error.file,
            endpoint: error.endpoint,
        }
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
