//! The identity of a cell: a hash of everything that decides its numbers.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cell::{CellCache, CellCompressor, RecordCell};
use super::kind::CellKind;

impl RecordCell {
    /// SHA-256 (hexadecimal) of everything that decides the cell's numbers. Two runs with the same
    /// identity measure the same thing: the second one need not run.
    ///
    /// Names and paths are not in it (model, text and plugin are there by their content), nor are
    /// label, node names, device, threads, and how many windows or cells share a pass.
    #[must_use]
    pub fn identity(&self) -> String {
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
        let mut canonical = String::new();
        write_canonical(&identity, &mut canonical);
        Sha256::digest(canonical.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
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
        identity["side"] = json!(side);
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

/// JSON without spaces and with sorted keys.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(&map[key], out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(value, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
