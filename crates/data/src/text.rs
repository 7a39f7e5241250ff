//! Where a text comes from: a user's file, or a named data set in the assets folder or on the Hugging
//! Face hub.

use std::fs;
use std::path::{Path, PathBuf};

use strait_hub::{Address, Hub, Kind, Progress, Repository, Silent};

use crate::hash::sha256_hex;
use crate::sets::{self, NamedSet};
use crate::{DataError, Join, read};

/// A text to evaluate on, as an experiment names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextSource {
    /// A `.txt`, `.raw`, `.jsonl`, `.json` (one object per line) or `.parquet` file, text and JSON also
    /// with `.gz`; `hf:owner/name/path/of/such/a/file[@revision]` in a data set on the hub; or the name
    /// of a data set: one of the known ones or a folder that contains such files.
    pub source: String,
    /// The split of a data set, with which its files' names begin. A single file has no split, and this
    /// is ignored.
    pub split: String,
    /// How rows are joined; [`Join::BlankLine`] by default. Ignored for a `.txt` or `.raw` file, whose
    /// text is used unchanged.
    pub join: Option<Join>,
    /// Use only this row (from 0), unchanged.
    pub sample_idx: Option<usize>,
    /// Use only this many rows from the start; by default all, except 1100 for `c4-en`.
    pub max_documents: Option<usize>,
    /// The JSON Lines key, or parquet column, of the text; `text` by default.
    pub key: Option<String>,
}

/// A text, ready for tokenization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The name of the text: the source as given, with the split if it has one.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// SHA-256 (hexadecimal) of the text in UTF-8.
    pub sha256: String,
    /// Number of rows it was joined from, including empty ones.
    pub rows: usize,
    /// How they were joined; `None` for a file whose text is used unchanged.
    pub join: Option<Join>,
}

/// Reads a text, using the hub as the environment configures it.
///
/// # Errors
/// As for [`load_with`].
pub fn load(source: &TextSource, base: &Path, assets: &Path) -> Result<Text, DataError> {
    let hub = Hub::from_environment(|name| std::env::var(name).ok());
    load_with(source, base, assets, &hub, &mut Silent)
}

/// Reads a text.
///
/// A source that ends in a known file extension is a file, relative to `base`. Any other is a folder:
/// `assets/<source>` if it exists, otherwise relative to `base`. If neither has the split, it is a
/// known set of the `hub`, which reports its downloads to `progress`.
///
/// # Errors
/// A missing or unreadable file, an unknown name, split or row, a missing column, a line that is not
/// JSON with a text, bytes that are not UTF-8, and anything that prevents a file from being fetched
/// from the hub.
pub fn load_with(
    source: &TextSource,
    base: &Path,
    assets: &Path,
    hub: &Hub,
    progress: &mut dyn Progress,
) -> Result<Text, DataError> {
    if let Some(text) = source.source.strip_prefix("hf:") {
        let (repository, file) = address(text)
            .map_err(|reason| DataError::Address { found: source.source.clone(), reason })?;
        let path = hub.get(&repository, &file, progress)?;
        return Rows::read(&[path], source, None)?.text(source.source.clone());
    }
    let path = base.join(&source.source);
    if read::Format::of(&path).is_some() && !path.is_dir() {
        return Rows::read(&[path], source, None)?.text(source.source.clone());
    }
    let set = sets::find(&source.source);
    let files = files(source, set, &[assets.join(&source.source), path], hub, progress)?;
    let files = files.ok_or_else(|| unknown(source, assets))?;
    Rows::read(&files, source, set)?.text(format!("{}/{}", source.source, source.split))
}

/// The files of a data set's split, or `None` if there is no such set.
fn files(
    source: &TextSource,
    set: Option<&NamedSet>,
    folders: &[PathBuf],
    hub: &Hub,
    progress: &mut dyn Progress,
) -> Result<Option<Vec<PathBuf>>, DataError> {
    let folder = folders.iter().find(|path| !source.source.is_empty() && path.is_dir());
    let local = folder.map(|folder| split_files(folder, &source.split)).transpose();
    match (local, set) {
        (Ok(Some(files)), _) => return Ok(Some(files)),
        (Err(error), None) => return Err(error),
        (Ok(None), None) => return Ok(None),
        (Ok(None) | Err(_), Some(_)) => {}
    }
    let Some(set) = set else { return Ok(None) };
    let names = set.files(&source.split).ok_or_else(|| DataError::UnknownSplitOfSet {
        set: set.name,
        split: source.split.clone(),
        known: set.splits.iter().map(|(name, _)| *name).collect(),
    })?;
    let repository = Repository {
        kind: Kind::Dataset,
        name: set.repository.to_owned(),
        revision: "main".to_owned(),
    };
    let paths = names.iter().map(|name| hub.get(&repository, name, progress));
    Ok(Some(paths.collect::<Result<_, _>>()?))
}

/// Parses `owner/name/path/of/file[@revision]`.
fn address(text: &str) -> Result<(Repository, String), String> {
    let address = Address::parse(text)?;
    let repository = address.repository(Kind::Dataset);
    let file = address.file.ok_or("the file is missing")?;
    match read::Format::of(Path::new(&file)) {
        Some(_) => Ok((repository, file)),
        None => Err(format!("{file} is no text, JSON lines or parquet file")),
    }
}

/// Rows that were read, and how they become a text.
struct Rows {
    rows: Vec<String>,
    /// How to join them; `None` for a text that is one file or row, unchanged.
    join: Option<Join>,
    sample: Option<usize>,
}

impl Rows {
    fn read(
        files: &[PathBuf],
        source: &TextSource,
        set: Option<&NamedSet>,
    ) -> Result<Self, DataError> {
        let most = source.max_documents.or(set.and_then(|set| set.max_documents));
        let limit = match source.sample_idx {
            Some(sample) => sample.saturating_add(1),
            None => most.unwrap_or(usize::MAX),
        };
        let mut rows = Vec::new();
        let key = source.key.as_deref().unwrap_or(read::TEXT_KEY);
        let mut as_is = files.len() == 1;
        for file in files.iter().take_while(|_| limit > 0) {
            if rows.len() < limit {
                as_is &= read::rows(file, key, limit, &mut rows)? == read::Format::Text;
            }
        }
        let join = source.join.or(set.and_then(|set| set.join)).unwrap_or_default();
        Ok(Self { rows, join: (!as_is).then_some(join), sample: source.sample_idx })
    }

    fn text(mut self, mut name: String) -> Result<Text, DataError> {
        let mut count = self.rows.len();
        let mut join = self.join;
        if let Some(sample) = self.sample {
            if sample >= count {
                return Err(DataError::OutOfRange {
                    key: "sample_idx",
                    section: "[data]",
                    found: sample,
                    expected: format!("less than {count}, the rows of {name}"),
                });
            }
            name = format!("{name}[{sample}]");
            (count, join) = (1, None);
        }
        let text = match join {
            Some(join) => join.apply(&self.rows),
            None => self.rows.pop().unwrap_or_default(),
        };
        Ok(Text { name, sha256: sha256_hex(text.as_bytes()), text, rows: count, join })
    }
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
        .chain(sets::names().map(str::to_owned))
        .collect();
    known.sort();
    known.dedup();
    let (found, assets) = (source.source.clone(), assets.to_owned());
    let hint = match (sets::meant(&found), Address::parse(&found)) {
        (Some(name), _) => format!("it is called {name:?} here: set `source` in [data]"),
        (None, Ok(_)) => format!(
            "a file of a data set of the hub is written \"hf:{found}/path/of/file.parquet\": set `source` in [data]"
        ),
        (None, Err(_)) => "set `source` in [data]".to_owned(),
    };
    DataError::UnknownSource { found, assets, known, hint }
}
