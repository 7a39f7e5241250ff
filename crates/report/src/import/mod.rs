//! Results of other programs: split-bench, kvpress-pythia and exllamav3's compare_q.
//!
//! Their records hold a perplexity and what the program declared about bytes. Nothing can be recounted, so
//! imported results are marked, have no paired error and never stand on a front.

mod compare_q;
mod kvpress;
mod split_bench;

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use strait_schema::{IMPORTED_SCHEMA, Imported, ImportedSite, SchemaError};

use crate::ReportError;

/// Reads JSON files of the three programs, told apart by their keys, and folders with what is below them.
/// Also gives what was left out of folders, and why.
///
/// # Errors
/// If a path cannot be read, or a file that was named is none of them or has no perplexity.
pub fn import(paths: &[PathBuf]) -> Result<(Vec<Imported>, Vec<String>), ReportError> {
    let (mut results, mut notes) = (Vec::new(), Vec::new());
    for path in paths {
        if path.is_dir() {
            for file in json_files(path)? {
                match import_file(&file) {
                    Ok(found) => results.extend(found),
                    Err(error) => notes.push(format!("left out: {error}")),
                }
            }
        } else {
            results.extend(import_file(path)?);
        }
    }
    split_bench::fill_bits(&mut results);
    Ok((results, notes))
}

fn json_files(folder: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let fail = |source| ReportError::Read { path: folder.to_owned(), source };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        entries.push(entry.map_err(fail)?.path());
    }
    entries.sort();
    let mut files = Vec::new();
    for path in entries {
        if path.is_dir() {
            files.extend(json_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    Ok(files)
}

fn import_file(path: &Path) -> Result<Vec<Imported>, ReportError> {
    let bytes = std::fs::read(path)
        .map_err(|source| SchemaError::Read { path: path.to_owned(), source })?;
    let fail = |found: String| ReportError::Import { path: path.to_owned(), found };
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| fail(error.to_string()))?;
    let source = Source {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        folder: path
            .parent()
            .and_then(Path::file_name)
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        sha256: Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let results = if value.get("traffic_totals").is_some() && value.get("args").is_some() {
        split_bench::read(&value, &source)
    } else if value.get("press").is_some() {
        kvpress::read(&value, &source)
    } else if value.as_array().is_some_and(|rows| rows.iter().any(|r| r.get("layer_bpw").is_some()))
    {
        compare_q::read(&value, &source)
    } else {
        return Err(fail("JSON with other keys".to_owned()));
    };
    results.map_err(fail)
}

/// Where results come from.
struct Source {
    file: String,
    /// Name of the folder: split-bench names the compressor nowhere else.
    folder: String,
    sha256: String,
}

impl Source {
    fn result(&self, origin: &str, site: ImportedSite) -> Imported {
        Imported {
            imported: IMPORTED_SCHEMA,
            origin: origin.to_owned(),
            file: self.file.clone(),
            file_sha256: self.sha256.clone(),
            label: String::new(),
            family: String::new(),
            site,
            model: String::new(),
            protocol: String::new(),
            baseline: false,
            scored_tokens: None,
            ppl: f64::NAN,
            kld: None,
            bits_per_value: None,
            bytes_per_token: None,
            warnings: vec!["imported: bytes are declared, not counted".to_owned()],
        }
    }
}

fn text(value: &Value, key: &str) -> Result<String, String> {
    let found = value[key].as_str().map(str::to_owned);
    found.ok_or_else(|| format!("no text {key:?}"))
}

fn number(value: &Value, key: &str) -> Option<f64> {
    value[key].as_f64().filter(|number| number.is_finite())
}

fn perplexity(value: &Value, key: &str) -> Result<f64, String> {
    number(value, key).ok_or_else(|| format!("no perplexity in {key:?} (null or missing)"))
}
