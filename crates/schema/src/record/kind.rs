//! The kinds of cells: the baseline, and the ways in which a cell can differ from it.

use serde::{Deserialize, Serialize};

use super::cell::{CellCache, CellCompressor};

/// What a cell is, with everything that only a cell of its kind has.
#[derive(Debug, Clone, PartialEq)]
pub enum CellKind {
    /// The uncompressed model: what every other cell of its experiment is compared with.
    Baseline,
    /// A codec works on what crosses the links.
    Links(Box<CellCompressor>),
    /// Presses and codecs work on the KV cache.
    Cache(Box<CellCache>),
    /// The baseline under noise, which shows what rounding alone can change.
    Noise {
        /// Standard deviation of the noise after every layer, relative to a value.
        size: f64,
    },
    /// Another model, uncompressed.
    Model {
        /// Identity of the baseline that it is compared with.
        reference: String,
    },
}

/// The kind of a cell without its contents, for lists and tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The uncompressed model that others are compared with.
    Baseline,
    /// A codec on links.
    #[default]
    Links,
    /// Presses and codecs on the KV cache.
    Cache,
    /// The baseline under noise.
    Noise,
    /// Another model.
    Model,
}

impl CellKind {
    /// The kind without its contents.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::Baseline => Role::Baseline,
            Self::Links(_) => Role::Links,
            Self::Cache(_) => Role::Cache,
            Self::Noise { .. } => Role::Noise,
            Self::Model { .. } => Role::Model,
        }
    }
}
