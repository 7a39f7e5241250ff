//! Text to token ids through the Hugging Face `tokenizers` library.

use std::path::Path;

use crate::hash::{sha256_hex, token_stream_sha256};
use crate::{DataError, Window};

/// A `tokenizer.json`. It encodes a whole text at once: truncation and padding that the file may
/// set are off, as they are when Transformers calls a tokenizer with its defaults.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    name: String,
    sha256: String,
    bos_id: Option<u32>,
}

/// An encoded text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// For each token, the bytes of the text that it and the tokens before it spell. A character
    /// that several tokens share counts for the first of them, white space that a tokenizer trims off
    /// for the next.
    pub ends: Vec<usize>,
}

/// The tokens of a text that an evaluation uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenStream {
    /// The tokens in use.
    pub tokens: Vec<u32>,
    /// For each of them, the UTF-8 bytes of text up to its end, as in [`Encoded::ends`].
    pub ends: Vec<usize>,
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
        self.encode_spans(text, true).map(|encoded| encoded.tokens)
    }

    /// The token ids of a text, with no special token added.
    ///
    /// # Errors
    /// A text that the tokenizer cannot encode.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, DataError> {
        self.encode_spans(text, false).map(|encoded| encoded.tokens)
    }

    /// The tokens of a text and how much of it they spell; with the special tokens that the tokenizer
    /// adds by default if `specials`.
    ///
    /// # Errors
    /// A text that the tokenizer cannot encode.
    pub fn encode_spans(&self, text: &str, specials: bool) -> Result<Encoded, DataError> {
        let encoding = self.inner.encode(text, specials).map_err(|error| DataError::Tokenizer {
            name: self.name.clone(),
            message: error.to_string(),
        })?;
        let ends = encoding.get_offsets().iter().scan(0, |end, &(_, own)| {
            *end = own.max(*end);
            Some(*end)
        });
        Ok(Encoded { ends: ends.collect(), tokens: encoding.get_ids().to_vec() })
    }

    /// The text of some tokens, special ones left out.
    ///
    /// # Errors
    /// Tokens that the tokenizer cannot spell.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, DataError> {
        self.inner.decode(tokens, true).map_err(|error| DataError::Tokenizer {
            name: self.name.clone(),
            message: error.to_string(),
        })
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
}

impl TokenStream {
    /// The first `limit` of a text's tokens, or all of them.
    #[must_use]
    pub fn new(encoded: Encoded, limit: Option<usize>, bos_id: Option<u32>) -> Self {
        let Encoded { mut tokens, mut ends } = encoded;
        let total = tokens.len();
        tokens.truncate(limit.unwrap_or(total));
        ends.truncate(tokens.len());
        Self { sha256: token_stream_sha256(&tokens), tokens, ends, total, bos_id }
    }

    /// UTF-8 bytes of text that the scored tokens of `windows` spell, a token that is scored several
    /// times counted as often: what bits per byte divides by.
    #[must_use]
    pub fn scored_bytes(&self, windows: &[Window]) -> u64 {
        let end_of = |tokens: usize| match tokens.checked_sub(1) {
            Some(last) => self.ends.get(last).copied().unwrap_or_default(),
            None => 0,
        };
        let bytes = |window: &Window| end_of(window.end).saturating_sub(end_of(window.score_from));
        windows.iter().map(|window| bytes(window) as u64).sum()
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
