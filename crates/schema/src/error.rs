//! What can be wrong with an experiment file or a record.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A key of an experiment file and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The path of the key: `protocol.window`, `compressor[0].params.bits`.
    pub key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: `{}`", self.file, self.line, self.key)
    }
}

/// An experiment file or a record that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A file that cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that cannot be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Text that is not TOML.
    #[error("{file}:{line}:{column}: not valid TOML: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// A key that no table of this name has.
    #[error("{at}: unknown key{}\n  hint: known keys here are {}", did_you_mean(nearest.as_deref()), known.join(", "))]
    UnknownKey {
        /// The key.
        at: Box<Place>,
        /// The keys that the table has.
        known: Vec<String>,
        /// The one that is spelt most alike.
        nearest: Option<String>,
    },
    /// A key that must be there and is not.
    #[error("{at}: expected {expected}, found nothing")]
    Missing {
        /// The key, and the line of the table it is missing from.
        at: Box<Place>,
        /// What should stand there.
        expected: String,
    },
    /// A value of the wrong type, out of range, or not one of the choices.
    #[error("{at}: expected {expected}, found {found}{}", did_you_mean(nearest.as_deref()))]
    Value {
        /// The key.
        at: Box<Place>,
        /// What should stand there.
        expected: String,
        /// What stands there.
        found: String,
        /// The known name that is spelt most alike.
        nearest: Option<String>,
    },
    /// Two keys of which only one may be written.
    #[error("{at}: cannot stand together with `{other}` (line {other_line})\n  hint: {hint}")]
    Conflict {
        /// The second of the two.
        at: Box<Place>,
        /// The first.
        other: String,
        /// The line of the first.
        other_line: usize,
        /// How to choose.
        hint: &'static str,
    },
    /// Two cells with one label.
    #[error(
        "{at}: expected a label of its own for every cell, found {label:?} again (first on line {first_line})\n  hint: give one of the two another `label`"
    )]
    DuplicateLabel {
        /// The compressor of the second cell.
        at: Box<Place>,
        /// The label.
        label: String,
        /// The line of the compressor of the first cell.
        first_line: usize,
    },
    /// An experiment that TOML cannot say.
    #[error("{experiment}: expected an experiment that can be written as TOML, found {message}")]
    NotToml {
        /// Name of the experiment.
        experiment: String,
        /// What the writer says.
        message: String,
    },
    /// A record of another version of the format.
    #[error("{}: expected a record of schema {expected}, found schema {found}\n  hint: read it with the release of strait that wrote it, or delete it and run the experiment again", path.display())]
    RecordVersion {
        /// The file.
        path: PathBuf,
        /// The version that this release reads and writes.
        expected: u32,
        /// The version that the file names.
        found: String,
    },
    /// A file that is not a record.
    #[error("{}: expected a record of one cell, found {message}", path.display())]
    NotARecord {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        message: String,
    },
    /// A record whose identity hash does not fit its contents.
    #[error("{}: expected the identity {expected}, found {found}\n  hint: the file was changed by hand; delete it and run the experiment again", path.display())]
    RecordIdentity {
        /// The file.
        path: PathBuf,
        /// The hash of the cell in the file.
        expected: String,
        /// The hash that the file states.
        found: String,
    },
    /// A record whose totals do not fit its windows.
    #[error("{}: expected totals that are the sums of the windows, found {found}\n  hint: the file was changed or damaged; delete it and run the experiment again", path.display())]
    RecordSums {
        /// The file.
        path: PathBuf,
        /// The first total that does not fit.
        found: String,
    },
    /// A record with a number that JSON cannot write.
    #[error(
        "record of {label:?}: expected finite numbers, found an infinity or a NaN in {field}\n  hint: such a cell has failed; record it with `Record::fail`"
    )]
    NotFinite {
        /// The cell's label.
        label: String,
        /// The field.
        field: String,
    },
}

impl SchemaError {
    /// A value that is not what it should be.
    #[must_use]
    pub fn value(
        at: Place,
        expected: impl Into<String>,
        found: impl Into<String>,
        nearest: Option<String>,
    ) -> Self {
        let found = shortened(found.into());
        Self::Value { at: Box::new(at), expected: expected.into(), found, nearest }
    }

    /// The line of the experiment file that the error is about, where there is one.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Syntax { line, .. } => Some(*line),
            Self::UnknownKey { at, .. }
            | Self::Missing { at, .. }
            | Self::Value { at, .. }
            | Self::Conflict { at, .. }
            | Self::DuplicateLabel { at, .. } => Some(at.line),
            _ => None,
        }
    }
}

/// What other programs call the same: PyTorch its types, kvpress and split-bench their keys.
const ELSEWHERE: [(&str, &str); 12] = [
    ("float32", "f32"),
    ("fp32", "f32"),
    ("float", "f32"),
    ("float16", "f16"),
    ("fp16", "f16"),
    ("half", "f16"),
    ("bfloat16", "bf16"),
    ("compression_ratio", "ratio"),
    ("compressor", "codec"),
    ("max_length", "window"),
    ("model_dir", "source"),
    ("dataset", "source"),
];

/// Both ends of a text that may be as long as a file, and how long it is.
pub(crate) fn shortened(text: String) -> String {
    const HEAD: usize = 240;
    const TAIL: usize = 60;
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= HEAD + TAIL {
        return text;
    }
    let of = |part: &[char]| part.iter().collect::<String>();
    let (head, tail) = (of(&letters[..HEAD]), of(&letters[letters.len() - TAIL..]));
    format!("{head}… ({} letters in all) …{tail}", letters.len())
}

/// Of the `known` names the one spelt most like `name`, if any is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    let elsewhere = ELSEWHERE.iter().find(|(theirs, ours)| *theirs == name && known.contains(ours));
    if let Some((_, ours)) = elsewhere {
        return Some((*ours).to_owned());
    }
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + name.len().max(candidate.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("\n  hint: did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Experiment;

    #[test]
    fn names_of_other_programs_are_known() {
        let dtypes = ["f32", "f16", "bf16"];
        assert_eq!(nearest("float16", dtypes).as_deref(), Some("f16"));
        assert_eq!(nearest("bfloat16", dtypes).as_deref(), Some("bf16"));
        assert_eq!(nearest("compression_ratio", ["press", "ratio"]).as_deref(), Some("ratio"));
        assert_eq!(nearest("compression_ratio", ["press", "size"]), None);
        assert_eq!(nearest("rato", ["press", "ratio"]).as_deref(), Some("ratio"));
    }

    #[test]
    fn a_value_as_long_as_a_file_is_shortened() {
        let text = format!(
            "name = \"x\"\n[data]\nsource = \"t\"\n[model]\nsource = \"m\"\ndtype = \"{}\"\n",
            "x".repeat(20_000)
        );
        let error = Experiment::parse(&text, "test.toml").unwrap_err().to_string();
        assert!(error.len() < 1000, "{}", error.len());
        assert!(error.contains("xxx… (20013 letters in all) …xxx"), "{error}");
        assert_eq!(shortened("ä".repeat(300)), "ä".repeat(300));
    }
}
