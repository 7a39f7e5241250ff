//! Any bytes as a file that people write: a tokenizer, its configuration, an experiment.

use std::fs;

use strait_data::{DataError, Specials, Tokenizer};
use strait_schema::Experiment;

use crate::assert_message;

/// Spaces at both ends, special tokens spelled out, several scripts, and a character of four bytes.
const TEXT: &str = "  The ferry's 1,204 letters —\n\n= Café =\t<s>naïve</s> [CLS] 東京 🛶\r\n ";

/// A small tokenizer to read a configuration beside.
const BESIDE: &str = r#"{"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"},
"model": {"type": "WordLevel", "vocab": {"?": 0, "The": 1, "letters": 2}, "unk_token": "?"}}"#;

/// A `tokenizer.json`.
pub(crate) fn tokenizer(bytes: &[u8], _: Option<&[u8]>) {
    // A file that is no text does not reach this reader.
    let Ok(json) = std::str::from_utf8(bytes) else { return };
    encode(Tokenizer::from_json(json, "fuzz.json"));
}

/// A `tokenizer_config.json` beside a tokenizer.
pub(crate) fn tokenizer_config(bytes: &[u8], _: Option<&[u8]>) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join("tokenizer.json");
    let written = fs::write(folder.path().join("tokenizer_config.json"), bytes);
    if written.and_then(|()| fs::write(&path, BESIDE)).is_ok() {
        encode(Tokenizer::from_file(&path));
    }
}

/// A text that is encoded has an end for each token, within the text and in order.
fn encode(tokenizer: Result<Tokenizer, DataError>) {
    let tokenizer = match tokenizer {
        Ok(tokenizer) => tokenizer,
        Err(error) => return assert_message(&error),
    };
    for (added, parsed) in [(true, true), (false, false)] {
        match tokenizer.encode_spans(TEXT, Specials { added, parsed }) {
            Ok(encoded) => {
                assert_eq!(encoded.tokens.len(), encoded.ends.len());
                assert!(encoded.ends.is_sorted() && encoded.ends.iter().all(|&e| e <= TEXT.len()));
                if let Err(error) = tokenizer.decode(&encoded.tokens) {
                    assert_message(&error);
                }
            }
            Err(error) => assert_message(&error),
        }
    }
}

/// An experiment file: one that is accepted says the same after it was written and read again.
pub(crate) fn experiment(bytes: &[u8], _: Option<&[u8]>) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let experiment = match Experiment::parse(text, "fuzz.toml") {
        Ok(experiment) => experiment,
        Err(error) => return assert_message(&error),
    };
    let written = match experiment.to_toml() {
        Ok(written) => written,
        Err(error) => return assert_message(&error),
    };
    let again = Experiment::parse(&written, "written.toml").map_err(|error| error.to_string());
    let again = again.and_then(|again| again.to_toml().map_err(|error| error.to_string()));
    assert_eq!(again, Ok(written));
}
