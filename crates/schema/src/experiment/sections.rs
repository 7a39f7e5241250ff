//! The tables of an experiment file, one struct each. The JSON Schema made from these types is also
//! what the parser enforces, so ranges and choices are stated here once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strait_vocabulary::{Bos, Join, Preset};

use super::side::SideSection;

/// `[data]`: the text that is scored.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// A named set (`wikitext-2-raw`, `wikitext-103-raw`, `pg19`, `c4-en`, `lambada`; all but the first
    /// come from the Hugging Face hub), the path of a `.txt`, `.jsonl` or `.parquet` file, or
    /// `hf:owner/name/path/of/file.parquet@revision` for a file of any data set there.
    #[schemars(length(min = 1))]
    pub source: String,
    /// Which split of a named set; `c4-en` has `validation` and `train`.
    #[serde(default = "test_split")]
    #[schemars(length(min = 1))]
    pub split: String,
    /// How rows become one text; the protocol preset decides when it is left out, and for `c4-en` it is
    /// `space`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    /// Use this row of the set alone, counted from 0: one long document of `pg19`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_idx: Option<usize>,
    /// Use only this many rows from the start of the set; all when left out, but 1100 of `c4-en`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_documents: Option<usize>,
    /// The key of JSON lines, or the column of parquet, that holds the text; `text` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub key: Option<String>,
    /// Use only this many tokens from the start of the text; all when left out. Part of the
    /// protocol fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub first_k_tokens: Option<usize>,
}

/// `[protocol]`: windows and scored positions. A preset fills what is left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProtocolSection {
    /// The published protocol to follow.
    #[serde(default)]
    pub preset: Preset,
    /// Tokens a window holds; the preset's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1_048_576))]
    pub window: Option<usize>,
    /// Tokens from the start of one window to the start of the next, at most `window`; the preset's
    /// when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub stride: Option<usize>,
    /// With `prefill-suffix`: tokens of a window that are prefilled, before the scored ones; 2048 when
    /// left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub context: Option<usize>,
    /// Stop after this many windows, or take `"all"`; the preset's when left out, which is 20 for
    /// `exl3` and all for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_windows: Option<MaxWindows>,
    /// Where the token that begins a sequence stands; the preset's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bos: Option<Bos>,
}

/// How many windows a protocol takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MaxWindows {
    /// All that the text has.
    All,
    /// So many from its start.
    #[serde(untagged)]
    Count(#[schemars(range(min = 1))] usize),
}

/// `[fit]`: the text that `strait fit` calibrates codecs with. It may not be the text that is scored.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FitSection {
    /// As `source` in `[data]`.
    #[schemars(length(min = 1))]
    pub source: String,
    /// As `split` in `[data]`; `train` when left out.
    #[serde(default = "train_split")]
    #[schemars(length(min = 1))]
    pub split: String,
    /// Use only this many rows from the start of the set; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_documents: Option<usize>,
    /// As `key` in `[data]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub key: Option<String>,
    /// Tokens from the start of the text that are used.
    #[serde(default = "fit_tokens")]
    #[schemars(range(min = 2))]
    pub tokens: usize,
}

/// `[partition]`: where the model is cut. Either `plan` or `cuts`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartitionSection {
    /// `ring-N` (N nodes, the head back on node 0: N links), `pipeline-N` (N nodes in a row: N-1
    /// links), or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(none|ring-[0-9]+|pipeline-[0-9]+)$"))]
    pub plan: Option<String>,
    /// Cut after each of these layers, counted from 0, strictly increasing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuts: Option<Vec<usize>>,
    /// With `plan`: the names of its N nodes. With `cuts`: the node of every stage (one more than
    /// there are cuts; names may repeat). `node0`, `node1`, … when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<String>>,
    /// The device of each distinct node, in order of first appearance; `model.device` for all when
    /// left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<String>>,
}

/// `[plugins]`: where the plugins are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginsSection {
    /// Folder that is searched for `.so` files.
    #[serde(default = "plugins_dir")]
    pub dir: PathBuf,
    /// File name to `sha256:` and 64 hexadecimal digits: a file with another hash is refused, and files
    /// without a pin are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pin: BTreeMap<String, String>,
}

/// `[run]`: how the run is executed. Nothing here but `chunk_tokens` and `seed` changes what is
/// measured.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunSection {
    /// Windows that go through the model in one pass. Codecs still see one sequence at a time.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 4096))]
    pub batch_windows: usize,
    /// Split every message into chunks of this many tokens (1 is decode traffic); whole messages
    /// when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub chunk_tokens: Option<usize>,
    /// Cells that share a pass through a later stage; chosen by memory when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub cell_batch: Option<usize>,
    /// Threads for the model and the codecs; all cores when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub threads: Option<usize>,
    /// Seconds that one call of a plugin may take. A plugin that takes longer ends the run, which starts
    /// again without its cell. 0 lets every call take as long as it likes.
    #[serde(default = "call_timeout_s")]
    pub call_timeout_s: u64,
    /// Seed of everything random.
    #[serde(default)]
    pub seed: u64,
    /// Also run the baseline with noise as small as rounding after every layer (a cell of its own,
    /// `noise floor`), and show differences in units of what that changes.
    #[serde(default)]
    pub noise_floor: bool,
}

/// `[output]`: where the results go, and what is written beside the records.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputSection {
    /// Folder of the records, tables and plots; `results/<name>` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Write every cell's likelihoods and divergences of single tokens to `tokens/<id>.parquet` in that
    /// folder, and the entries that a press keeps to `kept/<id>.parquet`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_token: bool,
}

/// `[[compressor]]`: a codec with its parameters; with `sweep`, one cell for every combination.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompressorSection {
    /// Name in tables and plots; `{key}` stands for a parameter's value. The codec's id when left
    /// out. Swept parameters that the label does not mention are appended (`affine bits=4`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Id of the codec, as `strait plugins list` prints it.
    #[schemars(length(min = 1))]
    pub codec: String,
    /// Parameters of the codec; `strait plugins show CODEC` prints them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// Parameters with several values each: every combination is a cell. `"inner.bits"`, in quotes, is
    /// the parameter `bits` of the codec that `inner` names; `"side.metric"` is a key of `side`. `cut` is
    /// no parameter: the codec works on the link after that layer alone. Without `[partition]` the model
    /// is cut after every such layer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sweep: BTreeMap<String, Vec<Value>>,
    /// Links (by index, from 0) where the codec works; the others stay uncompressed. All when left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<Vec<usize>>,
    /// The importances of tokens that the host computes for a codec that asks for them (`mixed`); none
    /// when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<SideSection>,
    /// Artifact file that the codec's fit step made, and that `strait fit` writes. `{link}` in it stands
    /// for the index of a link, which then has a file of its own, and `{label}` for the cell's label
    /// with `-` for everything but letters, digits and `.`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<PathBuf>,
}

impl Default for PluginsSection {
    fn default() -> Self {
        Self { dir: plugins_dir(), pin: BTreeMap::new() }
    }
}

impl Default for RunSection {
    fn default() -> Self {
        Self {
            batch_windows: one(),
            chunk_tokens: None,
            cell_batch: None,
            threads: None,
            call_timeout_s: call_timeout_s(),
            seed: 0,
            noise_floor: false,
        }
    }
}

pub(crate) fn auto() -> String {
    "auto".to_owned()
}

fn test_split() -> String {
    "test".to_owned()
}

fn train_split() -> String {
    "train".to_owned()
}

fn fit_tokens() -> usize {
    16_384
}

fn plugins_dir() -> PathBuf {
    PathBuf::from("plugins")
}

fn one() -> usize {
    1
}

/// The slowest codecs take seconds a message; ten minutes is a call that hangs.
fn call_timeout_s() -> u64 {
    600
}
