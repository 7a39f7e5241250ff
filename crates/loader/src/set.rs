//! The plugins of a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::peers::{PeerFile, Peers};
use crate::{CodecEntry, HostServices, LoaderError, Plugin, plugin};

/// The plugin files of a folder, each loaded when something that it provides is requested.
#[derive(Debug)]
pub struct PluginSet {
    pub(crate) peers: Arc<Peers>,
    failures: Vec<(PathBuf, LoaderError)>,
}

impl PluginSet {
    /// Verifies every `*.so` file of `folder`, in the order of their names. No code of a file runs.
    ///
    /// `pins` maps file names to `sha256:<hex>`. With pins, only the pinned files are used. A
    /// rejected file is kept as a failure, as is a pinned file that is missing. A folder that does
    /// not exist is an empty set.
    ///
    /// # Errors
    /// When the folder exists but cannot be read.
    pub fn scan(
        folder: &Path,
        pins: &BTreeMap<String, String>,
        host: HostServices,
    ) -> Result<Self, LoaderError> {
        let (mut files, mut failures, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        let found = library_files(folder)?;
        for path in &found {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let pin = pins.get(name.as_ref()).map(String::as_str);
            if pin.is_none() && !pins.is_empty() {
                let path = path.display();
                left_out.push(format!(
                    "plugin {path}: expected a pin, found none; with pins only pinned files are used"
                ));
                continue;
            }
            match plugin::verify(path, pin) {
                Ok(verified) => {
                    files.push(PeerFile::new(path, pin, host, verified.header.listing));
                }
                Err(error) => failures.push((path.clone(), error)),
            }
        }
        for name in pins.keys() {
            let path = folder.join(name);
            if !found.contains(&path) {
                let source = std::io::Error::from(std::io::ErrorKind::NotFound);
                failures.push((path.clone(), LoaderError::Read { path, source }));
            }
        }
        left_out.extend(failures.iter().map(|(_, error)| error.to_string()));
        let peers = Arc::new(Peers { folder: folder.to_owned(), files, left_out });
        Ok(PluginSet { peers, failures })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.peers.folder
    }

    /// The files that were rejected before any of their code ran.
    pub fn failures(&self) -> &[(PathBuf, LoaderError)] {
        &self.failures
    }

    /// Loads every file that was not rejected, in the order of their names.
    pub fn load_all(&self) -> Vec<(PathBuf, Result<Arc<Plugin>, LoaderError>)> {
        self.peers.files.iter().map(|file| (file.path().to_owned(), file.load())).collect()
    }

    /// Finds the codec with this id and loads its file.
    ///
    /// # Errors
    /// When no plugin provides it, with the nearest ids and the rejected files; when several do;
    /// when the file does not load.
    pub fn codec(&self, id: &str) -> Result<CodecEntry, LoaderError> {
        CodecEntry::find(&self.peers, id)
    }
}

fn library_files(folder: &Path) -> Result<Vec<PathBuf>, LoaderError> {
    let failed = |source| LoaderError::Read { path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "so") && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
