//! What a cell is: everything that decides its numbers, and the hash of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{BASELINE_LABEL, CellSide, Dtype, LoadIn, NOISE_FLOOR_LABEL, Preset};

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
    /// What is done to the KV cache; absent where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CellCache>,
    /// Tokens of a message chunk; null for whole messages.
    pub chunk_tokens: Option<usize>,
    /// Seed of everything random.
    pub seed: u64,
    /// Standard deviation, relative to a value, of the noise after every layer; null without noise.
    #[serde(default)]
    pub noise: Option<f64>,
    /// Identity of the baseline that another model is compared with; null if this model is its own
    /// baseline.
    #[serde(default)]
    pub reference: Option<String>,
}

/// The model of a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellModel {
    /// Where it came from, as the experiment file says.
    pub source: String,
    /// Element type of the weights in use and of the messages.
    pub dtype: Dtype,
    /// What linear layers were quantized to on load; null if they were not.
    #[serde(default)]
    pub load_in: Option<LoadIn>,
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
    /// What the weights take; null in records of releases that did not count it.
    #[serde(default)]
    pub storage: Option<CellStorage>,
}

/// What the weights of a model take as they are stored, or as `load_in` would store them. Scales, zero
/// points and codebooks count as bytes of the weights that they belong to. Not part of the identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellStorage {
    /// Format of most of the decoder blocks' weights (`Q4_K`).
    pub format: String,
    /// Values of the decoder blocks' matrices, router gates left out.
    pub decoder_values: u64,
    /// Bytes of the same.
    pub decoder_bytes: u64,
    /// Values of the head, or of the embedding where the head is tied to it.
    pub head_values: u64,
    /// Bytes of the same.
    pub head_bytes: u64,
    /// Bytes of all tensors.
    pub bytes: u64,
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
    /// Tokens of a window before the scored ones, where the preset has a context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
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
    /// The importances that it was told; absent where it did not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<CellSide>,
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

/// What a cell does to the KV cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellCache {
    /// Tokens of a run after which the cache is compressed; null where the context is one run and the
    /// suffix another.
    pub interval: Option<usize>,
    /// Id of the press.
    pub press: Option<String>,
    /// Parameters of the press with defaults filled in.
    pub params: Map<String, Value>,
    /// Share of the tokens so far that the press removes.
    pub ratio: Option<f64>,
    /// Tokens that the press keeps.
    pub size: Option<usize>,
    /// Presses that work on what the first one left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<CellPress>,
    /// Whether kept keys are turned to the positions 0, 1, 2, … after the presses.
    pub reposition: bool,
    /// Codec of the keys.
    pub key: Option<CellCacheCodec>,
    /// Codec of the values.
    pub value: Option<CellCacheCodec>,
    /// Other codecs for some layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<CellOverride>,
    /// The first tokens of a sequence that stay uncoded.
    pub sinks: usize,
    /// The last tokens so far that stay uncoded until later ones follow.
    pub recent: usize,
    /// Whether keys are coded before they are turned by their positions.
    pub before_rope: bool,
    /// Layers whose cache is compressed; null for all.
    pub layers: Option<Vec<usize>>,
    /// File names of the plugins and the SHA-256 (hexadecimal) of their contents.
    pub plugins: BTreeMap<String, String>,
}

/// Codecs of some layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellOverride {
    /// The layers.
    pub layers: Vec<usize>,
    /// Codec of the keys.
    pub key: Option<CellCacheCodec>,
    /// Codec of the values.
    pub value: Option<CellCacheCodec>,
}

/// One more press.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellPress {
    /// Id of the press.
    pub press: String,
    /// Parameters with defaults filled in.
    pub params: Map<String, Value>,
    /// Share that it removes of what is left.
    pub ratio: Option<f64>,
    /// Tokens that it keeps.
    pub size: Option<usize>,
}

/// A codec of keys or values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellCacheCodec {
    /// Id of the codec.
    pub codec: String,
    /// Parameters with defaults filled in.
    pub params: Map<String, Value>,
}

impl RecordCell {
    /// Whether nothing is compressed.
    #[must_use]
    pub fn is_baseline(&self) -> bool {
        self.compressor.is_none() && self.cache.is_none()
    }

    /// What the cell is of, in tables and colours: the codec's id; of a compressed KV cache that of its
    /// press or codec; of another model the format of its weights; `baseline`, or `noise floor` for the
    /// baseline under noise.
    #[must_use]
    pub fn family(&self) -> &str {
        if let Some(cache) = &self.cache {
            let codec = cache.key.as_ref().or(cache.value.as_ref());
            let codec = codec.map(|codec| codec.codec.as_str());
            return cache.press.as_deref().or(codec).unwrap_or("cache");
        }
        match (&self.compressor, self.noise, &self.reference) {
            (Some(codec), ..) => &codec.codec,
            (None, Some(_), _) => NOISE_FLOOR_LABEL,
            (None, None, Some(_)) => self.model.storage.as_ref().map_or("model", |s| &s.format),
            (None, None, None) => BASELINE_LABEL,
        }
    }

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
            if let Some(side) = &codec.side {
                identity["side"] = json!(side);
            }
            identity
        });
        let mut identity = json!({
            "schema": crate::RECORD_SCHEMA,
            "model": { "dtype": self.model.dtype, "files": files },
            "data": { "text": self.data.text_sha256, "tokens": self.data.tokens_sha256 },
            "protocol": self.protocol,
            "cuts": self.partition.cuts,
            "compressor": compressor,
            "chunk_tokens": self.chunk_tokens,
            "seed": self.seed,
        });
        // Only where they are used, so that the identities of earlier releases stay.
        if let Some(kind) = self.model.load_in {
            identity["model"]["load_in"] = json!(kind);
        }
        if let Some(noise) = self.noise {
            identity["noise"] = json!(noise);
        }
        if let Some(reference) = &self.reference {
            identity["reference"] = json!(reference);
        }
        // Cells that leave the cache alone have the identity of releases that had no such thing.
        if let Some(cache) = &self.cache {
            let mut plugins: Vec<&String> = cache.plugins.values().collect();
            plugins.sort();
            identity["cache"] = json!(CellCache { plugins: BTreeMap::new(), ..cache.clone() });
            identity["cache"]["plugins"] = json!(plugins);
        }
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
