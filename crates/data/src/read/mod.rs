//! Rows of text from a file, one reader a format.

mod jsonl;
mod parquet;

use std::fs;
use std::path::Path;

use crate::DataError;

/// A file format, known by the file's extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `.txt`, `.raw`: the text as it stands, one row.
    Text,
    /// `.jsonl`: one object a line, the row under `text`.
    JsonLines,
    /// `.parquet`: the rows of column `text`.
    Parquet,
}

impl Format {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "txt" | "raw" => Some(Self::Text),
            "jsonl" => Some(Self::JsonLines),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// Appends the rows of a file and says what format it has.
pub(crate) fn rows(path: &Path, rows: &mut Vec<String>) -> Result<Format, DataError> {
    let format = Format::of(path).unwrap_or(Format::Text);
    match format {
        Format::Text => rows.push(utf8(bytes(path)?, || path.display().to_string())?),
        Format::JsonLines => jsonl::rows(path, rows)?,
        Format::Parquet => parquet::rows(path, rows)?,
    }
    Ok(format)
}

fn bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    fs::read(path).map_err(|source| unreadable(path, source))
}

fn unreadable(path: &Path, source: std::io::Error) -> DataError {
    let hint = "set `source` in [data] to a file that exists and can be read";
    DataError::Read { path: path.to_owned(), source, hint }
}

fn utf8(bytes: Vec<u8>, place: impl FnOnce() -> String) -> Result<String, DataError> {
    String::from_utf8(bytes).map_err(|error| DataError::NotUtf8 {
        place: place(),
        valid_up_to: error.utf8_error().valid_up_to(),
    })
}
