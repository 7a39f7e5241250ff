//! All plugins of a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::peers::Peers;
use crate::{CodecEntry, HostServices, LoaderError, Plugin};

/// The plugins of a folder, and the files there that did not load.
#[derive(Debug)]
pub struct PluginSet {
    peers: Arc<Peers>,
    failures: Vec<(PathBuf, LoaderError)>,
}

impl PluginSet {
    /// Opens every `*.so` file of `folder`, in the order of their names.
    ///
    /// `pins` maps file names to `sha256:<hex>`. A file that does not load is kept as a failure, as
    /// is a pinned file that is not there. A folder that does not exist is an empty set.
    ///
    /// # Errors
    /// When the folder exists but cannot be read.
    pub fn scan(
        folder: &Path,
        pins: &BTreeMap<String, String>,
        host: HostServices,
    ) -> Result<Self, LoaderError> {
        let (mut plugins, mut failures) = (Vec::new(), Vec::new());
        let files = library_files(folder)?;
        for path in &files {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            match Plugin::open(path, pins.get(name.as_ref()).map(String::as_str), host) {
                Ok(plugin) => plugins.push(Arc::new(plugin)),
                Err(error) => failures.push((path.clone(), error)),
            }
        }
        for name in pins.keys() {
            let path = folder.join(name);
            if !files.contains(&path) {
                let source = std::io::Error::from(std::io::ErrorKind::NotFound);
                failures.push((path.clone(), LoaderError::Read { path, source }));
            }
        }
        let failed = failures.iter().map(|(_, error)| error.to_string()).collect();
        let peers = Arc::new(Peers { folder: folder.to_owned(), plugins, failed });
        Ok(PluginSet { peers, failures })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.peers.folder
    }

    /// The plugins that loaded, in the order of their file names.
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.peers.plugins
    }

    /// The files that did not load.
    pub fn failures(&self) -> &[(PathBuf, LoaderError)] {
        &self.failures
    }

    /// The codec of this id.
    ///
    /// # Errors
    /// When no plugin offers it, with the nearest ids and the files that did not load; or when
    /// several do.
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
