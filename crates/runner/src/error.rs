//! Everything that can stop a run before or between windows.

use std::path::PathBuf;

/// Why a run could not start or go on. A cell that fails is not an error: it becomes a record with
/// status `failed`, and the other cells go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// The experiment file is wrong.
    #[error(transparent)]
    Schema(#[from] strait_schema::SchemaError),
    /// The text, the tokenizer or the protocol is wrong.
    #[error(transparent)]
    Data(#[from] strait_data::DataError),
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Weights(#[from] strait_weights::WeightsError),
    /// The model cannot be built or run.
    #[error(transparent)]
    Model(#[from] strait_model::ModelError),
    /// A plugin folder or a codec that the experiment names is not there.
    #[error(transparent)]
    Loader(Box<strait_loader::LoaderError>),
    /// A press could not be found or opened.
    #[error(transparent)]
    Press(Box<strait_loader::PressError>),
    /// A file could not be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The results folder's disk is too small for what the run will write.
    #[error(
        "the disk of {} has {available} bytes free, but this run writes about {needed}: free some space or set [output] dir to another disk",
        path.display()
    )]
    DiskFull {
        /// The results folder.
        path: PathBuf,
        /// Free bytes.
        available: u64,
        /// Bytes that journals and records will take.
        needed: u64,
    },
    /// The model by itself, without any codec, leaves what its type can hold.
    #[error(
        "window {window}: the uncompressed model's output is not finite in {dtype} on {device}, so there is nothing to compare a cell with: its hidden states leave the range of {dtype}, or its weights or config.json hold a value that is no number; try dtype = \"bf16\" or \"f32\""
    )]
    BaselineNotFinite {
        /// The first such window.
        window: usize,
        /// The model's type.
        dtype: &'static str,
        /// Where it ran.
        device: String,
    },
    /// Another process runs the same experiment.
    #[error("{} is in use by another run: wait for it, or set [output] dir to another folder", path.display())]
    Busy {
        /// The results folder.
        path: PathBuf,
    },
    /// A journal holds other windows than those that were measured.
    #[error(
        "{}: expected the journal to hold {expected} windows, found {found}; somebody else has changed or removed it\n  hint: what is whole stays, so start the run again, with no other program in its results folder", path.display()
    )]
    JournalLost {
        /// The journal.
        path: PathBuf,
        /// Windows that were appended to it.
        expected: usize,
        /// Windows that are whole.
        found: usize,
    },
    /// Somebody else writes to a journal.
    #[error(
        "{}: expected the journal to be {expected} bytes long, as this run has left it, found {found}\n  hint: let no other program write to the results folder, and start the run again", path.display()
    )]
    JournalChanged {
        /// The journal.
        path: PathBuf,
        /// Its length after the last append.
        expected: u64,
        /// Its length now.
        found: u64,
    },
    /// The journal in the place of a cell's is that of another cell.
    #[error(
        "{}: expected the journal of the cell {expected}, found that of {found}\n  hint: remove the file, or run with --fresh", path.display()
    )]
    ForeignJournal {
        /// The file.
        path: PathBuf,
        /// Identity of the cell.
        expected: String,
        /// Identity that the file names.
        found: String,
    },
    /// The cell that was to generate does not exist, or does not work on the KV cache.
    #[error("cell {found:?}: expected one of {}{}", known.join(", "), if *link { "; the codec of a link has no part in generation" } else { "" })]
    UnknownCell {
        /// The label that was asked for.
        found: String,
        /// Labels that there are.
        known: Vec<String>,
        /// Whether it is a cell of `[[compressor]]`.
        link: bool,
    },
    /// A press or codec failed while text was generated.
    #[error("the cell failed: {reason}")]
    Cell {
        /// Layer and cause.
        reason: String,
    },
    /// Nothing to go on from.
    #[error("the prompt has no tokens: expected some text to go on from")]
    EmptyPrompt,
    /// More tokens than the model has positions for.
    #[error(
        "{tokens} tokens: expected at most {most}, because the model has {positions} positions; shorten the context"
    )]
    TooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Positions of the model.
        positions: usize,
        /// Tokens that leave room for a new one.
        most: usize,
    },
    /// A value that is always representable was not: a defect of strait.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<strait_loader::PressError> for RunnerError {
    fn from(error: strait_loader::PressError) -> Self {
        Self::Press(Box::new(error))
    }
}

impl From<strait_loader::LoaderError> for RunnerError {
    fn from(error: strait_loader::LoaderError) -> Self {
        Self::Loader(Box::new(error))
    }
}

impl RunnerError {
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }

    /// What a panic says.
    pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Internal(format!("a stage panicked: {}", text.unwrap_or("no text")))
    }
}
