//! Reads `tokenizer_config.json`, as far as it changes what a `tokenizer.json` beside it does.
//!
//! Transformers reads both: tokens that `tokenizer.json` lacks are added, and named tokens are special. The
//! template decides what is put before and after a text, whatever `add_bos_token` says.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::{AddedToken, Tokenizer};

const FILE: &str = "tokenizer_config.json";

/// Keys of named tokens.
const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Keys of lists of further special tokens, the older one last.
const FURTHER: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];

/// The relevant content of the file.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct TokenizerConfig {
    /// Tokens by id.
    added_tokens_decoder: Option<BTreeMap<String, Added>>,
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

/// A token, and how it is matched in a text.
#[derive(Debug, Deserialize)]
struct Added {
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    normalized: Option<bool>,
    #[serde(default)]
    special: bool,
}

impl TokenizerConfig {
    /// Reads the file beside `tokenizer`, if there is one.
    ///
    /// # Errors
    /// A phrase that says what is wrong with it.
    pub(crate) fn beside(tokenizer: &Path) -> Result<Self, String> {
        let path = tokenizer.with_file_name(FILE);
        let Ok(json) = std::fs::read(&path) else { return Ok(Self::default()) };
        let failed = |error: serde_json::Error| format!("{}: {error}", path.display());
        serde_json::from_slice(&json).map_err(failed)
    }

    /// Changes `tokenizer` as Transformers does.
    ///
    /// # Errors
    /// A token that the vocabulary has under another id.
    pub(crate) fn apply(&self, tokenizer: &mut Tokenizer) -> Result<(), String> {
        self.add_tokens(tokenizer)?;
        self.add_named(tokenizer)
    }

    fn add_tokens(&self, tokenizer: &mut Tokenizer) -> Result<(), String> {
        let mut tokens = Vec::new();
        for (id, added) in self.added_tokens_decoder.iter().flatten() {
            let id: u32 =
                id.parse().map_err(|_| format!("added_tokens_decoder has the id {id:?}"))?;
            tokens.push((id, added));
        }
        tokens.sort_by_key(|(id, _)| *id);
        for (id, added) in tokens {
            check_length(&added.content, FILE)?;
            tokenizer.add_tokens(&[added.token()]);
            let found = tokenizer.token_to_id(&added.content);
            if found != Some(id) && !added.content.is_empty() {
                let found = found.map_or("none".to_owned(), |found| found.to_string());
                return Err(format!(
                    "added_tokens_decoder gives {:?} the id {id}, the vocabulary {found}",
                    added.content
                ));
            }
        }
        Ok(())
    }

    /// Makes named tokens special, wherever else they occur.
    fn add_named(&self, tokenizer: &mut Tokenizer) -> Result<(), String> {
        let named = NAMED.iter().filter_map(|key| self.other.get(*key));
        let further = FURTHER.iter().filter_map(|key| self.other.get(*key)?.as_array()).flatten();
        for value in named.chain(further) {
            let Some(content) = content(value) else { continue };
            check_length(content, FILE)?;
            let known = tokenizer.get_added_tokens_decoder();
            if known.values().any(|token| token.content == content) {
                continue;
            }
            tokenizer.add_special_tokens(&[AddedToken::from(content, true)]);
        }
        Ok(())
    }
}

impl Added {
    fn token(&self) -> AddedToken {
        AddedToken {
            content: self.content.clone(),
            single_word: self.single_word,
            lstrip: self.lstrip,
            rstrip: self.rstrip,
            normalized: self.normalized.unwrap_or(!self.special),
            special: self.special,
        }
    }
}

/// Refuses an added token of thousands of bytes in one of the files: the library takes time with the square of its length.
///
/// # Errors
/// A phrase with its length.
pub(crate) fn check_length(token: &str, file: &str) -> Result<(), String> {
    const MOST: usize = 1000;
    match token.len() {
        0..=MOST => Ok(()),
        found => {
            Err(format!("{file}: expected added tokens of at most {MOST} bytes, found {found}"))
        }
    }
}

/// The text of a token that is written as a string or as an object.
fn content(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str()).filter(|text| !text.is_empty())
}
