//! Plugin files that are available together, such as those of a folder: their codecs may be opened
//! inside one another. A file is loaded only when something that it provides is requested.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use strait_abi::Listing;

use crate::{HostServices, LoaderError, Plugin};

/// Plugins whose codecs can use one another.
#[derive(Debug)]
pub(crate) struct Peers {
    /// The folder they lie in, for messages.
    pub(crate) folder: PathBuf,
    /// The files in the order of their names.
    pub(crate) files: Vec<PeerFile>,
    /// Messages of the files that were rejected.
    pub(crate) left_out: Vec<String>,
}

/// A file whose header was accepted. None of its code has run until the plugin is loaded.
#[derive(Debug)]
pub(crate) struct PeerFile {
    path: PathBuf,
    pin: Option<String>,
    host: HostServices,
    /// What the file says it provides; files of ABI 1.0 and 1.1 have no listing.
    listing: Option<Listing>,
    plugin: Mutex<Option<Arc<Plugin>>>,
}

/// The kinds of things that can be requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Codec,
    Press,
}

/// Where an id is provided.
pub(crate) enum Found {
    /// In this plugin, at this index of its description.
    Once(Arc<Plugin>, usize),
    /// In several files, which is an error.
    Several(Vec<PathBuf>),
    /// Nowhere; holds the ids that exist instead, and messages of the rejected files.
    Nowhere { known: Vec<String>, left_out: Vec<String> },
}

impl Peers {
    /// The codecs of one file alone.
    pub(crate) fn alone(plugin: Arc<Plugin>) -> Self {
        let folder = plugin.path().parent().map(PathBuf::from).unwrap_or_default();
        Peers { folder, files: vec![PeerFile::loaded(plugin)], left_out: Vec::new() }
    }

    /// Finds an id and loads the file that provides it. Files without a listing are loaded too, but
    /// only if no other file lists the id.
    ///
    /// # Errors
    /// When the file that provides the id does not load.
    pub(crate) fn find(&self, kind: Kind, id: &str) -> Result<Found, LoaderError> {
        let lists = |file: &&PeerFile| {
            let listing = file.listing.as_ref();
            listing.is_some_and(|listing| kind.ids(listing).iter().any(|known| known == id))
        };
        let listed: Vec<&PeerFile> = self.files.iter().filter(lists).collect();
        match listed.as_slice() {
            [] => Ok(self.find_unlisted(kind, id)),
            [file] => {
                let plugin = file.load()?;
                let index = kind.position(&plugin, id);
                Ok(match index {
                    Some(index) => Found::Once(plugin, index),
                    None => self.nowhere(kind, Vec::new()),
                })
            }
            several => Ok(Found::Several(several.iter().map(|file| file.path.clone()).collect())),
        }
    }

    fn find_unlisted(&self, kind: Kind, id: &str) -> Found {
        let (mut found, mut failed) = (Vec::new(), Vec::new());
        for file in self.files.iter().filter(|file| file.listing.is_none()) {
            match file.load() {
                Ok(plugin) => {
                    if let Some(index) = kind.position(&plugin, id) {
                        found.push((plugin, index));
                    }
                }
                Err(error) => failed.push(error.to_string()),
            }
        }
        if found.len() > 1 {
            return Found::Several(found.iter().map(|(file, _)| file.path().to_owned()).collect());
        }
        match found.pop() {
            Some((plugin, index)) => Found::Once(plugin, index),
            None => self.nowhere(kind, failed),
        }
    }

    fn nowhere(&self, kind: Kind, mut left_out: Vec<String>) -> Found {
        left_out.extend(self.left_out.iter().cloned());
        Found::Nowhere { known: self.known(kind), left_out }
    }

    /// Ids of one kind that the files list or turned out to provide, sorted and without repetition.
    pub(crate) fn known(&self, kind: Kind) -> Vec<String> {
        let mut known: Vec<String> = self.files.iter().flat_map(|file| file.ids(kind)).collect();
        known.sort();
        known.dedup();
        known
    }
}

impl PeerFile {
    /// A file whose header contains `listing`.
    pub(crate) fn new(
        path: &Path,
        pin: Option<&str>,
        host: HostServices,
        listing: Option<Listing>,
    ) -> Self {
        let pin = pin.map(str::to_owned);
        PeerFile { path: path.to_owned(), pin, host, listing, plugin: Mutex::new(None) }
    }

    fn loaded(plugin: Arc<Plugin>) -> Self {
        let mut file = PeerFile::new(plugin.path(), None, HostServices::default(), None);
        file.plugin = Mutex::new(Some(plugin));
        file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The plugin, loaded on first use.
    pub(crate) fn load(&self) -> Result<Arc<Plugin>, LoaderError> {
        let mut loaded = self.plugin.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plugin) = &*loaded {
            return Ok(Arc::clone(plugin));
        }
        let plugin = Arc::new(Plugin::open(&self.path, self.pin.as_deref(), self.host)?);
        *loaded = Some(Arc::clone(&plugin));
        Ok(plugin)
    }

    fn ids(&self, kind: Kind) -> Vec<String> {
        let loaded = self.plugin.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*loaded, &self.listing) {
            (Some(plugin), _) => kind.offered(plugin).map(str::to_owned).collect(),
            (None, Some(listing)) => kind.ids(listing).to_vec(),
            (None, None) => Vec::new(),
        }
    }
}

impl Kind {
    fn ids(self, listing: &Listing) -> &[String] {
        match self {
            Kind::Codec => &listing.codecs,
            Kind::Press => &listing.presses,
        }
    }

    fn offered(self, plugin: &Plugin) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Kind::Codec => Box::new(plugin.codecs().iter().map(|codec| codec.id.as_str())),
            Kind::Press => Box::new(plugin.presses().iter().map(|press| press.id.as_str())),
        }
    }

    fn position(self, plugin: &Plugin, id: &str) -> Option<usize> {
        self.offered(plugin).position(|offered| offered == id)
    }
}
