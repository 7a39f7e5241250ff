//! Any bytes as what a run leaves behind: a record, or the journal of a cell.

use std::fs;
use std::path::Path;

use strait_runner::journal::{self, Journal, WindowEntry};
use strait_schema::{EDITED, Record};

use crate::assert_message;

/// A record: one that is accepted says the same after it was written and read again, and a damaged copy says what the whole
/// one says or has a warning.
pub(crate) fn record(bytes: &[u8], whole: Option<&[u8]>) {
    let Some((_folder, path)) = file(bytes) else { return };
    let record = match Record::load(&path) {
        Ok(record) => record,
        Err(error) => return assert_message(&error),
    };
    if record.save(&path).is_ok() {
        let again = Record::load(&path).map_err(|error| error.to_string());
        assert_eq!(again.map(|again| again.windows), Ok(record.windows.clone()));
    }
    let unwarned = record.content_sha256.is_some() && !record.warnings.iter().any(|w| w == EDITED);
    let whole = whole.and_then(|whole| serde_json::from_slice::<Record>(whole).ok());
    if let Some(whole) = whole.filter(|_| unwarned) {
        assert_eq!(record, whole, "a changed record without a warning");
    }
}

/// A journal: reading changes nothing and gives the same windows as opening, which cuts the rest off; a damaged copy has the
/// whole one's first windows, to the bit.
pub(crate) fn journal(bytes: &[u8], whole: Option<&[u8]>) {
    let Some((_folder, path)) = file(bytes) else { return };
    let cell = cell_of(bytes);
    let read = windows(&path, &cell);
    assert_eq!(fs::read(&path).ok().as_deref(), Some(bytes), "reading changed the file");

    let mut opened = Vec::new();
    let open = Journal::open(&path, &cell, |entry| opened.push(bits(entry)));
    match (&read, open.map(|journal| journal.windows())) {
        (Ok(read), Ok(count)) => {
            assert_eq!((count, read), (read.len(), &opened));
            let length = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            assert!(length <= bytes.len() as u64 || opened.is_empty(), "opening made it longer");
            assert_eq!(windows(&path, &cell).as_ref(), Ok(read), "opening lost windows");
        }
        (Err(_), Err(error)) => assert_message(&error),
        (read, open) => assert_eq!(read.is_ok(), open.is_ok(), "reading and opening disagree"),
    }
    let whole = whole.filter(|whole| cell_of(whole) == cell).and_then(file);
    if let (Some((_folder, path)), Ok(read)) = (whole, read) {
        let all = windows(&path, &cell).unwrap_or_default();
        assert!(all.starts_with(&read), "windows that nobody measured");
    }
}

/// The windows of a journal.
fn windows(path: &Path, cell: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let read = journal::read(path, cell, |entry, _| found.push(bits(entry)));
    match read {
        Ok(count) => {
            assert_eq!(count, found.len());
            Ok(found)
        }
        Err(error) => {
            assert_message(&error);
            Err(error.to_string())
        }
    }
}

/// A window as text that is equal only for the same numbers, NaN included.
fn bits(entry: &WindowEntry) -> String {
    let long = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let short = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    format!(
        "{} {:?} {:?} {:?} {:?} {:?} {:?}",
        entry.index,
        long(&entry.nll),
        long(&entry.base_nll),
        short(&entry.base_top),
        short(&entry.kld),
        entry.same_top,
        entry.links,
    )
}

/// The identity that the title of a journal states; any other where it states none.
fn cell_of(bytes: &[u8]) -> String {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
    let stated = head.split_once("\"cell\":\"").and_then(|(_, rest)| rest.split_once('"'));
    stated.map_or("0", |(cell, _)| cell).to_owned()
}

/// The bytes as a file, in a folder that goes with it.
fn file(bytes: &[u8]) -> Option<(tempfile::TempDir, std::path::PathBuf)> {
    let folder = tempfile::tempdir().ok()?;
    let path = folder.path().join("file");
    fs::write(&path, bytes).ok()?;
    Some((folder, path))
}
