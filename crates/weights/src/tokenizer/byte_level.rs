//! Byte-level BPE, GGUF's tokenizer model "gpt2".

use serde_json::{Value, json};

use super::pre_tokenizer::{self, byte_level};
use super::vocabulary::Vocabulary;
use super::{Parts, specials_around};
use crate::WeightsError;
use crate::gguf::Metadata;

const MERGES: &str = "tokenizer.ggml.merges";
const PRE: &str = "tokenizer.ggml.pre";

pub(super) fn parts(
    metadata: &Metadata,
    file: &[u8],
    vocabulary: &Vocabulary<'_>,
) -> Result<Parts, WeightsError> {
    let name = metadata.text(PRE)?.unwrap_or_else(|| {
        log::warn!("{}: no {PRE}: taken as GPT-2's rule", metadata.path().display());
        "default"
    });
    let rule = pre_tokenizer::by_name(name).ok_or_else(|| WeightsError::UnsupportedTokenizer {
        path: metadata.path().to_path_buf(),
        key: PRE,
        found: name.to_owned(),
        supported: pre_tokenizer::SUPPORTED,
    })?;
    let model = json!({
        "type": "BPE",
        "dropout": null,
        "unk_token": null,
        "continuing_subword_prefix": null,
        "end_of_word_suffix": null,
        "fuse_unk": false,
        "byte_fallback": false,
        "ignore_merges": rule.ignore_merges,
        "vocab": vocabulary.json(),
        "merges": merges(metadata, file)?,
    });
    let post_processor = match specials_around(metadata, vocabulary, rule.adds_beginning)? {
        Some(specials) => json!({
            "type": "Sequence",
            "processors": [byte_level(true), specials],
        }),
        None => byte_level(true),
    };
    Ok(Parts {
        normalizer: rule.normalizer,
        pre_tokenizer: rule.json,
        post_processor,
        decoder: byte_level(true),
        model,
    })
}

/// The merges as pairs. A merge is two texts separated by a space; no byte is represented by a
/// space.
fn merges(metadata: &Metadata, file: &[u8]) -> Result<Vec<Value>, WeightsError> {
    let merges = metadata
        .texts(file, MERGES)?
        .ok_or_else(|| metadata.absent(MERGES, "an array of texts"))?;
    let pair = |(rank, merge): (usize, &str)| match merge.split_once(' ') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() && !right.contains(' ') => {
            Ok(json!([left, right]))
        }
        _ => Err(WeightsError::Invalid {
            path: metadata.path().to_path_buf(),
            what: format!("merge {rank}"),
            expected: "two texts with a space between".to_owned(),
            found: format!("{merge:?}"),
        }),
    };
    merges.into_iter().enumerate().map(pair).collect()
}
