//! Everything that can be wrong with a checkpoint, as one enum; each message says what was expected and what
//! was found.

use std::io;
use std::path::PathBuf;

use strait_hub::StandIn;

use crate::format::SUPPORTED_FORMATS;

/// Why a checkpoint, or a part of it, could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The operating system refused a file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The action that failed: "open", "read" or "map".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },

    /// Nothing exists at the model source.
    #[error(
        "{}: no such model; expected a directory with config.json and model.safetensors (or \
         model.safetensors.index.json), a .gguf file, or \"hf:owner/name@revision\"{}",
        path.display(),
        hub.as_ref().map_or_else(String::new, |name| format!("; a model of the hub is written \"hf:{name}\""))
    )]
    SourceNotFound {
        /// Where it was looked for.
        path: PathBuf,
        /// The source as `owner/name`, if it could be that of a model on the hub.
        hub: Option<String>,
    },

    /// The model source cannot be parsed.
    #[error(
        "model source \"{text}\": {reason}; expected \"hf:owner/name@revision\" or \"hf:owner/name/file.gguf@revision\""
    )]
    SourceSyntax {
        /// The source, as given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The file exists but is of no kind that can be opened.
    #[error("{}: not a model; expected {expected}, found {found}", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What can be opened.
        expected: &'static str,
        /// What was found.
        found: String,
    },

    /// Something else was saved in place of the file.
    #[error("{}: this is {what}", path.display())]
    StandIn {
        /// The file.
        path: PathBuf,
        /// What was found, and what to do about it.
        what: StandIn,
    },

    /// A model directory lacks a file.
    #[error("{}: expected {expected} in this directory, found {found}", directory.display())]
    MissingFile {
        /// The model directory.
        directory: PathBuf,
        /// The file that is needed.
        expected: String,
        /// What was found instead.
        found: String,
    },

    /// A JSON part does not parse.
    #[error("{}: {what} is not valid JSON of the expected form: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Which part of the file.
        what: &'static str,
        /// The parser's error, with line and column.
        source: serde_json::Error,
    },

    /// The file ends before something that its header announces.
    #[error(
        "{}: file is cut short: {what} needs {needed} bytes up to here, the file has {found}; fetch or copy it again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What was being read.
        what: String,
        /// Minimum length of the file in bytes.
        needed: u64,
        /// Actual length in bytes.
        found: u64,
    },

    /// A size in the file is beyond what this reader accepts.
    #[error("{}: {what} is {found}, more than the limit of {limit}; the file is damaged or not a checkpoint", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large.
        what: String,
        /// The largest value accepted.
        limit: u64,
        /// The value in the file.
        found: u64,
    },

    /// The file contradicts itself or its format.
    #[error("{}: {what}: expected {expected}, found {found}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Which part is wrong.
        what: String,
        /// What the format requires.
        expected: String,
        /// What was found.
        found: String,
    },

    /// No tensor has this name.
    #[error(
        "{}: no tensor named \"{name}\"{}",
        path.display(),
        nearest.as_ref().map_or_else(String::new, |n| format!("; the nearest name is \"{n}\""))
    )]
    UnknownTensor {
        /// The checkpoint.
        path: PathBuf,
        /// The requested name.
        name: String,
        /// The most similar existing name, if any is similar.
        nearest: Option<String>,
    },

    /// The tensor is stored in a format that cannot be made dense here.
    #[error("{}: tensor \"{tensor}\" is stored as {format}, which is not supported; supported are {SUPPORTED_FORMATS}", path.display())]
    UnsupportedFormat {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor, by its Hugging Face name where it has one.
        tensor: String,
        /// The stored format.
        format: String,
    },

    /// The configuration of a quantized checkpoint is unusable.
    #[error("{}: quantization configuration: {key}: expected {expected}, found {found}", path.display())]
    QuantizationConfig {
        /// The checkpoint.
        path: PathBuf,
        /// The place in the configuration, such as `quantization_config.bits`.
        key: String,
        /// What can be used.
        expected: String,
        /// What was found.
        found: String,
    },

    /// A stored part of a quantized weight is missing or inconsistent with the others.
    #[error("{}: tensor \"{tensor}\": expected {expected}, found {found}; {hint}", path.display())]
    QuantizedPart {
        /// The checkpoint.
        path: PathBuf,
        /// The part, or the weight that lacks it.
        tensor: String,
        /// What the format requires.
        expected: String,
        /// What was found.
        found: String,
        /// What to do.
        hint: &'static str,
    },

    /// The checkpoint contains tensors or keys that nothing reads and that are not known to be harmless.
    #[error(
        "{}: stored and read by nobody: {found}{layers}; without it this would be another model. If it may be left out, \
         `ignore = [\"{pattern}\"]` in [model] says so, and the record then says it too",
        path.display()
    )]
    Unread {
        /// The checkpoint.
        path: PathBuf,
        /// The first kinds of unread tensors or keys.
        found: String,
        /// Both numbers of layers if they differ; otherwise empty.
        layers: String,
        /// A pattern that matches the first kind.
        pattern: String,
    },

    /// A pattern for unread names that matches nothing.
    #[error(
        "{}: `ignore` in [model] has the pattern \"{pattern}\": expected the name of an unread tensor or key, with `*` for any \
         letters; nothing unread has such a name",
        path.display()
    )]
    NothingIgnored {
        /// The checkpoint.
        path: PathBuf,
        /// The pattern.
        pattern: String,
    },

    /// A dense weight cannot be quantized on load.
    #[error("load_in {kind}: expected {expected}, found {found}; load this model without load_in")]
    LoadIn {
        /// The requested format.
        kind: &'static str,
        /// What it needs.
        expected: &'static str,
        /// What the weight is.
        found: String,
    },

    /// The checkpoint comes without a tokenizer.
    #[error("{}: no tokenizer; expected {expected}", path.display())]
    NoTokenizer {
        /// Where it was looked for.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
    },

    /// The tokenizer in the metadata is of a kind that cannot be rebuilt exactly.
    #[error(
        "{}: {key} is \"{found}\", which is not supported; supported are {supported}. \
         A model directory with the original tokenizer.json works",
        path.display()
    )]
    UnsupportedTokenizer {
        /// The checkpoint.
        path: PathBuf,
        /// The metadata key.
        key: &'static str,
        /// Its value.
        found: String,
        /// The supported values.
        supported: &'static str,
    },

    /// A file could not be fetched from the hub.
    #[error("{model}: cannot fetch {file} from {endpoint}: {reason}; {hint}")]
    Hub {
        /// The model, as `hf:owner/name@revision`.
        model: String,
        /// File in the repository.
        file: String,
        /// Base address that was contacted.
        endpoint: String,
        /// Why the fetch failed.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
}
