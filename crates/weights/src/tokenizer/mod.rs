//! Tokenizers from GGUF metadata, as `tokenizer.json` text for the `tokenizers` crate.

mod byte_level;
mod expressions;
mod pre_tokenizer;
mod sentence_piece;
mod vocabulary;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::gguf::Metadata;
use crate::{Checkpoint, WeightsError};
use vocabulary::Vocabulary;

/// Where the tokenizer is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenizerSource {
    /// In a `tokenizer.json` file.
    File(PathBuf),
    /// In the text that such a file would contain.
    Json(String),
}

const MODEL: &str = "tokenizer.ggml.model";

/// The tokenizer in `path`: a `tokenizer.json`, a folder that contains one, or a GGUF file.
///
/// # Errors
/// There is none, or it is of a kind that cannot be rebuilt exactly.
pub(crate) fn in_path(path: &Path) -> Result<TokenizerSource, WeightsError> {
    if path.is_dir() {
        return in_folder(path);
    }
    if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf")) {
        return Checkpoint::open(path)?.tokenizer();
    }
    Ok(TokenizerSource::File(path.to_path_buf()))
}

/// The `tokenizer.json` of a model's folder.
///
/// # Errors
/// There is none.
pub(crate) fn in_folder(path: &Path) -> Result<TokenizerSource, WeightsError> {
    let file = path.join("tokenizer.json");
    if file.is_file() {
        return Ok(TokenizerSource::File(file));
    }
    Err(WeightsError::NoTokenizer {
        path: path.to_path_buf(),
        expected: "tokenizer.json beside the weights; `tokenizer` in [model] can name another place",
    })
}

/// Builds the text from `metadata`; `file` is the GGUF file's entire content.
pub(crate) fn from_metadata(metadata: &Metadata, file: &[u8]) -> Result<String, WeightsError> {
    let Some(kind) = metadata.text(MODEL)? else {
        return Err(WeightsError::NoTokenizer {
            path: metadata.path().to_path_buf(),
            expected: "the metadata key \"tokenizer.ggml.model\"",
        });
    };
    let vocabulary = Vocabulary::read(metadata, file)?;
    let parts = match kind {
        "gpt2" => byte_level::parts(metadata, file, &vocabulary)?,
        "llama" => sentence_piece::parts(metadata, file, &vocabulary)?,
        other => {
            return Err(WeightsError::UnsupportedTokenizer {
                path: metadata.path().to_path_buf(),
                key: MODEL,
                found: other.to_owned(),
                supported: "gpt2 (byte-level BPE), llama (SentencePiece BPE)",
            });
        }
    };
    let document = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": vocabulary.added_tokens(),
        "normalizer": parts.normalizer,
        "pre_tokenizer": parts.pre_tokenizer,
        "post_processor": parts.post_processor,
        "decoder": parts.decoder,
        "model": parts.model,
    });
    Ok(document.to_string())
}

/// The parts of `tokenizer.json` in which the two kinds differ.
struct Parts {
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
    model: Value,
}

/// The post-processor that adds the beginning and end tokens around a text, as the metadata requires. `None` if
/// neither is wanted.
fn specials_around(
    metadata: &Metadata,
    vocabulary: &Vocabulary<'_>,
    default_beginning: bool,
) -> Result<Option<Value>, WeightsError> {
    let token = |wanted: &str, default: bool, id: &str| -> Result<Option<Value>, WeightsError> {
        if !metadata.flag(wanted)?.unwrap_or(default) {
            return Ok(None);
        }
        let number = metadata
            .unsigned(id)?
            .ok_or_else(|| metadata.absent(id, &format!("a token id, because {wanted} is true")))?;
        vocabulary.text(metadata, id, number).map(|text| Some(json!([text, number])))
    };
    let beginning =
        token("tokenizer.ggml.add_bos_token", default_beginning, "tokenizer.ggml.bos_token_id")?;
    let end = token("tokenizer.ggml.add_eos_token", false, "tokenizer.ggml.eos_token_id")?;
    if beginning.is_none() && end.is_none() {
        return Ok(None);
    }
    let special = |token: &Option<Value>, sequence: u32| {
        token.iter().map(|t| json!({"SpecialToken": {"id": t[0], "type_id": sequence}})).collect()
    };
    let around = |name: &str, sequence: u32| -> Vec<Value> {
        let mut parts: Vec<Value> = special(&beginning, sequence);
        parts.push(json!({"Sequence": {"id": name, "type_id": sequence}}));
        parts.extend::<Vec<Value>>(special(&end, sequence));
        parts
    };
    let specials: serde_json::Map<String, Value> = [&beginning, &end]
        .into_iter()
        .flatten()
        .filter_map(|token| {
            let text = token[0].as_str()?.to_owned();
            let entry = json!({"id": text, "ids": [token[1]], "tokens": [text]});
            Some((text, entry))
        })
        .collect();
    let pair = [around("A", 0), around("B", 1)].concat();
    Ok(Some(json!({
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": pair,
        "special_tokens": specials,
    })))
}
