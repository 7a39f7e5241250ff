//! What a cell is: everything that decides its numbers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::kind::CellKind;
use super::written::WrittenCell;
use crate::{BASELINE_LABEL, Bos, CellSide, Dtype, Join, LoadIn, NOISE_FLOOR_LABEL, Preset};

/// One point of an experiment, resolved: model × text × protocol × partition × what is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WrittenCell", into = "WrittenCell")]
pub struct RecordCell {
    /// The model.
    pub model: CellModel,
    /// The text and its tokens.
    pub data: CellData,
    /// Windows and scored positions.
    pub protocol: CellProtocol,
    /// Where the model is cut.
    pub partition: CellPartition,
    /// The baseline, or what is done to be compared with it.
    pub kind: CellKind,
    /// Tokens of a message chunk; `None` for whole messages.
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
    /// What linear layers were quantized to on load; null if they were not.
    #[serde(default)]
    pub load_in: Option<LoadIn>,
    /// The tokenizer that was used instead of the model's own, as the experiment file says; absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// What of the checkpoint was left unread because the experiment says so; absent where nothing was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// What the checkpoint quantizes besides weights, none of which is simulated: the figures are of its weights only. Absent
    /// where that is nothing. Not part of the identity, for it follows from the files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights_only: Vec<String>,
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
    /// The key or column of the text, if the experiment file says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How rows became one text; absent where the text has none, and in records of releases that did not say it, which
    /// followed the preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
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
    /// Where the token that begins a sequence stands, if it is not where the preset has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bos: Option<Bos>,
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
    /// File names of those plugins, by the same ids; absent in records of releases that did not say them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inner_files: BTreeMap<String, String>,
    /// Where the artifact lies, as the experiment file says, with `{link}` for the index of a link; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<PathBuf>,
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
    /// Whether kept keys are rotated to consecutive positions after the presses.
    pub reposition: bool,
    /// Whether later tokens then go on right behind them; absent without `reposition`, and in records of
    /// releases that left the removed tokens' gap before the later ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gapless: bool,
    /// Whether the keys of later tokens lose the channels, too, that a press of channels removed; absent where
    /// they stay whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_later_keys: bool,
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
    /// Whether keys are coded before they are rotated by their positions (RoPE).
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
    /// Whether this is the uncompressed model that other cells are compared with. A model that is
    /// compared and the baseline under noise are not.
    #[must_use]
    pub fn is_baseline(&self) -> bool {
        matches!(self.kind, CellKind::Baseline)
    }

    /// The codec, if the cell has one on its links.
    #[must_use]
    pub fn compressor(&self) -> Option<&CellCompressor> {
        match &self.kind {
            CellKind::Links(codec) => Some(codec),
            _ => None,
        }
    }

    /// What is done to the KV cache, if anything is.
    #[must_use]
    pub fn cache(&self) -> Option<&CellCache> {
        match &self.kind {
            CellKind::Cache(cache) => Some(cache),
            _ => None,
        }
    }

    /// The plugins that have a part in the cell, by file name with the SHA-256 (hexadecimal) of each. A plugin of an inner
    /// codec whose file a record of an earlier release does not name goes by that codec's id.
    #[must_use]
    pub fn plugins(&self) -> BTreeMap<String, String> {
        match &self.kind {
            CellKind::Links(codec) if !codec.plugin_sha256.is_empty() => {
                let inner = codec.inner.iter();
                let inner =
                    inner.map(|(id, sha256)| (codec.inner_files.get(id).unwrap_or(id), sha256));
                let all = inner.chain([(&codec.plugin, &codec.plugin_sha256)]);
                all.map(|(file, sha256)| (file.clone(), sha256.clone())).collect()
            }
            CellKind::Cache(cache) => cache.plugins.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// Identity of the baseline that this model is compared with, if it is another model than that.
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        match &self.kind {
            CellKind::Model { reference } => Some(reference),
            _ => None,
        }
    }

    /// What the cell is of, in tables and colours: the codec's id; of a compressed KV cache that of its
    /// press or codec; of another model the format of its weights; `baseline`, or `noise floor` for the
    /// baseline under noise. A plugin may be called `baseline` too: [`CellKind::role`] tells them apart.
    #[must_use]
    pub fn family(&self) -> &str {
        match &self.kind {
            CellKind::Baseline => BASELINE_LABEL,
            CellKind::Links(codec) => &codec.codec,
            CellKind::Cache(cache) => cache.family(),
            CellKind::Noise { .. } => NOISE_FLOOR_LABEL,
            CellKind::Model { .. } => self.model.storage.as_ref().map_or("model", |s| &s.format),
        }
    }
}

impl CellCache {
    /// The id of the press; without one that of the codec of the keys, or of the values.
    fn family(&self) -> &str {
        let codec = self.key.as_ref().or(self.value.as_ref()).map(|codec| codec.codec.as_str());
        self.press.as_deref().or(codec).unwrap_or("cache")
    }
}
