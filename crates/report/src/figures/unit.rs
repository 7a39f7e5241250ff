//! What bits and bytes are counted of, in the words of tables and axes.

use crate::Row;

/// What was compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// What crosses links.
    Links,
    /// Keys and values.
    Cache,
    /// Some cells compress links and some the KV cache.
    Mixed,
    /// The weights of models.
    Weights,
}

impl Unit {
    /// Of rows that are no models. A row without values, such as a baseline without links, has no say.
    pub(crate) fn of(rows: &[Row]) -> Self {
        let mut counted = rows.iter().filter(|row| row.bits_per_value.is_some());
        match (counted.clone().any(|row| row.cached), counted.any(|row| !row.cached)) {
            (true, true) => Self::Mixed,
            (true, false) => Self::Cache,
            (false, _) => Self::Links,
        }
    }

    /// The name that scripts of the page know.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::Cache => "cache",
            Self::Mixed => "mixed",
            Self::Weights => "weights",
        }
    }

    /// What bits are counted by.
    pub(crate) fn bits(self) -> &'static str {
        match self {
            Self::Links => "bits per value on the links",
            Self::Cache => "bits per cached value",
            Self::Mixed => "bits per value, on the links or cached",
            Self::Weights => "bits per weight of the decoder",
        }
    }

    /// What bytes are counted by.
    pub(crate) fn bytes(self) -> &'static str {
        match self {
            Self::Links | Self::Weights => "bytes per token and link",
            Self::Cache => "bytes of keys and values per token",
            Self::Mixed => "bytes per token, on a link or cached",
        }
    }
}
