//! Reads rows of text from a file, with one reader per format. In files with several fields, the rows are under
//! the key `text` or another one that the experiment names.

mod jsonl;
mod parquet;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use strait_hub::StandIn;

use crate::DataError;

/// The default JSON Lines key, and parquet column, of a row's text.
pub(crate) const TEXT_KEY: &str = "text";

/// A file format, recognised by the file's extension. Text and JSON Lines may also be compressed (`.gz`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `.txt`, `.raw`: the text unchanged, as one row.
    Text,
    /// `.jsonl`, `.json`: one object per line, with the row under a key.
    JsonLines,
    /// `.parquet`: the rows of a column.
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

/// Appends the rows of a file until there are `limit`, and returns its format. `key` is that of the text.
pub(crate) fn rows(
    path: &Path,
    key: &str,
    limit: usize,
    rows: &mut Vec<String>,
) -> Result<Format, DataError> {
    let format = Format::of(path).unwrap_or(Format::Text);
    refuse_stand_in(path, format)?;
    match format {
        Format::Text => {
            let mut bytes = Vec::new();
            open(path)?.read_to_end(&mut bytes).map_err(|source| unreadable(path, source))?;
            rows.push(utf8(bytes, || path.display().to_string())?);
        }
        Format::JsonLines => jsonl::rows(path, key, limit, rows)?,
        Format::Parquet => parquet::rows(path, key, limit, rows)?,
    }
    Ok(format)
}

/// Rejects what was saved in place of the file. A web page may be the intended text; a Git LFS pointer hardly
/// ever is.
fn refuse_stand_in(path: &Path, format: Format) -> Result<(), DataError> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    file.take(512).read_to_end(&mut start).map_err(|source| unreadable(path, source))?;
    match StandIn::of(&start) {
        Some(what) if what != StandIn::Page || format != Format::Text => {
            Err(DataError::StandIn { path: path.to_owned(), what })
        }
        _ => Ok(()),
    }
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
