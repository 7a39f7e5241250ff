//! What a cell is: everything that decides its numbers, and the hash of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{Dtype, Preset};

/// One point of an experiment, resolved: model × text × protocol × partition × codec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordCell {
    /// The model.
    pub model: CellModel,
    /// The text and its tokens.
    pub data: CellData,
    /// Windows and scored positions.
    pub protocol: CellProtocol,
    /// Where the model is cut.
    pub partition: CellPartition,
    /// The codec; null for the baseline.
    pub compressor: Option<CellCompressor>,
    /// Tokens of a message chunk; null for whole messages.
    pub chunk_tokens: Option<usize>,
    /// Seed of everything random.
    pub seed: u64,
}

/// The model of a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellModel {
    /// Where it came from, as the experiment file says.
    pub source: String,
    /// Element type of the weights in use and of the messages.
    pub dtype: Dtype,
    /// Model family, the `model_type` of the configuration (`llama`).
    pub architecture: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Number of layers.
    pub layers: usize,
    /// Values of a hidden state, the channels of every message.
    pub hidden: usize,
    /// Entries of the vocabulary.
    pub vocab: usize,
    /// SHA-256 (hexadecimal) of every file that was read, by file name.
    pub files: BTreeMap<String, String>,
}

/// The text of a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellData {
    /// Named set or path, as the experiment file says.
    pub source: String,
    /// Split of the named set.
    pub split: String,
    /// The one row that is used; null for all of them, or the first ones.
    #[serde(default)]
    pub sample_idx: Option<usize>,
    /// Rows from the start that are used, as the experiment file says; null where it does not.
    #[serde(default)]
    pub max_documents: Option<usize>,
    /// SHA-256 (hexadecimal) of the whole joined text in UTF-8.
    pub text_sha256: String,
    /// SHA-256 (hexadecimal) of the token ids in use, as little-endian 32-bit integers.
    pub tokens_sha256: String,
    /// Tokens in use, after `first_k_tokens`.
    pub tokens: usize,
    /// UTF-8 bytes of text that the scored tokens spell, each token as often as it is scored; null in
    /// records of releases that did not count them.
    #[serde(default)]
    pub scored_bytes: Option<u64>,
}

/// The protocol of a cell, with the preset's values filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellProtocol {
    /// The preset it started from.
    pub preset: Preset,
    /// Tokens a window holds.
    pub window: usize,
    /// Tokens from the start of one window to the start of the next.
    pub stride: usize,
    /// Windows after which the run stops; null for all.
    pub max_windows: Option<usize>,
    /// Tokens from the start of the text that are used; null for all.
    pub first_k_tokens: Option<usize>,
    /// Hash (16 hexadecimal digits) of text, join rule, token stream, windows and scored positions.
    /// Only records with the same fingerprint may stand in one table.
    pub fingerprint: String,
}

/// The partition of a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellPartition {
    /// Cut after each of these layers, counted from 0.
    pub cuts: Vec<usize>,
    /// The node of every stage.
    pub nodes: Vec<String>,
    /// The name of every link, `after:7 node0->node1`.
    pub links: Vec<String>,
}

/// The codec of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellCompressor {
    /// Id of the codec.
    pub codec: String,
    /// Version of the codec.
    pub codec_version: String,
    /// Parameters with defaults filled in.
    pub params: Map<String, Value>,
    /// Indices of the links where it works; the others carry the model's dtype.
    pub links: Vec<usize>,
    /// File name of the plugin.
    pub plugin: String,
    /// SHA-256 (hexadecimal) of the plugin file.
    pub plugin_sha256: String,
    /// SHA-256 (hexadecimal) of the plugin files of the codecs inside it, by their ids.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inner: BTreeMap<String, String>,
    /// SHA-256 (hexadecimal) of the artifact of the fit step; null without one.
    pub artifact_sha256: Option<String>,
    /// Bytes that both sides hold before the first message (the artifact): not part of any payload.
    pub static_bytes: u64,
}

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
        let compressor = self.compressor.as_ref().map(|codec| {
            let mut identity = json!({
                "codec": codec.codec,
                "params": codec.params,
                "links": codec.links,
                "plugin": codec.plugin_sha256,
                "artifact": codec.artifact_sha256,
            });
            // Without inner codecs the identity is what it was before there were any.
            if !codec.inner.is_empty() {
                identity["inner"] = json!(codec.inner);
            }
            identity
        });
        let identity = json!({
            "schema": crate::RECORD_SCHEMA,
            "model": { "dtype": self.model.dtype, "files": files },
            "data": { "text": self.data.text_sha256, "tokens": self.data.tokens_sha256 },
            "protocol": self.protocol,
            "cuts": self.partition.cuts,
            "compressor": compressor,
            "chunk_tokens": self.chunk_tokens,
            "seed": self.seed,
        });
        let mut canonical = String::new();
        write_canonical(&identity, &mut canonical);
        Sha256::digest(canonical.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
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
