//! What a record says of the side information of a codec on links.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Aggregate, Metric};

/// What the side information `importance` of a cell is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellSide {
    /// What makes a token important.
    pub metric: Metric,
    /// Layers that are looked at, as the experiment file says; null where it does not.
    #[serde(default)]
    pub layers: Option<Vec<usize>>,
    /// How several layers become one.
    pub aggregate: Aggregate,
    /// The file with the weights of heads, as the experiment file says; absent without one. Not part of the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// SHA-256 (hexadecimal) of the file with the weights of heads; null without one.
    #[serde(default)]
    pub weights_sha256: Option<String>,
}
