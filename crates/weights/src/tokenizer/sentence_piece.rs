//! SentencePiece BPE with byte fallback, GGUF's tokenizer model "llama".
//!
//! SentencePiece joins the two neighbours whose union is the piece with the highest score. The `tokenizers`
//! crate expects the same as a ranked list of pairs: every split of every piece into two pieces, in the order
//! of Transformers' converter.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde_json::{Value, json};

use super::vocabulary::{TokenKind, Vocabulary};
use super::{Parts, specials_around};
use crate::WeightsError;
use crate::gguf::Metadata;

const SCORES: &str = "tokenizer.ggml.scores";
const CHARACTER_MAP: &str = "tokenizer.ggml.precompiled_charsmap";

/// The character that represents a space.
const SPACE: &str = "\u{2581}";

pub(super) fn parts(
    metadata: &Metadata,
    file: &[u8],
    vocabulary: &Vocabulary<'_>,
) -> Result<Parts, WeightsError> {
    if metadata.array_length(CHARACTER_MAP).is_some_and(|length| length > 0) {
        return Err(WeightsError::UnsupportedTokenizer {
            path: metadata.path().to_path_buf(),
            key: CHARACTER_MAP,
            found: "a map of its own".to_owned(),
            supported: "an absent or empty map",
        });
    }
    let unknown = vocabulary.iter().find(|&(_, _, kind)| kind == TokenKind::Unknown);
    let bytes = vocabulary.iter().any(|(_, _, kind)| kind == TokenKind::Byte);
    let model = json!({
        "type": "BPE",
        "dropout": null,
        "unk_token": unknown.map(|(_, text, _)| text),
        "continuing_subword_prefix": null,
        "end_of_word_suffix": null,
        "fuse_unk": true,
        "byte_fallback": bytes,
        "ignore_merges": false,
        "vocab": vocabulary.json(),
        "merges": merges(vocabulary, &scores(metadata, file, vocabulary)?),
    });
    let prefix = metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
    let mut normalizers = vec![spaces];
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": SPACE}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok(Parts {
        normalizer: json!({"type": "Sequence", "normalizers": normalizers}),
        pre_tokenizer: Value::Null,
        post_processor: specials_around(metadata, vocabulary, true)?.unwrap_or(Value::Null),
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        model,
    })
}

/// One finite score per token.
fn scores(
    metadata: &Metadata,
    file: &[u8],
    vocabulary: &Vocabulary<'_>,
) -> Result<Vec<f32>, WeightsError> {
    let scores =
        metadata.floats(file, SCORES)?.ok_or_else(|| metadata.absent(SCORES, "an array of f32"))?;
    if scores.len() != vocabulary.len() || scores.iter().any(|score| score.is_nan()) {
        return Err(WeightsError::Invalid {
            path: metadata.path().to_path_buf(),
            what: format!("metadata key \"{SCORES}\""),
            expected: format!("{} scores, one a token, none NaN", vocabulary.len()),
            found: format!("{} scores", scores.len()),
        });
    }
    Ok(scores)
}

/// All splits of normal pieces, ordered by descending score, then longer left part, then longer right part.
fn merges(vocabulary: &Vocabulary<'_>, scores: &[f32]) -> Vec<[String; 2]> {
    let pieces: HashMap<&str, usize> = vocabulary
        .iter()
        .filter(|&(_, _, kind)| kind == TokenKind::Normal)
        .map(|(id, text, _)| (text, id))
        .collect();
    let mut splits = Vec::new();
    for (id, piece, kind) in vocabulary.iter() {
        if kind != TokenKind::Normal {
            continue;
        }
        let first = splits.len();
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            if let (Some(&left_id), Some(&right_id)) = (pieces.get(left), pieces.get(right)) {
                let lengths = (left.chars().count(), right.chars().count());
                splits.push((scores[id], lengths, (left_id, right_id), left, right));
            }
        }
        splits[first..].sort_by_key(|split| split.2);
    }
    splits.sort_by(|a, b| b.0.total_cmp(&a.0).then(Reverse(a.1).cmp(&Reverse(b.1))));
    splits.into_iter().map(|(.., left, right)| [left.to_owned(), right.to_owned()]).collect()
}
