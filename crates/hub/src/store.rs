//! The hub's cache on disk: `blobs` holds contents by checksum, and `snapshots` holds one folder of links
//! to them per commit.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo};

use crate::Repository;
use crate::address::is_plain;
use crate::error::Reason;

/// Fewest digits that a commit may be abbreviated to, as in git.
const SHORTEST_COMMIT: usize = 7;

/// The folder of one repository in the cache.
pub(crate) struct Store {
    folder: PathBuf,
    revision: String,
    cache: CacheRepo,
}

impl Store {
    pub(crate) fn new(cache: &Path, repository: &Repository) -> Self {
        let repo = repository.repo();
        Self {
            folder: cache.join(repo.folder_name()),
            revision: repository.revision.clone(),
            cache: Cache::new(cache.to_owned()).repo(repo),
        }
    }

    /// The path of a file of the revision, if it is cached.
    pub(crate) fn get(&self, file: &str) -> Option<PathBuf> {
        // A commit may have been fetched under the name of a branch, which leaves no reference of its own.
        let snapshots = self.folder.join("snapshots");
        let commit =
            snapshots.join(self.whole_commit(&snapshots).as_ref().unwrap_or(&self.revision));
        let path = commit.join(file);
        self.cache.get(file).or_else(|| path.exists().then_some(path))
    }

    /// The only commit that the revision abbreviates; `None` if there are none or several.
    fn whole_commit(&self, snapshots: &Path) -> Option<String> {
        let revision = &self.revision;
        let digits = revision.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits || !(SHORTEST_COMMIT..40).contains(&revision.len()) {
            return None;
        }
        let names = fs::read_dir(snapshots).ok()?.flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let mut commits = names.filter(|name| name.starts_with(revision.as_str()));
        commits.next().filter(|_| commits.next().is_none())
    }

    /// The path for contents with this etag; creates the folder.
    pub(crate) fn blob(&self, etag: &str) -> Result<PathBuf, Reason> {
        let folder = self.folder.join("blobs");
        fs::create_dir_all(&folder).map_err(Reason::cache("create", &folder))?;
        Ok(folder.join(etag))
    }

    /// Keeps other processes from fetching the same contents until the returned file is dropped. Waits for
    /// a process that is already fetching them.
    pub(crate) fn lock(&self, etag: &str) -> Result<File, Reason> {
        let path = self.blob(&format!("{etag}.lock"))?;
        let lock = File::create(&path).map_err(Reason::cache("create", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                log::info!("another process fetches the same file: waiting for it");
                lock.lock().map_err(Reason::cache("lock", &path))?;
            }
            Err(TryLockError::Error(error)) => return Err(Reason::cache("lock", &path)(error)),
        }
        Ok(lock)
    }

    /// Publishes complete contents in the folder of their commit and points the revision to that commit.
    pub(crate) fn publish(&self, commit: &str, file: &str, etag: &Path) -> Result<PathBuf, Reason> {
        let path = self.folder.join("snapshots").join(commit).join(file);
        let parent = path.parent().unwrap_or(&path);
        fs::create_dir_all(parent).map_err(Reason::cache("create", parent))?;
        let mut target = PathBuf::from("../..");
        file.split('/').skip(1).for_each(|_| target.push(".."));
        target.push("blobs");
        target.push(etag);
        // The contents of a commit never change, so an existing link is already right.
        if !path.exists() {
            // Renaming is atomic, because another process may be about to read the link.
            let temporary =
                self.blob(&format!("{}.{}.link", etag.display(), std::process::id()))?;
            let _ = fs::remove_file(&temporary);
            link(&target, &temporary).map_err(Reason::cache("link", &temporary))?;
            fs::rename(&temporary, &path).map_err(Reason::cache("rename", &temporary))?;
        }
        let reference = self.folder.join("refs").join(&self.revision);
        if fs::read_to_string(&reference).ok().as_deref() != Some(commit) {
            self.cache.create_ref(commit).map_err(Reason::cache("write", reference))?;
        }
        Ok(path)
    }
}

#[cfg(unix)]
fn link(target: &Path, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(not(unix))]
fn link(target: &Path, path: &Path) -> std::io::Result<()> {
    let contents = target.file_name().unwrap_or_default();
    fs::hard_link(path.with_file_name(contents), path)
}

/// Validates a name from an answer before it becomes a path component, so that a server cannot choose
/// another place.
pub(crate) fn name(what: &str, text: &str) -> Result<String, Reason> {
    let text = text.trim().trim_start_matches("W/").trim_matches('"');
    if is_plain(text) {
        Ok(text.to_owned())
    } else {
        Err(Reason::Answer(format!("with the {what} {text:?}")))
    }
}
