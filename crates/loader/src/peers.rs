//! The codecs that are at hand together: those of a folder, which may be opened inside one another.

use std::path::PathBuf;
use std::sync::Arc;

use strait_abi::descriptor::CodecDescriptor;
use strait_abi::params::nearest;

use crate::{LoaderError, Plugin};

/// Plugins whose codecs know of one another.
#[derive(Debug)]
pub(crate) struct Peers {
    /// Where they lie, for messages.
    pub(crate) folder: PathBuf,
    /// In the order of their file names.
    pub(crate) plugins: Vec<Arc<Plugin>>,
    /// Messages of the files that did not load.
    pub(crate) failed: Vec<String>,
}

impl Peers {
    /// The codecs of one file alone.
    pub(crate) fn alone(plugin: Arc<Plugin>) -> Self {
        let folder = plugin.path().parent().map(PathBuf::from).unwrap_or_default();
        Peers { folder, plugins: vec![plugin], failed: Vec::new() }
    }

    /// The plugin that offers this codec, and the codec's index there.
    pub(crate) fn find(&self, id: &str) -> Result<(&Arc<Plugin>, usize), LoaderError> {
        let place = |plugin: &Plugin| plugin.codecs().iter().position(|codec| codec.id == id);
        let mut found: Vec<_> = self
            .plugins
            .iter()
            .filter_map(|plugin| place(plugin).map(|index| (plugin, index)))
            .collect();
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                found.push(last);
                let files = found.iter().map(|(plugin, _)| plugin.path().to_owned()).collect();
                Err(LoaderError::DuplicateCodec { id: id.to_owned(), files })
            }
            (None, _) => Err(self.unknown(id)),
        }
    }

    /// Ids of all codecs, sorted, each once.
    pub(crate) fn known(&self) -> Vec<String> {
        let codecs = self.plugins.iter().flat_map(|plugin| plugin.codecs());
        let mut known: Vec<String> =
            codecs.map(|codec: &CodecDescriptor| codec.id.clone()).collect();
        known.sort();
        known.dedup();
        known
    }

    fn unknown(&self, id: &str) -> LoaderError {
        let known = self.known();
        let near = nearest(id, known.iter().map(String::as_str)).map(str::to_owned);
        LoaderError::UnknownCodec {
            id: id.to_owned(),
            nearest: near.into_iter().collect(),
            known,
            folder: self.folder.clone(),
            failed: self.failed.clone(),
        }
    }
}
