//! One press of a plugin, ready to be opened, and how to find it.

use std::sync::Arc;

use serde_json::{Map, Value};
use strait_abi::OpenRequest;
use strait_abi::abi_stable::std_types::ROption;
use strait_abi::descriptor::PressDescriptor;
use strait_abi::params::{ParamError, nearest, resolve};

use super::{PressError, PressInstance};
use crate::calls::{CallKind, Callee, CellName, call};
use crate::peers::{Found, Kind};
use crate::{Plugin, PluginSet, Side};

/// One press of a loaded plugin.
#[derive(Clone, Debug)]
pub struct PressEntry {
    plugin: Arc<Plugin>,
    index: usize,
    callee: &'static Callee,
}

impl PressEntry {
    fn new(plugin: Arc<Plugin>, index: usize) -> Self {
        let callee = callee(&plugin, index, None);
        PressEntry { plugin, index, callee }
    }

    /// The same press for a cell of an experiment: calls that do not return are noted under the
    /// cell's name.
    #[must_use]
    pub fn for_cell(mut self, cell: &CellName) -> Self {
        self.callee = callee(&self.plugin, self.index, Some(cell));
        self
    }

    /// The press's description of itself.
    pub fn descriptor(&self) -> &PressDescriptor {
        &self.plugin.presses()[self.index]
    }

    /// The plugin that provides the press.
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
    /// A rejected parameter, or the press's own error or panic.
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
        let request = OpenRequest {
            codec: self.index,
            params: params.as_str().into(),
            artifact: ROption::RNone,
        };
        let opened = self.call(CallKind::Open, || (module.open())(request))?;
        PressError::from_end(id, "open", opened.outcome.end())?;
        let calls = super::instance::Calls {
            needs,
            press,
            reset,
            place: module.place(),
            close: module.close(),
        };
        PressInstance::new(self.clone(), calls, opened.handle)
    }

    pub(crate) fn id(&self) -> &str {
        &self.descriptor().id
    }

    /// Makes a call into the press's plugin.
    pub(crate) fn call<T>(&self, kind: CallKind, f: impl FnOnce() -> T) -> Result<T, PressError> {
        match call(self.callee, kind, f) {
            (result, false) => Ok(result),
            (_, true) => {
                Err(PressError::Arithmetic { id: self.id().to_owned(), call: kind.name() })
            }
        }
    }
}

fn callee(plugin: &Plugin, index: usize, cell: Option<&CellName>) -> &'static Callee {
    Callee::of(plugin.file_name(), &format!("press `{}`", plugin.presses()[index].id), cell)
}

impl Plugin {
    /// One of the plugin's presses by id.
    pub fn press(self: &Arc<Self>, id: &str) -> Option<PressEntry> {
        let index = self.presses().iter().position(|press| press.id == id)?;
        Some(PressEntry::new(Arc::clone(self), index))
    }
}

impl PluginSet {
    /// Finds the press with this id and loads its file.
    ///
    /// # Errors
    /// When no plugin provides it, with the nearest id and the rejected files; when several do;
    /// when the file does not load.
    pub fn press(&self, id: &str) -> Result<PressEntry, PressError> {
        let id = id.to_owned();
        match self.peers.find(Kind::Press, &id).map_err(Box::new)? {
            Found::Once(plugin, index) => Ok(PressEntry::new(plugin, index)),
            Found::Several(files) => Err(PressError::Duplicate { id, files }),
            Found::Nowhere { known, left_out } => {
                let near = nearest(&id, known.iter().map(String::as_str)).map(str::to_owned);
                let folder = self.folder().to_owned();
                Err(PressError::Unknown { id, known, nearest: near, folder, left_out })
            }
        }
    }
}
