//! Records on disk: written whole or not at all, refused when they are of another version.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::content;
use crate::error::shortened;
use crate::{RECORD_SCHEMA, Record, SchemaError, WindowSums};

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// If the file cannot be read, is not a record, is of another schema version, states an identity
    /// that its contents do not have, or has totals that are not the sums of its windows. A record whose content hash is
    /// not that of its content has a warning that says so.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, SchemaError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path)
            .map_err(|source| SchemaError::Read { path: path.to_owned(), source })?;
        let not_a_record = |message: String| SchemaError::NotARecord {
            path: path.to_owned(),
            message: shortened(message),
        };
        let value: Value =
            serde_json::from_str(&text).map_err(|error| not_a_record(error.to_string()))?;
        let version =
            value.get("schema").ok_or_else(|| not_a_record("no key `schema`".to_owned()))?;
        if version.as_u64() != Some(u64::from(RECORD_SCHEMA)) {
            return Err(SchemaError::RecordVersion {
                path: path.to_owned(),
                expected: RECORD_SCHEMA,
                found: version.to_string(),
            });
        }
        let edited = content::edited(&value);
        // From the text again, not from the value: only then does an error know its line.
        let mut record: Self =
            serde_json::from_str(&text).map_err(|error| not_a_record(error.to_string()))?;
        let expected = record.cell.identity();
        if record.id != expected {
            let (path, found) = (path.to_owned(), record.id);
            return Err(SchemaError::RecordIdentity { path, expected, found });
        }
        if let Some(found) = record.contradiction() {
            return Err(SchemaError::RecordSums { path: path.to_owned(), found });
        }
        record.warnings.extend(edited.filter(|warning| !record.warnings.contains(warning)));
        Ok(record)
    }

    /// Writes the record with the hash of its content. A reader sees the old file or the new one, never a part; after a return
    /// the new one survives a power cut.
    ///
    /// # Errors
    /// If the folder cannot be written, or if a number is infinite or NaN, which JSON cannot hold.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), SchemaError> {
        let path = path.as_ref();
        if let Some(field) = self.not_finite() {
            return Err(SchemaError::NotFinite { label: self.label.clone(), field });
        }
        let write_error =
            |error| SchemaError::Write { path: path.to_owned(), source: io::Error::other(error) };
        let sealed =
            Self { content_sha256: content::hash(self).map_err(write_error)?, ..self.clone() };
        save_json(&sealed, path)
    }

    /// The file name of the record: its label in plain letters and the start of its identity.
    #[must_use]
    pub fn file_name(&self) -> String {
        let id: String = self.id.chars().take(12).collect();
        // A file system takes 255 bytes; records of earlier releases may have longer labels.
        let label: String = plain(&self.label).chars().take(200).collect();
        format!("{label}-{id}.json")
    }

    /// Totals that are not the sums of the windows, and what they are.
    fn contradiction(&self) -> Option<String> {
        let scores = self.scores.as_ref()?;
        let sum = |of: fn(&WindowSums) -> f64| self.windows.iter().map(of).sum::<f64>();
        let totals = [
            ("scored", sum(|window| window.scored as f64), scores.sums.n as f64),
            ("sums.a", sum(|window| window.sums.a), scores.sums.a),
            ("sums.b", sum(|window| window.sums.b), scores.sums.b),
            ("sums.d", sum(|window| window.sums.d), scores.sums.d),
            ("sums.dd", sum(|window| window.sums.dd), scores.sums.dd),
            ("kld_sum", sum(|window| window.kld_sum), scores.kld.mean * scores.sums.n as f64),
            ("same_top", sum(|window| window.same_top as f64), scores.agreement.same as f64),
        ];
        // The totals were added token by token, and JSON keeps 17 digits of each.
        let differs = |(_, windows, total): &(&str, f64, f64)| {
            (windows - total).abs() > 1e-9 * (windows.abs() + scores.sums.n as f64)
        };
        let (field, windows, total) = totals.into_iter().find(differs)?;
        Some(format!("{field} of the windows adding up to {windows}, and {total} as the total"))
    }

    /// The first field with a number that JSON cannot hold.
    fn not_finite(&self) -> Option<String> {
        if let Some(scores) = &self.scores {
            if !scores.sums.is_finite() {
                return Some("scores.sums".to_owned());
            }
            if !scores.kld.is_finite() {
                return Some("scores.kld".to_owned());
            }
            if scores.shift.is_some_and(|shift| !shift.is_finite()) {
                return Some("scores.shift".to_owned());
            }
            if scores.confidence.iter().flatten().any(|bucket| !bucket.kld.is_finite()) {
                return Some("scores.confidence".to_owned());
            }
        }
        let window = |sums: &WindowSums| sums.sums.is_finite() && sums.kld_sum.is_finite();
        if let Some(at) = self.windows.iter().position(|sums| !window(sums)) {
            return Some(format!("windows[{at}]"));
        }
        let link = |counts: &crate::LinkCounts| {
            let sums = &counts.distortion;
            [sums.squared_error, sums.squared_signal, sums.dot, sums.squared_output, sums.max_abs]
                .into_iter()
                .chain([counts.encode_s, counts.decode_s])
                .all(f64::is_finite)
        };
        self.links.iter().position(|counts| !link(counts)).map(|at| format!("links[{at}]"))
    }
}

/// A label as part of a file name: lower-case letters, digits, `.`, `_` and single hyphens.
pub(crate) fn plain(label: &str) -> String {
    let mut name = String::new();
    for c in label.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
            name.push(c);
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    name.trim_matches(['-', '.']).to_owned()
}

/// Writes a value as JSON, whole or not at all.
pub(crate) fn save_json(value: &impl serde::Serialize, path: &Path) -> Result<(), SchemaError> {
    let write_error = |source| SchemaError::Write { path: path.to_owned(), source };
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| write_error(io::Error::other(error)))?;
    text.push('\n');
    write_whole(path, text.as_bytes()).map_err(write_error)
}

/// Writes to a temporary file of the same folder, syncs it, and renames it over `path`.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary: PathBuf = folder.join(name);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one worth reporting.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    // Makes the rename itself durable.
    File::open(folder)?.sync_all()
}
