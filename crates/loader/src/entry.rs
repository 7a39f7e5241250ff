//! One codec of a plugin, ready to be opened.

use std::sync::Arc;

use serde_json::{Map, Value};
use strait_abi::abi_stable::std_types::{ROption, RSlice};
use strait_abi::descriptor::CodecDescriptor;
use strait_abi::params::{ParamError, nearest};
use strait_abi::{CodecModuleRef, MatrixView, OpenRequest, Opened, SideView};

use crate::calls::{CallKind, Callee, CellName, call};
use crate::instance::{self, CodecInstance};
use crate::peers::{Found, Kind, Peers};
use crate::{CallError, LoaderError, MatrixRef, Plugin};

/// The side of a link that an instance serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Encodes; runs from one private copy of the file.
    Encoder,
    /// Decodes; runs from another copy, with static variables of its own.
    Decoder,
}

/// One codec of a loaded plugin, with the codecs that it may contain.
#[derive(Clone, Debug)]
pub struct CodecEntry {
    plugin: Arc<Plugin>,
    index: usize,
    peers: Arc<Peers>,
    cell: Option<CellName>,
    callee: &'static Callee,
}

impl CodecEntry {
    /// Finds the codec with this id among plugins that can use one another.
    pub(crate) fn find(peers: &Arc<Peers>, id: &str) -> Result<Self, LoaderError> {
        let id = id.to_owned();
        match peers.find(Kind::Codec, &id)? {
            Found::Once(plugin, index) => {
                let callee = callee(&plugin, index, None);
                Ok(CodecEntry { plugin, index, peers: Arc::clone(peers), cell: None, callee })
            }
            Found::Several(files) => Err(LoaderError::DuplicateCodec { id, files }),
            Found::Nowhere { known, left_out } => {
                let near = nearest(&id, known.iter().map(String::as_str)).map(str::to_owned);
                let (nearest, folder) = (near.into_iter().collect(), peers.folder.clone());
                Err(LoaderError::UnknownCodec { id, known, nearest, folder, left_out })
            }
        }
    }

    /// The same codec for a cell of an experiment: calls that do not return are noted under the
    /// cell's name. Inner codecs are opened for the same cell.
    #[must_use]
    pub fn for_cell(mut self, cell: CellName) -> Self {
        self.callee = callee(&self.plugin, self.index, Some(&cell));
        self.cell = Some(cell);
        self
    }

    /// Another codec of the same plugins, for the same cell.
    pub(crate) fn peer(&self, id: &str) -> Result<Self, LoaderError> {
        let peer = CodecEntry::find(&self.peers, id)?;
        Ok(match &self.cell {
            Some(cell) => peer.for_cell(cell.clone()),
            None => peer,
        })
    }

    /// The codec's description of itself.
    pub fn descriptor(&self) -> &CodecDescriptor {
        &self.plugin.codecs()[self.index]
    }

    /// The plugin that provides the codec.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// Checks parameters and fills in the defaults, in the order of the codec's table. This
    /// includes the parameters of inner codecs, whose keys are named by their path, such as
    /// `inner.bits`.
    ///
    /// # Errors
    /// The first unknown key, wrong type, value out of range, missing key or unknown inner codec,
    /// or codecs nested too deeply.
    pub fn resolve(&self, params: &Map<String, Value>) -> Result<Map<String, Value>, ParamError> {
        self.resolve_inside(params, &[])
    }

    /// Opens an instance for one side.
    ///
    /// # Errors
    /// A rejected parameter, a private copy that cannot be made, or the codec's own error or panic.
    pub fn open(
        &self,
        side: Side,
        params: &Map<String, Value>,
        artifact: Option<&[u8]>,
    ) -> Result<CodecInstance, LoaderError> {
        let (module, opened) = self.open_raw(side, params, artifact)?;
        CallError::from_end(self.id(), "open", opened.outcome.end())?;
        Ok(CodecInstance::new(self.clone(), side, module, opened.handle))
    }

    /// The plugin's functions and its raw answer to `open`.
    pub(crate) fn open_raw(
        &self,
        side: Side,
        params: &Map<String, Value>,
        artifact: Option<&[u8]>,
    ) -> Result<(CodecModuleRef, Opened), LoaderError> {
        let params = self.checked(params)?;
        let module = self.plugin.module(side)?.codec();
        let request = OpenRequest {
            codec: self.index,
            params: params.as_str().into(),
            artifact: artifact.map_or(ROption::RNone, |bytes| ROption::RSome(bytes.into())),
        };
        let open = || (module.open())(request);
        let opened = self.opening(side, || self.call(CallKind::Open, open))?;
        Ok((module, opened))
    }

    /// Makes an artifact from sample messages.
    ///
    /// # Errors
    /// A rejected parameter, or the codec's own error or panic.
    pub fn fit(
        &self,
        params: &Map<String, Value>,
        samples: &[MatrixRef<'_>],
    ) -> Result<Vec<u8>, LoaderError> {
        let params = self.checked(params)?;
        for sample in samples {
            instance::check_buffer(self.id(), "fit", sample.shape(), sample.bytes.len())?;
        }
        let sides: Vec<Vec<SideView<'_>>> =
            samples.iter().map(|sample| instance::side_views(sample.side)).collect();
        let views: Vec<MatrixView<'_>> = samples
            .iter()
            .zip(&sides)
            .map(|(m, side)| MatrixView::host(m.rows, m.channels, m.dtype, m.bytes, side))
            .collect();
        let module = self.plugin.module(Side::Encoder)?.codec();
        let fit = module.fit();
        let views = RSlice::from(views.as_slice());
        let fit = || fit(self.index, params.as_str().into(), views);
        let fitted = self.opening(Side::Encoder, || self.call(CallKind::Fit, fit))?;
        CallError::from_end(self.id(), "fit", fitted.outcome.end())?;
        // Copied into the host's allocator, because the plugin frees its own memory.
        Ok(fitted.bytes.as_slice().to_vec())
    }

    pub(crate) fn id(&self) -> &str {
        &self.descriptor().id
    }

    /// Makes a call into the codec's plugin.
    pub(crate) fn call<T>(&self, kind: CallKind, f: impl FnOnce() -> T) -> Result<T, CallError> {
        match call(self.callee, kind, f) {
            (result, false) => Ok(result),
            (_, true) => {
                Err(CallError::Arithmetic { codec: self.id().to_owned(), call: kind.name() })
            }
        }
    }

    /// Resolved parameters as JSON, if the codec is of a kind that can be opened.
    fn checked(&self, params: &Map<String, Value>) -> Result<String, LoaderError> {
        let CodecDescriptor { id, kind, .. } = self.descriptor();
        if kind != "codec" {
            return Err(LoaderError::Kind { id: id.clone(), found: kind.clone() });
        }
        let resolved =
            self.resolve(params).map_err(|error| LoaderError::Param { id: id.clone(), error })?;
        Ok(Value::Object(resolved).to_string())
    }
}

fn callee(plugin: &Plugin, index: usize, cell: Option<&CellName>) -> &'static Callee {
    Callee::of(plugin.file_name(), &format!("codec `{}`", plugin.codecs()[index].id), cell)
}
