//! A result of another program, in the form in which it stands beside records: what it declared, not
//! what was counted.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::store;
use crate::SchemaError;

/// The version of the format that this release writes and reads.
pub const IMPORTED_SCHEMA: u32 = 1;

/// The end of the file names of imported results.
pub const IMPORTED_SUFFIX: &str = ".imported.json";

/// One result of another program. Nothing in it was measured by strait: bytes are declared, there are no
/// likelihoods of single tokens, so a difference has no paired error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// Version of this format: 1.
    pub imported: u32,
    /// The program: `split-bench`, `kvpress-pythia` or `compare_q`.
    pub origin: String,
    /// Name of the file it came from.
    pub file: String,
    /// SHA-256 (hexadecimal) of that file.
    pub file_sha256: String,
    /// Name in tables.
    pub label: String,
    /// Family in tables and colours: the codec, press or format.
    pub family: String,
    /// What was compressed.
    pub site: ImportedSite,
    /// The model, as the program names it.
    pub model: String,
    /// What is known of the protocol, in one line. Results with the same model and protocol compare.
    pub protocol: String,
    /// Whether this is the result without compression.
    pub baseline: bool,
    /// Scored tokens, if known.
    pub scored_tokens: Option<u64>,
    /// Perplexity.
    pub ppl: f64,
    /// Mean divergence from the program's own reference in nats, if it has one.
    pub kld: Option<f64>,
    /// Declared bits per value (or per weight).
    pub bits_per_value: Option<f64>,
    /// Declared bytes per token on one link.
    pub bytes_per_token: Option<f64>,
    /// What a reader should know before believing the numbers.
    pub warnings: Vec<String>,
}

/// What a result of another program compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImportedSite {
    /// Hidden states at partition boundaries.
    Links,
    /// The cache of keys and values.
    Kv,
    /// The weights.
    Weights,
}

impl Imported {
    /// Reads a file of [`Imported::save`].
    ///
    /// # Errors
    /// If it cannot be read, is no imported result, or is of another version.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, SchemaError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| SchemaError::Read { path: path.to_owned(), source })?;
        let not = |message: String| SchemaError::NotARecord { path: path.to_owned(), message };
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| not(e.to_string()))?;
        let found = &value["imported"];
        if found.as_u64() != Some(u64::from(IMPORTED_SCHEMA)) {
            let (expected, found) = (IMPORTED_SCHEMA, found.to_string());
            return Err(SchemaError::RecordVersion { path: path.to_owned(), expected, found });
        }
        serde_json::from_str(&text).map_err(|error| not(error.to_string()))
    }

    /// Writes the result; a reader sees all of it or nothing.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), SchemaError> {
        store::save_json(self, path.as_ref())
    }

    /// The file name: label in plain letters and a hash of everything in the result.
    #[must_use]
    pub fn file_name(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        let hash: String =
            Sha256::digest(json).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let label = store::plain(&self.label);
        format!("{label}-{hash}{IMPORTED_SUFFIX}")
    }
}
