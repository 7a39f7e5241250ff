//! Why records cannot be shown together.

/// Records that do not make one table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Perplexities of different protocols cannot be compared.
    #[error(
        "expected records of one protocol, found {first_label:?} with fingerprint {first} and \
         {other_label:?} with fingerprint {other}{}\n  hint: tabulate them one protocol at a time",
        differences(differing)
    )]
    Fingerprints {
        /// Label of the first record.
        first_label: String,
        /// Its fingerprint.
        first: String,
        /// Label of the first record that differs.
        other_label: String,
        /// Its fingerprint.
        other: String,
        /// The fields that differ, `window 512 and 2048`; empty if the difference is elsewhere.
        differing: Vec<String>,
    },
    /// A folder cannot be listed.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The folder.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not a record of this release.
    #[error(transparent)]
    Schema(#[from] strait_schema::SchemaError),
    /// A failed cell has no likelihood to compare.
    #[error("expected finished cells, but {label:?} failed: {reason}")]
    Failed {
        /// Label of the record.
        label: String,
        /// Why it failed.
        reason: String,
    },
    /// The windows of two records do not pair.
    #[error("expected the same windows, found {windows_a} of {a:?} and {windows_b} of {b:?}")]
    Windows {
        /// Label of the first record.
        a: String,
        /// Its windows.
        windows_a: usize,
        /// Label of the second record.
        b: String,
        /// Its windows.
        windows_b: usize,
    },
    /// Two results share no label.
    #[error(
        "expected cells of the same label in both results, found none\n  hint: name two records \
         to compare them whatever their labels"
    )]
    NothingInCommon,
    /// A picture could not be turned into pixels.
    #[error("cannot draw the picture: {0}")]
    Picture(String),
    /// A file of another program is not what it should be.
    #[error("{}: expected a result of split-bench, kvpress-pythia or compare_q, found {found}", path.display())]
    Import {
        /// The file.
        path: std::path::PathBuf,
        /// What it is instead.
        found: String,
    },
    /// Cells of a table by keys cannot be told apart.
    #[error(
        "expected a key in which {:?} and {:?} differ, found `{keys}`\n  hint: name another key, or keep \
         one of them out with `--where KEY=VALUE`", labels[0], labels[1]
    )]
    SamePlace {
        /// The keys.
        keys: String,
        /// Labels of the two.
        labels: [String; 2],
    },
    /// No cell has the keys of a table.
    #[error("expected keys that some cell has, found `{keys}`\n  hint: the cells have {known}")]
    NoSuchKeys {
        /// The keys.
        keys: String,
        /// Those that there are.
        known: String,
    },
    /// No cell is good enough to plan with.
    #[error("expected a cell with ΔPPL of at most {most}, found none; the least is {least}")]
    NoneGoodEnough {
        /// The largest ΔPPL.
        most: f64,
        /// The smallest that there is.
        least: f64,
    },
    /// There is nothing to show.
    #[error("expected at least one record, found none\n  hint: run the experiment first")]
    Empty,
}

fn differences(differing: &[String]) -> String {
    if differing.is_empty() {
        String::new()
    } else {
        format!(" (different: {})", differing.join("; "))
    }
}
