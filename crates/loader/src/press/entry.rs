//! One press of a plugin, ready to be opened; and how to find it.

use std::sync::Arc;

use serde_json::{Map, Value};
use strait_abi::OpenRequest;
use strait_abi::abi_stable::std_types::ROption;
use strait_abi::descriptor::PressDescriptor;
use strait_abi::params::{ParamError, nearest, resolve};

use super::{PressError, PressInstance};
use crate::{Plugin, PluginSet, Side};

/// One press of a loaded plugin.
#[derive(Clone, Debug)]
pub struct PressEntry {
    plugin: Arc<Plugin>,
    index: usize,
}

impl PressEntry {
    /// What the press says about itself.
    pub fn descriptor(&self) -> &PressDescriptor {
        &self.plugin.presses()[self.index]
    }

    /// The plugin that offers it.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// Checks parameters and fills in the defaults, in the order of the press's table.
    ///
    /// # Errors
    /// The first unknown key, wrong type, value out of range or missing key.
    pub fn resolve(&self, params: &Map<String, Value>) -> Result<Map<String, Value>, ParamError> {
        resolve(&self.descriptor().params, params)
    }

    /// Opens an instance.
    ///
    /// # Errors
    /// A refused parameter, or the press's own error or panic.
    pub fn open(&self, params: &Map<String, Value>) -> Result<PressInstance, PressError> {
        let id = self.id();
        let resolved =
            self.resolve(params).map_err(|error| PressError::Param { id: id.to_owned(), error })?;
        let params = Value::Object(resolved).to_string();
        let old = || PressError::Old { id: id.to_owned() };
        let module = self.plugin.module(Side::Encoder).map_err(Box::new)?;
        let module = module.press().into_option().ok_or_else(old)?;
        let (Some(needs), Some(press), Some(reset)) =
            (module.needs(), module.press(), module.reset())
        else {
            return Err(old());
        };
        let opened = (module.open())(OpenRequest {
            codec: self.index,
            params: params.as_str().into(),
            artifact: ROption::RNone,
        });
        PressError::from_end(id, "open", opened.outcome.end())?;
        let calls = super::instance::Calls { needs, press, reset, close: module.close() };
        PressInstance::new(self.clone(), calls, opened.handle)
    }

    pub(crate) fn id(&self) -> &str {
        &self.descriptor().id
    }
}

impl Plugin {
    /// One of the plugin's presses by id.
    pub fn press(self: &Arc<Self>, id: &str) -> Option<PressEntry> {
        let index = self.presses().iter().position(|press| press.id == id)?;
        Some(PressEntry { plugin: Arc::clone(self), index })
    }
}

impl PluginSet {
    /// The press of this id.
    ///
    /// # Errors
    /// When no plugin offers it, with the nearest id and the files that did not load; or when
    /// several do.
    pub fn press(&self, id: &str) -> Result<PressEntry, PressError> {
        let mut found: Vec<_> =
            self.plugins().iter().filter_map(|plugin| plugin.press(id)).collect();
        match (found.pop(), found.is_empty()) {
            (Some(press), true) => Ok(press),
            (Some(press), false) => {
                found.push(press);
                let files = found.iter().map(|press| press.plugin().path().to_owned()).collect();
                Err(PressError::Duplicate { id: id.to_owned(), files })
            }
            (None, _) => {
                let presses = self.plugins().iter().flat_map(|plugin| plugin.presses());
                let mut known: Vec<String> = presses.map(|press| press.id.clone()).collect();
                known.sort();
                known.dedup();
                let near = nearest(id, known.iter().map(String::as_str)).map(str::to_owned);
                Err(PressError::Unknown {
                    id: id.to_owned(),
                    nearest: near,
                    known,
                    folder: self.folder().to_owned(),
                    failed: self.failures().iter().map(|(_, error)| error.to_string()).collect(),
                })
            }
        }
    }
}
