//! What can go wrong between a text source and its windows.

use std::path::PathBuf;

/// An error of this crate. Its message says what was expected, what was found and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A named file does not exist or cannot be read.
    #[error("cannot read {}: {source}\n  hint: {hint}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The text source is neither a file nor a named set.
    #[error(
        "unknown text source {found:?}: expected a .txt, .raw, .jsonl or .parquet file, a folder of \
         {}, or a known set ({})\n  hint: {hint}",
        assets.display(), known.join(", ")
    )]
    UnknownSource {
        /// The source, as given.
        found: String,
        /// The folder in which named sets are searched for.
        assets: PathBuf,
        /// The named sets, both there and on the hub.
        known: Vec<String>,
        /// What to do.
        hint: String,
    },
    /// The part after `hf:` does not name a file of a data set.
    #[error(
        "text source {found:?}: {reason}\n  hint: expected hf:owner/name/path/of/file.parquet, or .jsonl or \
         .txt, with @revision if it is not main"
    )]
    Address {
        /// The source, as given.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be fetched from the hub.
    #[error(transparent)]
    Hub(#[from] strait_hub::HubError),
    /// A known set has no such split.
    #[error(
        "{set} has no split {split:?}: expected one of {}\n  hint: set `split` in [data]",
        known.join(", ")
    )]
    UnknownSplitOfSet {
        /// The set.
        set: &'static str,
        /// The requested split.
        split: String,
        /// The splits that it has.
        known: Vec<&'static str>,
    },
    /// A data set has no file of the split.
    #[error(
        "{} has no split {split:?}: expected a file {split}.* or {split}-*, found {}\n  hint: set \
         `split` in [data]",
        path.display(), list_or(found, "no data file")
    )]
    UnknownSplit {
        /// The folder of the data set.
        path: PathBuf,
        /// The requested split.
        split: String,
        /// The data files there.
        found: Vec<String>,
    },
    /// The text is not UTF-8.
    #[error(
        "{place}: expected UTF-8, found an invalid byte after {valid_up_to} valid ones\n  hint: convert the file to UTF-8"
    )]
    NotUtf8 {
        /// The file, with the row or line if there is one.
        place: String,
        /// Number of valid bytes before the first invalid one, counted within `place`.
        valid_up_to: usize,
    },
    /// A line of a .jsonl file does not contain a text.
    #[error(
        "{}:{line}: expected a JSON object with a string under {key:?}, found {found}\n  hint: name the key that \
         holds the text with `key` in [data]",
        path.display()
    )]
    JsonLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key of the text.
        key: String,
        /// What is wrong with it.
        found: String,
    },
    /// A parquet file cannot be read.
    #[error(
        "cannot read {} as parquet: {message}\n  hint: expected a complete file, uncompressed or \
         compressed with snappy or zstd",
        path.display()
    )]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The reader's message.
        message: String,
    },
    /// A parquet file lacks the string column of the text.
    #[error(
        "{}: expected a string column `{key}`, found {}\n  hint: name the column that holds the text with `key` in \
         [data]",
        path.display(), list_or(found, "no columns")
    )]
    NoTextColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        key: String,
        /// The columns there, with their types.
        found: Vec<String>,
    },
    /// A row has no text.
    #[error("{}: row {row} of column `{key}` is null, expected a string\n  hint: drop the row or write \"\"", path.display())]
    NullRow {
        /// The file.
        path: PathBuf,
        /// The column.
        key: String,
        /// The row, from 0.
        row: usize,
    },
    /// Something else was saved in place of a file.
    #[error("{}: this is {what}", path.display())]
    StandIn {
        /// The file.
        path: PathBuf,
        /// What was found, and what to do about it.
        what: strait_hub::StandIn,
    },
    /// The tokenizer cannot be used.
    #[error(
        "cannot use the tokenizer {name}: {message}\n  hint: expected a tokenizer.json as the Hugging \
         Face tokenizers library writes it"
    )]
    Tokenizer {
        /// Its file, or its origin.
        name: String,
        /// The library's message.
        message: String,
    },
    /// A token is outside the model's vocabulary.
    #[error(
        "token {token} at position {position} is outside the model's vocabulary of {vocabulary}\n  \
         hint: the tokenizer belongs to another model"
    )]
    OutsideVocabulary {
        /// The token id.
        token: u32,
        /// Position in the token stream.
        position: usize,
        /// Size of the model's vocabulary.
        vocabulary: usize,
    },
    /// A protocol field is out of range.
    #[error("{key} = {found}: expected {expected}\n  hint: change `{key}` in {section}")]
    OutOfRange {
        /// The key in the experiment file.
        key: &'static str,
        /// The section of that key.
        section: &'static str,
        /// Its value.
        found: usize,
        /// The allowed values.
        expected: String,
    },
    /// There are fewer tokens than the protocol needs.
    #[error(
        "the text has {found} token{}{}, but preset {preset} with window {window} needs at least {needed}\n  hint: {hint}",
        if *found == 1 { "" } else { "s" }, if *cut { " after first_k_tokens" } else { "" }
    )]
    TooShort {
        /// Number of tokens in use.
        found: usize,
        /// Whether `first_k_tokens` reduced the text to them.
        cut: bool,
        /// The preset.
        preset: &'static str,
        /// Number of tokens in a window.
        window: usize,
        /// Number of tokens that the protocol needs.
        needed: usize,
        /// What to set.
        hint: String,
    },
}

fn list_or(names: &[String], none: &str) -> String {
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}
