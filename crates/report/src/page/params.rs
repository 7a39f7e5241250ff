//! Parameters as text.

use serde_json::{Map, Value};

/// Parameters in the order of their names, to compare settings with.
pub(crate) fn sorted(params: &Map<String, Value>) -> String {
    let mut pairs: Vec<String> =
        params.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.sort();
    pairs.join(" ")
}
