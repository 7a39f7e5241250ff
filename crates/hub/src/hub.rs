//! The hub as this machine's environment configures it, and the one way to get a file from it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Reason;
use crate::store::Store;
use crate::transfer::Transfer;
use crate::{HubError, Progress, Repository};

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Where files are fetched from and where they are stored.
#[derive(Clone, Debug)]
pub struct Hub {
    /// Base address of the hub.
    pub endpoint: String,
    /// The cache folder, which holds `models--owner--name` and `datasets--owner--name`.
    pub cache: PathBuf,
    /// Access token, if any.
    pub token: Option<String>,
    /// Whether to use the cache only.
    pub offline: bool,
    /// How often a broken download is resumed.
    pub retries: usize,
    /// Pause before the first resumption; each further pause is twice as long.
    pub pause: Duration,
}

impl Hub {
    /// Configures the hub as Hugging Face's own tools do; `variable` looks up an environment variable.
    ///
    /// The variables are `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `HF_TOKEN` or its older name `HUGGING_FACE_HUB_TOKEN`
    /// (otherwise the token saved by a login, in `HF_TOKEN_PATH` if that is set) and
    /// `HF_HUB_DISABLE_IMPLICIT_TOKEN`. The cache is the first that is set of `HF_HUB_CACHE`, its older name
    /// `HUGGINGFACE_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME` and `HOME`.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let home = variable("HF_HOME").map(PathBuf::from).unwrap_or_else(|| {
            let caches = variable("XDG_CACHE_HOME").map(PathBuf::from).unwrap_or_else(|| {
                let home = variable("HOME").map(PathBuf::from).or_else(std::env::home_dir);
                home.unwrap_or_default().join(".cache")
            });
            caches.join("huggingface")
        });
        let saved = || {
            let path = variable("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
            std::fs::read_to_string(path).ok()
        };
        let token = variable("HF_TOKEN").or_else(|| variable("HUGGING_FACE_HUB_TOKEN"));
        // A character that is invalid in a header would make every request fail.
        let token = token.or_else(saved).map(|token| token.trim().to_owned());
        let token =
            token.filter(|token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
        let cache = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE"));
        let switched_on = |value: String| {
            ["1", "ON", "YES", "TRUE"].contains(&value.to_ascii_uppercase().as_str())
        };
        let without_token = variable("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some_and(switched_on);
        Self {
            endpoint: variable("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()),
            token: token.filter(|_| !without_token),
            cache: cache.map_or_else(|| home.join("hub"), PathBuf::from),
            offline: variable("HF_HUB_OFFLINE").is_some_and(switched_on),
            retries: 5,
            pause: Duration::from_millis(500),
        }
    }

    /// The path of a file in the cache, if it is present.
    #[must_use]
    pub fn cached(&self, repository: &Repository, file: &str) -> Option<PathBuf> {
        Store::new(&self.cache, repository).get(file)
    }

    /// The path of a file in the cache; a missing file is fetched first. It lies in the folder of its commit,
    /// under its own name.
    ///
    /// # Errors
    /// The hub does not have the file or refuses it, the connection broke too often, or what arrived is not
    /// what the hub announced.
    pub fn get(
        &self,
        repository: &Repository,
        file: &str,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, HubError> {
        self.fetch(repository, file, progress).map_err(|reason| HubError {
            repository: repository.to_string(),
            file: file.to_owned(),
            endpoint: self.endpoint.clone(),
            reason: Box::new(reason),
        })
    }

    /// Like [`Hub::get`], but returns `None` for a file that the repository does not have.
    ///
    /// # Errors
    /// As for [`Hub::get`].
    pub fn get_optional(
        &self,
        repository: &Repository,
        file: &str,
        progress: &mut dyn Progress,
    ) -> Result<Option<PathBuf>, HubError> {
        match self.get(repository, file, progress) {
            Ok(path) => Ok(Some(path)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn fetch(
        &self,
        repository: &Repository,
        file: &str,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, Reason> {
        let store = Store::new(&self.cache, repository);
        if let Some(path) = store.get(file) {
            return Ok(path);
        }
        if self.offline {
            return Err(Reason::Offline);
        }
        log::info!("{repository}: {file}");
        let transfer = Transfer::new(self, repository, file);
        let remote = transfer.describe()?;
        let blob = store.blob(&remote.etag)?;
        let _lock = store.lock(&remote.etag)?;
        if !blob.exists() {
            let part = blob.with_file_name(format!("{}.part", remote.etag));
            let fetched = transfer.download(&remote, &part, progress);
            progress.finish();
            fetched?;
            std::fs::rename(&part, &blob).map_err(Reason::cache("rename", part))?;
        }
        store.publish(&remote.commit, file, Path::new(&remote.etag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(variables: &[(&str, &str)]) -> Hub {
        Hub::from_environment(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_is_read_as_by_hugging_face() {
        let plain = hub(&[("HOME", "/h"), ("HF_ENDPOINT", ""), ("HF_TOKEN", "secret")]);
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert_eq!(plain.cache, Path::new("/h/.cache/huggingface/hub"));
        assert_eq!((plain.token.as_deref(), plain.offline), (Some("secret"), false));
        let moved = hub(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x"), ("HF_HUB_OFFLINE", "yes")]);
        assert_eq!(moved.cache, Path::new("/x/huggingface/hub"));
        assert!(moved.offline && moved.token.is_none());
        let own = hub(&[("HF_HOME", "/y"), ("HF_HUB_CACHE", "/z"), ("HF_HUB_OFFLINE", "0")]);
        assert_eq!((own.cache.as_path(), own.offline), (Path::new("/z"), false));
        let older = [("HUGGINGFACE_HUB_CACHE", "/old"), ("HUGGING_FACE_HUB_TOKEN", "t\n")];
        let older = hub(&older);
        assert_eq!((older.cache.as_path(), older.token.as_deref()), (Path::new("/old"), Some("t")));
        let both = hub(&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/z")]);
        assert_eq!(both.cache, Path::new("/z"));
        let without = hub(&[("HF_TOKEN", "x"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]);
        assert_eq!(without.token, None);
        assert_eq!(hub(&[("HF_TOKEN", "a\nb")]).token, None);
    }

    #[test]
    fn a_saved_token_is_found() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "saved\n").unwrap();
        let home = home.path().to_str().unwrap();
        assert_eq!(hub(&[("HF_HOME", home)]).token.as_deref(), Some("saved"));
        assert_eq!(hub(&[("HF_HOME", home), ("HF_TOKEN", "x")]).token.as_deref(), Some("x"));
        let elsewhere = format!("{home}/token");
        assert_eq!(hub(&[("HF_TOKEN_PATH", &elsewhere)]).token.as_deref(), Some("saved"));
    }
}
