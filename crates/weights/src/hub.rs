//! Fetching a model from the Hugging Face hub into its usual cache.

use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use crate::WeightsError;
use crate::safetensors::{INDEX_NAME, Index, SINGLE_NAME};

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Where to fetch from and to.
pub(crate) struct HubSettings {
    pub(crate) endpoint: String,
    /// The folder that holds `models--owner--name`.
    pub(crate) cache: PathBuf,
    /// Access token; without it the one saved beside the cache is used, if any.
    pub(crate) token: Option<String>,
}

/// What to fetch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HubFile {
    /// `owner/name`.
    repository: String,
    /// Branch, tag or commit.
    revision: String,
    /// The GGUF file, or `None` for a directory of safetensors.
    file: Option<String>,
}

impl HubFile {
    /// Parses `owner/name[/path/file.gguf][@revision]`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, revision) = text.rsplit_once('@').unwrap_or((text, "main"));
        let parts: Vec<_> = name.split('/').collect();
        for part in parts.iter().copied().chain(revision.split('/')) {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if part.is_empty() || part == "." || part == ".." || !part.bytes().all(plain) {
                return Err(format!(
                    "\"{part}\" is not a name of letters, digits, '-', '_' and '.'"
                ));
            }
        }
        let file = match parts.as_slice() {
            [_, _] => None,
            [_, _, path @ ..] if name.to_lowercase().ends_with(".gguf") => Some(path.join("/")),
            [_, _, ..] => return Err("only a .gguf file can be named by itself".to_owned()),
            _ => return Err("the owner or the name is missing".to_owned()),
        };
        Ok(Self { repository: parts[..2].join("/"), revision: revision.to_owned(), file })
    }
}

impl HubSettings {
    /// Settings as Hugging Face's own tools find them; `variable` looks up an environment variable.
    pub(crate) fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let cache = match variable("HF_HOME") {
            Some(home) => PathBuf::from(home).join("hub"),
            None => Cache::default().path().clone(),
        };
        Self {
            endpoint: variable("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()),
            cache,
            token: variable("HF_TOKEN"),
        }
    }

    /// Fetches what is not in the cache and returns the path of the directory or GGUF file.
    pub(crate) fn fetch(&self, wanted: &HubFile) -> Result<PathBuf, WeightsError> {
        let download = Download::new(self, wanted)?;
        if let Some(file) = &wanted.file {
            return download.get(file);
        }
        let offline = download.cached("config.json");
        let config = download.get("config.json")?;
        // Without this order a sharded model in the cache would need the network to learn that no single file exists.
        let sharded = download.cached(INDEX_NAME);
        if sharded || download.get_optional(SINGLE_NAME, false)?.is_none() {
            let index = Index::read(&download.get(INDEX_NAME)?)?;
            for shard in index.shards() {
                download.get(shard)?;
            }
        }
        for file in ["tokenizer.json", "tokenizer_config.json"] {
            download.get_optional(file, offline)?;
        }
        Ok(config.parent().map(Path::to_path_buf).unwrap_or(config))
    }
}

struct Download<'a> {
    settings: &'a HubSettings,
    wanted: &'a HubFile,
    api: ApiRepo,
    repo: Repo,
}

impl<'a> Download<'a> {
    fn new(settings: &'a HubSettings, wanted: &'a HubFile) -> Result<Self, WeightsError> {
        let repo = Repo::with_revision(
            wanted.repository.clone(),
            RepoType::Model,
            wanted.revision.clone(),
        );
        let cache = Cache::new(settings.cache.clone());
        let token = settings.token.clone().or_else(|| cache.token());
        let api = ApiBuilder::from_cache(cache)
            .with_endpoint(settings.endpoint.trim_end_matches('/').to_owned())
            .with_token(token)
            .build()
            .map_err(|error| failure(settings, wanted, "anything", &error))?
            .repo(repo.clone());
        Ok(Self { settings, wanted, api, repo })
    }

    fn cached(&self, file: &str) -> bool {
        Cache::new(self.settings.cache.clone()).repo(self.repo.clone()).get(file).is_some()
    }

    fn get(&self, file: &str) -> Result<PathBuf, WeightsError> {
        log::info!("hf:{}: {file}", self.wanted.repository);
        self.api.get(file).map_err(|error| failure(self.settings, self.wanted, file, &error))
    }

    /// `None` if the repository has no such file or, with `forgive`, if it cannot be asked.
    fn get_optional(&self, file: &str, forgive: bool) -> Result<Option<PathBuf>, WeightsError> {
        match self.api.get(file) {
            Ok(path) => Ok(Some(path)),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) if forgive => {
                log::debug!("hf:{}: {file} left out: {error}", self.wanted.repository);
                Ok(None)
            }
            Err(error) => Err(failure(self.settings, self.wanted, file, &error)),
        }
    }
}

/// The HTTP status in an error, if a server answered.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match error.as_ref() {
            ureq::Error::Status(status, _) => Some(*status),
            ureq::Error::Transport(_) => None,
        },
        _ => None,
    }
}

fn failure(settings: &HubSettings, wanted: &HubFile, file: &str, error: &ApiError) -> WeightsError {
    let (reason, hint) = match status(error) {
        Some(status @ (401 | 403)) => (
            format!("it answers {status}"),
            "the repository does not exist or needs a token: check the name and set HF_TOKEN",
        ),
        Some(404) => (
            "it answers 404".to_owned(),
            "check repository, revision and file name; a private repository needs HF_TOKEN",
        ),
        Some(status) => (format!("it answers {status}"), "try again later"),
        None => (
            error.to_string(),
            "check the network, or fetch the model elsewhere and give its directory",
        ),
    };
    WeightsError::Hub {
        model: format!("hf:{}@{}", wanted.repository, wanted.revision),
        file: file.to_owned(),
        endpoint: settings.endpoint.clone(),
        reason,
        hint,
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
