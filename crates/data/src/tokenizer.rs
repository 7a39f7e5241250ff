//! Text to token ids through the Hugging Face `tokenizers` library.

use std::path::Path;

use crate::DataError;
use crate::hash::{sha256_hex, token_stream_sha256};

/// A `tokenizer.json`. It encodes a whole text at once: truncation and padding that the file may
/// set are off, as they are when Transformers calls a tokenizer with its defaults.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    name: String,
    sha256: String,
    bos_id: Option<u32>,
}

/// The tokens of a text that an evaluation uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenStream {
    /// The tokens in use.
    pub tokens: Vec<u32>,
    /// Tokens of the whole text, before `first_k_tokens`.
    pub total: usize,
    /// [`token_stream_sha256`] of the tokens in use.
    pub sha256: String,
    /// The token that the tokenizer puts before a text, if it does.
    pub bos_id: Option<u32>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// A file that is missing or is not a tokenizer.
    pub fn from_file(path: &Path) -> Result<Self, DataError> {
        let json = std::fs::read(path).map_err(|source| DataError::Read {
            path: path.to_owned(),
            source,
            hint: "put the model's tokenizer.json there; a model without one cannot read text",
        })?;
        Self::new(&json, path.display().to_string())
    }

    /// Takes the text of a `tokenizer.json`; `name` says in messages where it came from.
    ///
    /// # Errors
    /// A text that is not a tokenizer.
    pub fn from_json(json: &str, name: &str) -> Result<Self, DataError> {
        Self::new(json.as_bytes(), name.to_owned())
    }

    fn new(json: &[u8], name: String) -> Result<Self, DataError> {
        let failed = |error: tokenizers::Error| DataError::Tokenizer {
            name: name.clone(),
            message: error.to_string(),
        };
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(failed)?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(failed)?;
        let bos_id = prefix(&inner).map_err(failed)?;
        Ok(Self { inner, sha256: sha256_hex(json), bos_id, name })
    }

    /// The token ids of a text, with the special tokens that the tokenizer adds by default.
    ///
    /// # Errors
    /// A text that the tokenizer cannot encode.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        self.encode_with(text, true)
    }

    /// The token ids of a text, with no special token added.
    ///
    /// # Errors
    /// A text that the tokenizer cannot encode.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, DataError> {
        self.encode_with(text, false)
    }

    /// SHA-256 (hexadecimal) of the `tokenizer.json`.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The token that the tokenizer puts before a text by default, if it does.
    #[must_use]
    pub fn bos_id(&self) -> Option<u32> {
        self.bos_id
    }

    fn encode_with(&self, text: &str, specials: bool) -> Result<Vec<u32>, DataError> {
        let encoding = self.inner.encode_fast(text, specials).map_err(|error| {
            DataError::Tokenizer { name: self.name.clone(), message: error.to_string() }
        })?;
        Ok(encoding.get_ids().to_vec())
    }
}

impl TokenStream {
    /// The first `limit` of a text's tokens, or all of them.
    #[must_use]
    pub fn new(mut tokens: Vec<u32>, limit: Option<usize>, bos_id: Option<u32>) -> Self {
        let total = tokens.len();
        tokens.truncate(limit.unwrap_or(total));
        Self { sha256: token_stream_sha256(&tokens), tokens, total, bos_id }
    }

    /// Makes sure that a model of `vocabulary` tokens knows every token.
    ///
    /// # Errors
    /// The first token that it does not know.
    pub fn check_vocabulary(&self, vocabulary: usize) -> Result<(), DataError> {
        let outside = |&token: &u32| token as usize >= vocabulary;
        match self.tokens.iter().position(outside) {
            None => Ok(()),
            Some(position) => Err(DataError::OutsideVocabulary {
                token: self.tokens[position],
                position,
                vocabulary,
            }),
        }
    }
}

/// The first token that the tokenizer's post-processing puts before a text. Configuration files
/// disagree about it (`add_bos_token`, templates), so it is read off an encoded letter.
fn prefix(tokenizer: &tokenizers::Tokenizer) -> tokenizers::Result<Option<u32>> {
    let (with, without) = (tokenizer.encode_fast("a", true)?, tokenizer.encode_fast("a", false)?);
    let (with, without) = (with.get_ids(), without.get_ids());
    let added = with.windows(without.len().max(1)).position(|ids| ids == without).unwrap_or(0);
    Ok(with[..added].first().copied())
}
