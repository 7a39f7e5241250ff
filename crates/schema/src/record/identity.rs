//! The identity of a cell: a hash of everything that decides its numbers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::cell::{CellCache, CellCompressor, RecordCell};
use super::content;
use super::kind::CellKind;
use super::side::CellSide;

impl RecordCell {
    /// SHA-256 (hexadecimal) of everything that decides the cell's numbers. Two runs with the same
    /// identity measure the same thing: the second one need not run.
    ///
    /// Names and paths are not in it (model, text and plugin are there by their content), nor are
    /// label, node names, device, threads, and how many windows or cells share a pass.
    #[must_use]
    pub fn identity(&self) -> String {
        content::sha256(&self.identified())
    }

    /// What of the identity is another in `other`: the key, and both values as JSON. Empty where the identities are one.
    #[must_use]
    pub fn identity_differences(&self, other: &Self) -> Vec<(String, String, String)> {
        let [mine, others] = [self, other].map(|cell| {
            let mut leaves = BTreeMap::new();
            leaves_of(&cell.identified(), "", &mut leaves);
            leaves
        });
        let keys: BTreeSet<&String> = mine.keys().chain(others.keys()).collect();
        let value = |of: &BTreeMap<String, String>, key| {
            of.get(key).cloned().unwrap_or_else(|| "none".to_owned())
        };
        let pairs =
            keys.into_iter().map(|key| (key.clone(), value(&mine, key), value(&others, key)));
        pairs.filter(|(_, mine, others)| mine != others).collect()
    }

    /// Everything that is in the identity.
    fn identified(&self) -> Value {
        let mut files: Vec<&String> = self.model.files.values().collect();
        files.sort();
        let mut identity = json!({
            "schema": crate::RECORD_SCHEMA,
            "model": { "dtype": self.model.dtype, "files": files },
            "data": { "text": self.data.text_sha256, "tokens": self.data.tokens_sha256 },
            "protocol": self.protocol,
            "cuts": self.partition.cuts,
            "compressor": self.compressor().map(compressor),
            "chunk_tokens": self.chunk_tokens,
            "seed": self.seed,
        });
        // What follows is there only where it is used: a release that brings a new kind of cell must
        // not change the identities of those that there were before.
        if let Some(kind) = self.model.load_in {
            identity["model"]["load_in"] = json!(kind);
        }
        if !self.model.ignore.is_empty() {
            identity["model"]["ignore"] = json!(self.model.ignore);
        }
        match &self.kind {
            CellKind::Baseline | CellKind::Links(_) => {}
            CellKind::Cache(of_cell) => identity["cache"] = cache(of_cell),
            CellKind::Noise { size } => identity["noise"] = json!(size),
            CellKind::Model { reference } => identity["reference"] = json!(reference),
        }
        identity
    }
}

/// Every scalar of a value by its path: `compressor.params.bits`.
fn leaves_of(value: &Value, path: &str, leaves: &mut BTreeMap<String, String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| leaves_of(value, &below(key), leaves));
        }
        Value::Array(values) => values.iter().enumerate().for_each(|(at, value)| {
            leaves_of(value, &format!("{path}[{at}]"), leaves);
        }),
        Value::String(text) => drop(leaves.insert(path.to_owned(), text.clone())),
        scalar => drop(leaves.insert(path.to_owned(), scalar.to_string())),
    }
}

fn compressor(codec: &CellCompressor) -> Value {
    let mut identity = json!({
        "codec": codec.codec,
        "params": codec.params,
        "links": codec.links,
        "plugin": codec.plugin_sha256,
        "artifact": codec.artifact_sha256,
    });
    if !codec.inner.is_empty() {
        identity["inner"] = json!(codec.inner);
    }
    if let Some(side) = &codec.side {
        // Where the weights lie decides nothing; what they are does.
        identity["side"] = json!(CellSide { weights: None, ..side.clone() });
    }
    identity
}

/// All keys of the cell, with the plugins by their content alone.
fn cache(cache: &CellCache) -> Value {
    let mut plugins: Vec<&String> = cache.plugins.values().collect();
    plugins.sort();
    let mut identity = json!(cache);
    identity["plugins"] = json!(plugins);
    identity
}
