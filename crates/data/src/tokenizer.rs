//! Converts text to token ids through the Hugging Face `tokenizers` library.

use std::path::Path;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;
use strait_hub::StandIn;

use crate::guard::guard;
use crate::hash::{sha256_hex, token_stream_sha256};
use crate::llama_cpp;
use crate::tokenizer_config::{TokenizerConfig, check_length};
use crate::{DataError, Window};

/// A `tokenizer.json`. It encodes a whole text at once: truncation and padding set in the file are disabled, as
/// when Transformers calls a tokenizer with its defaults.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The same tokenizer as llama.cpp applies it, made on first use.
    plain: OnceLock<tokenizers::Tokenizer>,
    name: String,
    sha256: String,
    bos_id: Option<u32>,
}

/// How special tokens are treated when a text is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Specials {
    /// Whether the tokenizer adds its default tokens at the beginning and end.
    pub added: bool,
    /// Whether special tokens spelled out in the text are parsed; otherwise they are plain text, and the rest
    /// is read as llama.cpp reads it.
    pub parsed: bool,
}

/// An encoded text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// For each token, the bytes of the text that it and the tokens before it spell. A character that several
    /// tokens share counts for the first of them, white space that a tokenizer trims off counts for the next.
    pub ends: Vec<usize>,
}

/// The tokens of a text that an evaluation uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenStream {
    /// The tokens in use.
    pub tokens: Vec<u32>,
    /// For each token, the UTF-8 bytes of text up to its end, as in [`Encoded::ends`].
    pub ends: Vec<usize>,
    /// Number of tokens in the whole text, before `first_k_tokens` is applied.
    pub total: usize,
    /// [`token_stream_sha256`] of the tokens in use.
    pub sha256: String,
    /// The token that the tokenizer puts before a text, if any.
    pub bos_id: Option<u32>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`, and the changes from a `tokenizer_config.json` beside it.
    ///
    /// # Errors
    /// A file that is missing or is not a tokenizer.
    pub fn from_file(path: &Path) -> Result<Self, DataError> {
        let json = std::fs::read(path).map_err(|source| DataError::Read {
            path: path.to_owned(),
            source,
            hint: "put the model's tokenizer.json there; a model without one cannot read text",
        })?;
        let name = path.display().to_string();
        if let Some(what) = StandIn::of(&json) {
            return Err(DataError::StandIn { path: path.to_owned(), what });
        }
        match TokenizerConfig::beside(path) {
            Ok(config) => Self::new(&json, &config, name),
            Err(message) => Err(DataError::Tokenizer { name, message }),
        }
    }

    /// Parses the text of a `tokenizer.json`; `name` is its origin for messages.
    ///
    /// # Errors
    /// A text that is not a tokenizer.
    pub fn from_json(json: &str, name: &str) -> Result<Self, DataError> {
        Self::new(json.as_bytes(), &TokenizerConfig::default(), name.to_owned())
    }

    fn new(json: &[u8], config: &TokenizerConfig, name: String) -> Result<Self, DataError> {
        let made = check_sizes(json).and_then(|()| guarded(|| build(json, config)));
        match made {
            Ok((inner, bos_id)) => {
                let plain = OnceLock::new();
                Ok(Self { inner, plain, sha256: sha256_hex(json), bos_id, name })
            }
            Err(message) => Err(DataError::Tokenizer { name, message: brief(&message) }),
        }
    }

    /// The token ids of a text, with the special tokens that the tokenizer adds by default.
    ///
    /// # Errors
    /// A text that the tokenizer cannot encode.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let specials = Specials { added: true, parsed: true };
        self.encode_spans(text, specials).map(|encoded| encoded.tokens)
    }

    /// The token ids of a text, without added special tokens.
    ///
    /// # Errors
    /// A text that the tokenizer cannot encode.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let specials = Specials { added: false, parsed: true };
        self.encode_spans(text, specials).map(|encoded| encoded.tokens)
    }

    /// The tokens of a text, and how much of it they spell.
    ///
    /// # Errors
    /// A text that the tokenizer cannot encode.
    pub fn encode_spans(&self, text: &str, specials: Specials) -> Result<Encoded, DataError> {
        let inner = if specials.parsed {
            &self.inner
        } else {
            self.plain.get_or_init(|| llama_cpp::plain(&self.inner))
        };
        let encoding = self.tried(|| inner.encode(text, specials.added))?;
        let ends = encoding.get_offsets().iter().scan(0, |end, &(_, own)| {
            *end = own.max(*end);
            Some(*end)
        });
        Ok(Encoded { ends: ends.collect(), tokens: encoding.get_ids().to_vec() })
    }

    /// The text of some tokens, without special ones.
    ///
    /// # Errors
    /// Tokens that the tokenizer cannot spell.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, DataError> {
        self.tried(|| self.inner.decode(tokens, true))
    }

    fn tried<T>(&self, work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, DataError> {
        guarded(|| work().map_err(|error| error.to_string())).map_err(|message| {
            DataError::Tokenizer { name: self.name.clone(), message: brief(&message) }
        })
    }

    /// SHA-256 (hexadecimal) of the `tokenizer.json`.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The token that the tokenizer puts before a text by default, if any.
    #[must_use]
    pub fn bos_id(&self) -> Option<u32> {
        self.bos_id
    }
}

impl Encoded {
    /// Removes the beginning token that a tokenizer put before a text which already has one.
    pub(crate) fn merge_beginning(&mut self, bos_id: Option<u32>) {
        if let (Some(bos), [first, second, ..]) = (bos_id, self.tokens.as_slice())
            && (*first, *second) == (bos, bos)
        {
            self.tokens.remove(0);
            self.ends.remove(0);
        }
    }
}

impl TokenStream {
    /// Keeps the first `limit` of a text's tokens, or all of them.
    #[must_use]
    pub fn new(encoded: Encoded, limit: Option<usize>, bos_id: Option<u32>) -> Self {
        let Encoded { mut tokens, mut ends } = encoded;
        let total = tokens.len();
        tokens.truncate(limit.unwrap_or(total));
        ends.truncate(tokens.len());
        Self { sha256: token_stream_sha256(&tokens), tokens, ends, total, bos_id }
    }

    /// UTF-8 bytes of text that the scored tokens of `windows` spell, which bits per byte are divided by. A
    /// token that is scored several times counts that often.
    #[must_use]
    pub fn scored_bytes(&self, windows: &[Window]) -> u64 {
        let end_of = |tokens: usize| match tokens.checked_sub(1) {
            Some(last) => self.ends.get(last).copied().unwrap_or_default(),
            None => 0,
        };
        let bytes = |window: &Window| end_of(window.end).saturating_sub(end_of(window.score_from));
        windows.iter().map(|window| bytes(window) as u64).sum()
    }

    /// Checks that every token is in a vocabulary of `vocabulary` tokens.
    ///
    /// # Errors
    /// The first token that is not.
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

/// Builds the tokenizer of a `tokenizer.json`, and finds the token that it puts before a text.
fn build(
    json: &[u8],
    config: &TokenizerConfig,
) -> Result<(tokenizers::Tokenizer, Option<u32>), String> {
    let text = |error: tokenizers::Error| error.to_string();
    let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(text)?;
    inner.with_padding(None);
    inner.with_truncation(None).map_err(text)?;
    config.apply(&mut inner)?;
    let before = prefix(&inner).map_err(text)?;
    Ok((inner, before))
}

/// The first token that post-processing puts before a text. Configuration files disagree about it
/// (`add_bos_token`, templates), so it is determined by encoding a letter.
fn prefix(tokenizer: &tokenizers::Tokenizer) -> tokenizers::Result<Option<u32>> {
    let (with, without) = (tokenizer.encode_fast("a", true)?, tokenizer.encode_fast("a", false)?);
    let (with, without) = (with.get_ids(), without.get_ids());
    let added = with.windows(without.len().max(1)).position(|ids| ids == without).unwrap_or(0);
    Ok(with[..added].first().copied())
}

/// Runs `work` and turns a panic of the library, which some damaged files cause, into an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    guard(work).unwrap_or_else(|panic| Err(format!("the file is damaged ({panic})")))
}

/// The key of the table of characters that SentencePiece replaces.
const CHARACTER_MAP: &str = "precompiled_charsmap";

/// What of a tokenizer its added tokens are.
#[derive(Deserialize)]
struct Listed {
    added_tokens: Vec<ListedToken>,
}

#[derive(Deserialize)]
struct ListedToken {
    content: String,
}

/// Rejects sizes for which the library would allocate memory, or take minutes, before checking the data.
fn check_sizes(json: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(json).unwrap_or_default();
    // What is wrong with a file that this does not read is the library's to say.
    let listed = serde_json::from_str::<Listed>(text).map(|listed| listed.added_tokens);
    for token in listed.unwrap_or_default() {
        check_length(&token.content, "tokenizer.json")?;
    }
    if !text.contains(CHARACTER_MAP) {
        return Ok(());
    }
    let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut values = vec![&document];
    while let Some(value) = values.pop() {
        match value {
            Value::Array(list) => values.extend(list),
            Value::Object(object) => {
                if let Some(Value::String(map)) = object.get(CHARACTER_MAP) {
                    check_character_map(map)?;
                }
                // The vocabulary contains no such table and may be large.
                let parts = object.iter().filter(|(key, _)| *key != "vocab" && *key != "merges");
                values.extend(parts.map(|(_, value)| value));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Its first four bytes are the length in bytes of the table of whole words that follows.
fn check_character_map(base64: &str) -> Result<(), String> {
    let digits = base64.bytes().filter(|byte| *byte != b'=').count();
    let bytes = (digits as u64 * 3 / 4).saturating_sub(4);
    let mut length = 0u64;
    for (at, byte) in base64.bytes().take(6).enumerate() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err("precompiled_charsmap is no base64 text".to_owned()),
        };
        length |= u64::from(digit) << (42 - 6 * at);
    }
    let word = (length >> 16) as u32;
    match u64::from(word.swap_bytes()) {
        length if base64.len() >= 6 && length <= bytes && length.is_multiple_of(4) => Ok(()),
        length => {
            Err(format!("precompiled_charsmap says {length} bytes of a table and has {bytes}"))
        }
    }
}

/// One line of at most about a hundred letters.
fn brief(text: &str) -> String {
    const MOST: usize = 300;
    let letter = |letter: char| if letter.is_control() { ' ' } else { letter };
    let shown: String = text.chars().take(MOST).map(letter).collect();
    if text.chars().nth(MOST).is_some() { format!("{shown}…") } else { shown }
}
