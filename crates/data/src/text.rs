//! Where a text comes from: a file of the user's or a named data set in the assets folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::hash::sha256_hex;
use crate::{DataError, Join, read};

/// A text to evaluate on, as an experiment names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextSource {
    /// A `.txt`, `.raw`, `.jsonl` or `.parquet` file, or the name of a data set: a folder that
    /// holds such files.
    pub source: String,
    /// The split of a data set, the beginning of its files' names. A single file has none, and this
    /// is not looked at.
    pub split: String,
    /// How rows are joined; [`Join::BlankLine`] if left out. A `.txt` or `.raw` file is the text as it
    /// stands, and this is not looked at.
    pub join: Option<Join>,
}

/// A text, ready for tokenization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What it is called: the source as it was given, with the split if it has one.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// SHA-256 (hexadecimal) of the text in UTF-8.
    pub sha256: String,
    /// Rows it was joined from, empty ones included.
    pub rows: usize,
    /// How they were joined; `None` for a text that is one file as it stands.
    pub join: Option<Join>,
}

/// Reads a text.
///
/// A source that ends in a known file extension is a file, relative to `base`. Any other is a
/// folder: `assets/<source>` if there is one, else relative to `base`.
///
/// # Errors
/// A missing or unreadable file, an unknown name or split, a missing column, a line that is not
/// JSON with a text, and bytes that are not UTF-8.
pub fn load(source: &TextSource, base: &Path, assets: &Path) -> Result<Text, DataError> {
    let path = base.join(&source.source);
    if read::Format::of(&path).is_some() && !path.is_dir() {
        return joined(source.source.clone(), &[path], source.join);
    }
    let folder = match [assets.join(&source.source), path].into_iter().find(|path| path.is_dir()) {
        Some(folder) if !source.source.is_empty() => folder,
        _ => return Err(unknown(source, assets)),
    };
    let files = split_files(&folder, &source.split)?;
    joined(format!("{}/{}", source.source, source.split), &files, source.join)
}

fn joined(name: String, files: &[PathBuf], join: Option<Join>) -> Result<Text, DataError> {
    let mut rows = Vec::new();
    let mut as_is = files.len() == 1;
    for file in files {
        as_is &= read::rows(file, &mut rows)? == read::Format::Text;
    }
    let join = (!as_is).then_some(join.unwrap_or_default());
    let count = rows.len();
    let text = match join {
        Some(join) => join.apply(&rows),
        None => rows.pop().unwrap_or_default(),
    };
    Ok(Text { name, sha256: sha256_hex(text.as_bytes()), text, rows: count, join })
}

/// The data files of a split in the order of their names, which is the order of their shards.
fn split_files(folder: &Path, split: &str) -> Result<Vec<PathBuf>, DataError> {
    let names = data_files(folder).map_err(|source| DataError::Read {
        path: folder.to_owned(),
        source,
        hint: "check the folder's permissions",
    })?;
    let of_split =
        |name: &&String| name.strip_prefix(split).is_some_and(|rest| rest.starts_with(['-', '.']));
    let files: Vec<PathBuf> = names.iter().filter(of_split).map(|name| folder.join(name)).collect();
    if files.is_empty() {
        let (path, split) = (folder.to_owned(), split.to_owned());
        return Err(DataError::UnknownSplit { path, split, found: names });
    }
    Ok(files)
}

fn data_files(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(folder)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| read::Format::of(Path::new(name)).is_some())
        .collect();
    names.sort();
    Ok(names)
}

fn unknown(source: &TextSource, assets: &Path) -> DataError {
    let folders = fs::read_dir(assets).into_iter().flatten().filter_map(Result::ok);
    let mut known: Vec<String> = folders
        .filter(|entry| data_files(&entry.path()).is_ok_and(|files| !files.is_empty()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    known.sort();
    DataError::UnknownSource { found: source.source.clone(), assets: assets.to_owned(), known }
}
