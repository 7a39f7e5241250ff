//! A cell before it runs: everything about it is known, and nothing is open yet.

use std::sync::Arc;

use serde_json::{Map, Value};
use strait_loader::{CellName, CodecEntry};
use strait_schema::RecordCell;

use crate::ways::caches::CachePlan;
use crate::ways::probe::SideRequest;

/// A cell with its identity and what it needs to run.
pub(crate) struct PlannedCell {
    pub(crate) label: String,
    pub(crate) work: Work,
    pub(crate) identity: RecordCell,
    pub(crate) id: String,
}

/// What a cell does.
pub(crate) enum Work {
    /// Passes every message on as it is.
    Baseline,
    /// Compresses what crosses links.
    Links(CellCodec),
    /// Compresses the KV cache.
    Cache(Box<CachePlan>),
    /// Runs the baseline again, under noise.
    Noise {
        /// Seed of the noise.
        seed: u64,
    },
    /// Runs another model, given by its index among those that are compared.
    Model(usize),
}

/// The codec of a cell with its resolved parameters.
pub(crate) struct CellCodec {
    pub(crate) entry: CodecEntry,
    pub(crate) params: Map<String, Value>,
    /// The artifact for every link; the links of a cell may share one.
    pub(crate) artifacts: Vec<Option<Arc<Vec<u8>>>>,
    /// For every link, whether the codec works there.
    pub(crate) active: Vec<bool>,
    /// The side information that it gets with the messages.
    pub(crate) side: Option<Arc<SideRequest>>,
}

impl PlannedCell {
    /// A cell whose identity is derived from its contents. Its name is recorded in the note of calls,
    /// for plugins that do not return.
    pub(crate) fn new(label: String, identity: RecordCell, work: Work) -> Self {
        let id = identity.identity();
        let name = CellName { id: id.clone(), label: label.clone() };
        let work = match work {
            Work::Links(codec) => {
                Work::Links(CellCodec { entry: codec.entry.for_cell(name), ..codec })
            }
            Work::Cache(plan) => Work::Cache(Box::new(plan.for_cell(&name))),
            Work::Baseline | Work::Noise { .. } | Work::Model(_) => work,
        };
        Self { label, work, id, identity }
    }

    /// Whether a plugin has a part in it.
    pub(crate) fn has_plugin(&self) -> bool {
        matches!(self.work, Work::Links(_) | Work::Cache(_))
    }

    /// Whether everything the cell does is lossless, as its codecs and presses declare.
    pub(crate) fn lossless(&self) -> bool {
        match &self.work {
            Work::Links(codec) => codec.entry.descriptor().lossless,
            Work::Cache(plan) => plan.lossless(),
            Work::Baseline | Work::Noise { .. } | Work::Model(_) => true,
        }
    }
}
