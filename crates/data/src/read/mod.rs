//! Rows of text from a file, one reader a format.

mod jsonl;
mod parquet;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::DataError;

/// A file format, known by the file's extension. Text and JSON lines may also be compressed (`.gz`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `.txt`, `.raw`: the text as it stands, one row.
    Text,
    /// `.jsonl`, `.json`: one object a line, the row under `text`.
    JsonLines,
    /// `.parquet`: the rows of column `text`.
    Parquet,
}

impl Format {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let (plain, compressed) = match name.strip_suffix(".gz") {
            Some(plain) => (plain, true),
            None => (name.as_str(), false),
        };
        match plain.rsplit_once('.')?.1 {
            "txt" | "raw" => Some(Self::Text),
            "jsonl" | "json" => Some(Self::JsonLines),
            "parquet" if !compressed => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// Appends the rows of a file until there are `limit`, and says what format it has.
pub(crate) fn rows(path: &Path, limit: usize, rows: &mut Vec<String>) -> Result<Format, DataError> {
    let format = Format::of(path).unwrap_or(Format::Text);
    match format {
        Format::Text => {
            let mut bytes = Vec::new();
            open(path)?.read_to_end(&mut bytes).map_err(|source| unreadable(path, source))?;
            rows.push(utf8(bytes, || path.display().to_string())?);
        }
        Format::JsonLines => jsonl::rows(path, limit, rows)?,
        Format::Parquet => parquet::rows(path, limit, rows)?,
    }
    Ok(format)
}

/// The bytes of a file, decompressed.
fn open(path: &Path) -> Result<Box<dyn Read>, DataError> {
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    let compressed = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz"));
    if compressed {
        Ok(Box::new(MultiGzDecoder::new(BufReader::new(file))))
    } else {
        Ok(Box::new(file))
    }
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
