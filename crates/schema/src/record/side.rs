//! What a record says of the side information of a codec on links.

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
    /// SHA-256 (hexadecimal) of the file with the weights of heads; null without one.
    #[serde(default)]
    pub weights_sha256: Option<String>,
}
