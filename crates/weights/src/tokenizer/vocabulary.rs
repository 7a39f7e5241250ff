//! The token list of a GGUF file: texts and kinds.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::WeightsError;
use crate::gguf::Metadata;

const TOKENS: &str = "tokenizer.ggml.tokens";
const KINDS: &str = "tokenizer.ggml.token_type";

/// The purpose of a token, as GGUF numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// All tokens, indexed by id.
pub(super) struct Vocabulary<'a> {
    tokens: Vec<(&'a str, TokenKind)>,
}

impl<'a> Vocabulary<'a> {
    /// Reads texts and kinds; `file` is the GGUF file's entire content.
    pub(super) fn read(metadata: &'a Metadata, file: &'a [u8]) -> Result<Self, WeightsError> {
        let invalid = |what: String, expected: &str, found: String| WeightsError::Invalid {
            path: metadata.path().to_path_buf(),
            what,
            expected: expected.to_owned(),
            found,
        };
        let texts = metadata
            .texts(file, TOKENS)?
            .ok_or_else(|| metadata.absent(TOKENS, "an array of texts"))?;
        let kinds = metadata.integers(file, KINDS)?;
        if let Some(kinds) = &kinds
            && kinds.len() != texts.len()
        {
            let found = format!("{} for {} tokens", kinds.len(), texts.len());
            return Err(invalid(format!("metadata key \"{KINDS}\""), "one type a token", found));
        }
        let mut tokens = Vec::with_capacity(texts.len());
        let mut ids: HashMap<&str, usize> = HashMap::with_capacity(texts.len());
        for (id, text) in texts.into_iter().enumerate() {
            let kind = match kinds.as_ref().map_or(1, |kinds| kinds[id]) {
                1 => TokenKind::Normal,
                2 => TokenKind::Unknown,
                3 => TokenKind::Control,
                4 => TokenKind::UserDefined,
                5 => TokenKind::Unused,
                6 => TokenKind::Byte,
                other => {
                    return Err(invalid(
                        format!("type of token {id}"),
                        "1 to 6",
                        other.to_string(),
                    ));
                }
            };
            if kind != TokenKind::Unused
                && let Some(first) = ids.insert(text, id)
            {
                let found = format!("ids {first} and {id}");
                return Err(invalid(format!("token {text:?}"), "one id", found));
            }
            tokens.push((text, kind));
        }
        Ok(Self { tokens })
    }

    /// Texts, kinds and ids of the tokens in use.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &'a str, TokenKind)> {
        let used = |&(_, (_, kind)): &(usize, &(&str, TokenKind))| *kind != TokenKind::Unused;
        self.tokens.iter().enumerate().filter(used).map(|(id, &(text, kind))| (id, text, kind))
    }

    /// The number of ids, including unused ones.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The text of token `id`, which comes from the metadata key `key`.
    pub(super) fn text(
        &self,
        metadata: &Metadata,
        key: &str,
        id: u64,
    ) -> Result<&'a str, WeightsError> {
        let token = usize::try_from(id).ok().and_then(|id| self.tokens.get(id));
        token.map(|&(text, _)| text).ok_or_else(|| WeightsError::Invalid {
            path: metadata.path().to_path_buf(),
            what: format!("metadata key \"{key}\""),
            expected: format!("an id below {}", self.tokens.len()),
            found: id.to_string(),
        })
    }

    /// The map from text to id, in the form that the model part of `tokenizer.json` needs.
    pub(super) fn json(&self) -> Value {
        let ids: Map<String, Value> =
            self.iter().map(|(id, text, _)| (text.to_owned(), json!(id))).collect();
        Value::Object(ids)
    }

    /// The tokens that are matched in the text before anything else: control tokens (special) and user-defined
    /// ones.
    pub(super) fn added_tokens(&self) -> Vec<Value> {
        let added = self.iter().filter(|&(_, text, kind)| {
            matches!(kind, TokenKind::Control | TokenKind::UserDefined | TokenKind::Unknown)
                && !text.is_empty()
        });
        added
            .map(|(id, text, kind)| {
                json!({
                    "id": id,
                    "content": text,
                    "single_word": false,
                    "lstrip": false,
                    "rstrip": false,
                    "normalized": false,
                    "special": kind != TokenKind::UserDefined,
                })
            })
            .collect()
    }
}
