//! The named data sets on the Hugging Face hub: which files of which repository are which split.

use crate::Join;

/// A data set on the hub, whose files have a string column or key `text`.
#[derive(Debug)]
pub(crate) struct NamedSet {
    pub(crate) name: &'static str,
    /// `owner/name` on the hub.
    pub(crate) repository: &'static str,
    /// The files of each split, in the order of their rows.
    pub(crate) splits: &'static [(&'static str, &'static [&'static str])],
    /// How evaluations on the set join rows, if they agree.
    pub(crate) join: Option<Join>,
    /// Default number of rows used from the start.
    pub(crate) max_documents: Option<usize>,
}

/// The known sets. A split that is in the assets folder is not fetched.
const SETS: &[NamedSet] = &[
    NamedSet {
        name: "wikitext-2-raw",
        repository: "Salesforce/wikitext",
        splits: &[
            ("test", &["wikitext-2-raw-v1/test-00000-of-00001.parquet"]),
            ("validation", &["wikitext-2-raw-v1/validation-00000-of-00001.parquet"]),
            ("train", &["wikitext-2-raw-v1/train-00000-of-00001.parquet"]),
        ],
        join: None,
        max_documents: None,
    },
    NamedSet {
        name: "wikitext-103-raw",
        repository: "Salesforce/wikitext",
        splits: &[
            ("test", &["wikitext-103-raw-v1/test-00000-of-00001.parquet"]),
            ("validation", &["wikitext-103-raw-v1/validation-00000-of-00001.parquet"]),
            (
                "train",
                &[
                    "wikitext-103-raw-v1/train-00000-of-00002.parquet",
                    "wikitext-103-raw-v1/train-00001-of-00002.parquet",
                ],
            ),
        ],
        join: None,
        max_documents: None,
    },
    // The publisher's repository holds a program instead of files; this one holds its output.
    NamedSet {
        name: "pg19",
        repository: "emozilla/pg19",
        splits: &[("test", &["data/test-00000-of-00001-29a571947c0b5ccc.parquet"])],
        join: None,
        max_documents: None,
    },
    // GPTQ's evaluation: the first 1100 documents of the first file, joined by spaces.
    NamedSet {
        name: "c4-en",
        repository: "allenai/c4",
        splits: &[
            ("validation", &["en/c4-validation.00000-of-00008.json.gz"]),
            ("train", &["en/c4-train.00000-of-01024.json.gz"]),
        ],
        join: Some(Join::Space),
        max_documents: Some(1100),
    },
    // As preprocessed by OpenAI; most published figures refer to this version.
    NamedSet {
        name: "lambada",
        repository: "EleutherAI/lambada_openai",
        splits: &[("test", &["data/lambada_test.jsonl"])],
        join: None,
        max_documents: None,
    },
];

/// The set with this name.
pub(crate) fn find(name: &str) -> Option<&'static NamedSet> {
    SETS.iter().find(|set| set.name == name)
}

/// The strait name of a set that is known elsewhere by this one.
pub(crate) fn meant(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "wikitext" | "wikitext2" | "wikitext-2" | "wikitext-2-v1" | "wikitext-2-raw-v1"
        | "wiki2" => Some("wikitext-2-raw"),
        "wikitext103" | "wikitext-103" | "wikitext-103-v1" | "wikitext-103-raw-v1" => {
            Some("wikitext-103-raw")
        }
        "c4" | "c4-new" | "allenai/c4" => Some("c4-en"),
        "pg-19" => Some("pg19"),
        "lambada_openai" | "lambada-openai" => Some("lambada"),
        _ => None,
    }
}

/// The names of all sets.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SETS.iter().map(|set| set.name)
}

impl NamedSet {
    /// The files of a split.
    pub(crate) fn files(&self, split: &str) -> Option<&'static [&'static str]> {
        self.splits.iter().find(|(name, _)| *name == split).map(|(_, files)| *files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Format;

    #[test]
    fn every_file_can_be_read_and_every_shard_is_there() {
        for set in SETS {
            for (split, files) in set.splits {
                assert!(
                    files.iter().all(|file| Format::of(file.as_ref()).is_some()),
                    "{}",
                    set.name
                );
                let all =
                    files[0].split("-of-").nth(1).and_then(|rest| rest.get(..5)?.parse().ok());
                let expected = if set.max_documents.is_some() { 1 } else { all.unwrap_or(1) };
                assert_eq!(files.len(), expected, "{} {split}", set.name);
            }
        }
        assert_eq!(find("c4-en").and_then(|set| set.files("test")), None);
        assert_eq!(names().count(), 5);
        for name in ["wikitext2", "WikiText103", "c4", "pg-19", "lambada_openai"] {
            assert!(meant(name).and_then(find).is_some(), "{name}");
        }
    }
}
