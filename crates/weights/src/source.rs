//! Resolves the model source of an experiment to an existing path.

use std::path::{Path, PathBuf};

use strait_hub::{Hub, Progress, Silent};

use crate::WeightsError;
use crate::hub::HubModel;
use crate::tokenizer::{self, TokenizerSource};

/// Resolves `source` to the path of a model directory or GGUF file.
///
/// A plain path is relative to `base`. `hf:owner/name@revision` fetches configuration, tokenizer and
/// safetensors into the Hugging Face cache, `hf:owner/name/file.gguf@revision` only that file. Cached files are
/// not fetched again, and the revision defaults to `main`. The environment is read as described at
/// [`Hub::from_environment`].
///
/// # Errors
/// Nothing exists there, the source is malformed, or the hub cannot be reached or has no such file.
pub fn resolve_source(source: &str, base: &Path) -> Result<PathBuf, WeightsError> {
    resolve_source_with(source, base, &mut Silent)
}

/// Like [`resolve_source`], but reports to `progress` what it fetches.
///
/// # Errors
/// As for [`resolve_source`].
pub fn resolve_source_with(
    source: &str,
    base: &Path,
    progress: &mut dyn Progress,
) -> Result<PathBuf, WeightsError> {
    if let Some(name) = source.strip_prefix("hf:") {
        let model = HubModel::parse(name)
            .map_err(|reason| WeightsError::SourceSyntax { text: source.to_owned(), reason })?;
        let hub = Hub::from_environment(|name| std::env::var(name).ok());
        return model.fetch(&hub, progress);
    }
    let path = base.join(source);
    if path.exists() {
        return Ok(path);
    }
    let hub = HubModel::parse(source).is_ok().then(|| source.to_owned());
    Err(WeightsError::SourceNotFound { path, hub })
}

/// The tokenizer that `source` names: a `tokenizer.json`, a folder that contains one, a `.gguf` file, or
/// `hf:owner/name@revision`. A plain path is relative to `base`.
///
/// # Errors
/// As for [`resolve_source`], and if there is no tokenizer there.
pub fn resolve_tokenizer(
    source: &str,
    base: &Path,
    progress: &mut dyn Progress,
) -> Result<TokenizerSource, WeightsError> {
    if let Some(name) = source.strip_prefix("hf:") {
        let model = HubModel::parse(name)
            .map_err(|reason| WeightsError::SourceSyntax { text: source.to_owned(), reason })?;
        let hub = Hub::from_environment(|name| std::env::var(name).ok());
        return tokenizer::in_path(&model.fetch_tokenizer(&hub, progress)?);
    }
    let path = base.join(source);
    if path.exists() {
        tokenizer::in_path(&path)
    } else {
        Err(WeightsError::NoTokenizer {
            path,
            expected: "the file or folder that `tokenizer` in [model] names",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_base() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("model")).unwrap();
        let found = resolve_source("model", folder.path()).unwrap();
        assert_eq!(found, folder.path().join("model"));
        let error = resolve_source("modell", folder.path()).unwrap_err().to_string();
        let expected = format!("{}: no such model", folder.path().join("modell").display());
        assert!(error.starts_with(&expected) && !error.contains("of the hub"), "{error}");
        let error =
            resolve_source("meta-llama/Llama-3.2-1B", folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("is written \"hf:meta-llama/Llama-3.2-1B\""), "{error}");
    }

    #[test]
    fn misspelt_hub_names_are_refused() {
        for source in ["hf:", "hf:name", "hf:a/b@", "hf:a/../b", "hf:a/b/c.bin", "hf:a /b"] {
            let error = resolve_source(source, Path::new(".")).unwrap_err();
            assert!(matches!(error, WeightsError::SourceSyntax { .. }), "{source}: {error}");
        }
    }
}
