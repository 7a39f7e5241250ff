//! What can go wrong between a text source and its windows.

use std::path::PathBuf;

/// An error of this crate. Its message says what was expected, what was found and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file that was named is not there or cannot be read.
    #[error("cannot read {}: {source}\n  hint: {hint}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
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
        /// The source as it was given.
        found: String,
        /// Where named sets are looked for.
        assets: PathBuf,
        /// The named sets, there and on the hub.
        known: Vec<String>,
        /// What to do.
        hint: String,
    },
    /// `hf:` with something else than a file of a data set.
    #[error(
        "text source {found:?}: {reason}\n  hint: expected hf:owner/name/path/of/file.parquet, or .jsonl or \
         .txt, with @revision if it is not main"
    )]
    Address {
        /// The source as it was given.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the hub that could not be had.
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
        /// The split that was asked for.
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
        /// The split that was asked for.
        split: String,
        /// The data files there.
        found: Vec<String>,
    },
    /// Text that is not UTF-8.
    #[error(
        "{place}: expected UTF-8, found an invalid byte after {valid_up_to} valid ones\n  hint: convert the file to UTF-8"
    )]
    NotUtf8 {
        /// File, with the row or line where there is one.
        place: String,
        /// Bytes before the invalid one, counted within the place.
        valid_up_to: usize,
    },
    /// A line of a .jsonl file does not hold a text.
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
    /// A parquet file that cannot be read.
    #[error(
        "cannot read {} as parquet: {message}\n  hint: expected a complete file, uncompressed or \
         compressed with snappy or zstd",
        path.display()
    )]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        message: String,
    },
    /// A parquet file without the string column of the text.
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
    /// A row without a text.
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
        /// What is there, and what to do.
        what: strait_hub::StandIn,
    },
    /// A tokenizer that cannot be used.
    #[error(
        "cannot use the tokenizer {name}: {message}\n  hint: expected a tokenizer.json as the Hugging \
         Face tokenizers library writes it"
    )]
    Tokenizer {
        /// Its file, or where it came from.
        name: String,
        /// What the library said.
        message: String,
    },
    /// A token that the model does not know.
    #[error(
        "token {token} at position {position} is outside the model's vocabulary of {vocabulary}\n  \
         hint: the tokenizer belongs to another model"
    )]
    OutsideVocabulary {
        /// The token id.
        token: u32,
        /// Where in the stream.
        position: usize,
        /// Tokens the model knows.
        vocabulary: usize,
    },
    /// A protocol field out of range.
    #[error("{key} = {found}: expected {expected}\n  hint: change `{key}` in {section}")]
    OutOfRange {
        /// The key in the experiment file.
        key: &'static str,
        /// Its section there.
        section: &'static str,
        /// Its value.
        found: usize,
        /// What it may be.
        expected: String,
    },
    /// Fewer tokens than the protocol needs.
    #[error(
        "the text has {found} token{}{}, but preset {preset} with window {window} needs at least {needed}\n  hint: {hint}",
        if *found == 1 { "" } else { "s" }, if *cut { " after first_k_tokens" } else { "" }
    )]
    TooShort {
        /// Tokens in use.
        found: usize,
        /// Whether `first_k_tokens` cut the text to them.
        cut: bool,
        /// The preset.
        preset: &'static str,
        /// Tokens in a window.
        window: usize,
        /// Tokens it needs.
        needed: usize,
        /// What to set.
        hint: String,
    },
}

fn list_or(names: &[String], none: &str) -> String {
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}
