//! Decoders of every codec of a folder, for payloads that no encoder wrote.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use strait_loader::{HostServices, LoaderError, PluginSet};
use strait_sdk::{Dtype, Shape};

use crate::Case;
use crate::battery::{Trial, decode_any};
use crate::library::InLibrary;
use crate::sample::ordinary;
use crate::subject::{Call, End, Subject};

/// Rows and channels of the messages.
const SIZES: [(usize, usize); 4] = [(0, 64), (1, 1), (3, 7), (5, 129)];

/// The codecs of a folder's plugins, with their default parameters.
pub struct Decoders {
    trials: BTreeMap<String, Trial>,
}

impl Decoders {
    /// Opens every plugin of a folder.
    ///
    /// # Errors
    /// A file that cannot be loaded as a plugin. A folder without one gives no decoder.
    pub fn of_folder(folder: &Path) -> Result<Self, Box<LoaderError>> {
        let set = PluginSet::scan(folder, &BTreeMap::new(), HostServices::default())?;
        let mut trials = BTreeMap::new();
        for (_, plugin) in set.load_all() {
            for codec in plugin?.codecs() {
                let subject = InLibrary::new(set.codec(&codec.id)?);
                let params = Case::default().params(&subject.facts().params);
                trials.insert(codec.id.clone(), Trial::new(Arc::new(subject), params));
            }
        }
        Ok(Decoders { trials })
    }

    /// Ids of the codecs.
    pub fn codecs(&self) -> impl Iterator<Item = &str> {
        self.trials.keys().map(String::as_str)
    }

    /// Number of shapes of messages.
    #[must_use]
    pub fn shapes(&self) -> usize {
        SIZES.len() * Dtype::ALL.len()
    }

    /// What a codec's encoder writes for a message of one of the shapes.
    ///
    /// # Errors
    /// The codec's error.
    pub fn example(&self, id: &str, at: usize) -> Result<Vec<u8>, String> {
        let trial = self.trials.get(id).ok_or_else(|| format!("no codec `{id}`"))?;
        let mut encoder = trial.open(End::Encoder)?;
        encoder.reset()?;
        encoder.encode(&ordinary(shape(at), 5))
    }

    /// Decodes any bytes as a message of one of the shapes. Whether the decoder refuses them or fills the message is its own
    /// affair; an unknown codec refuses everything.
    ///
    /// # Errors
    /// When it accepts a payload of another length than the one that it announces as exact.
    ///
    /// # Panics
    /// When the decoder does.
    pub fn decode(&self, id: &str, at: usize, payload: &[u8]) -> Call<()> {
        self.trials.get(id).map_or(Ok(()), |trial| decode_any(trial, shape(at), payload))
    }
}

fn shape(at: usize) -> Shape {
    let (rows, channels) = SIZES[at % SIZES.len()];
    Shape { rows, channels, dtype: Dtype::ALL[at / SIZES.len() % Dtype::ALL.len()] }
}
