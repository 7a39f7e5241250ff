//! Tokenizers with and without special tokens, and broken ones.

use std::fs;

use strait_data::{Bos, Preset, Protocol, Specials, TokenStream, Tokenizer};
use tempfile::TempDir;

const SPECIALS: Specials = Specials { added: true, parsed: true };

/// A word-level tokenizer whose template puts `<s>` before a text and, if asked for, `</s>` after it.
fn json(before: bool, after: bool) -> String {
    let special = |token: &str| format!(r#"{{"SpecialToken": {{"id": "{token}", "type_id": 0}}}}"#);
    let mut single = vec![r#"{"Sequence": {"id": "A", "type_id": 0}}"#.to_owned()];
    if before {
        single.insert(0, special("<s>"));
    }
    if after {
        single.push(special("</s>"));
    }
    format!(
        r#"{{"version": "1.0", "truncation": {{"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}},
        "padding": {{"strategy": {{"Fixed": 9}}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "<s>"}},
        "added_tokens": [], "normalizer": null, "pre_tokenizer": {{"type": "Whitespace"}},
        "post_processor": {{"type": "TemplateProcessing", "single": [{}], "pair": [],
          "special_tokens": {{"<s>": {{"id": "<s>", "ids": [1], "tokens": ["<s>"]}}, "</s>": {{"id": "</s>", "ids": [2], "tokens": ["</s>"]}}}}}},
        "decoder": null, "model": {{"type": "WordLevel", "vocab": {{"?": 0, "<s>": 1, "</s>": 2, "a": 3, "b": 4}}, "unk_token": "?"}}}}"#,
        single.join(", ")
    )
}

#[test]
fn specials_and_lengths() {
    let text = "a b a b a b c";
    let plain = [3, 4, 3, 4, 3, 4, 0];
    for (before, after) in [(false, false), (true, false), (false, true), (true, true)] {
        let tokenizer = Tokenizer::from_json(&json(before, after), "test").unwrap();
        assert_eq!(tokenizer.bos_id(), before.then_some(1));
        let mut expected = plain.to_vec();
        if before {
            expected.insert(0, 1);
        }
        if after {
            expected.push(2);
        }
        // Neither truncated to 4 nor padded to 9.
        assert_eq!(tokenizer.encode(text).unwrap(), expected);
        assert_eq!(tokenizer.encode_plain(text).unwrap(), plain);
    }
}

#[test]
fn protocols_place_bos() {
    let tokenizer = Tokenizer::from_json(&json(true, false), "test").unwrap();
    let mut protocol = Protocol::published(Preset::Llamacpp);
    (protocol.window, protocol.stride) = (4, 4);
    let stream = protocol.tokenize("a b a b a b a b", &tokenizer).unwrap();
    assert_eq!(stream.tokens, [1, 3, 4, 3, 4, 3, 4, 3, 4]);
    let windows = protocol.windows(stream.tokens.len(), stream.bos_id).unwrap();
    let inputs: Vec<_> = windows.iter().map(|window| window.tokens(&stream.tokens)).collect();
    assert_eq!(inputs, [[1, 3, 4, 3], [1, 3, 4, 3]]);
    assert_eq!(windows[1].targets(&stream.tokens), [3]);

    protocol.bos = Bos::Never;
    let stream = protocol.tokenize("a b a b a b a b", &tokenizer).unwrap();
    assert_eq!(stream.tokens, [3, 4, 3, 4, 3, 4, 3, 4]);
    let windows = protocol.windows(stream.tokens.len(), stream.bos_id).unwrap();
    assert!(windows.iter().all(|window| window.bos.is_none()));

    protocol.first_k_tokens = Some(1000);
    assert_eq!(protocol.tokenize("a b", &tokenizer).unwrap().tokens, [3, 4]);
    protocol.window = 0;
    assert!(protocol.tokenize("a b", &tokenizer).is_err());
}

#[test]
fn missing_and_broken() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tokenizer.json");
    let error = |path| {
        let message = Tokenizer::from_file(path).unwrap_err().to_string();
        message.replace(&folder.path().display().to_string(), "DIR")
    };
    let missing = error(&path);
    fs::write(&path, "{\"version\": \"1.0\"").unwrap();
    let truncated = error(&path);
    fs::write(&path, json(true, true).replace("WordLevel", "Runes")).unwrap();
    let unknown = error(&path);
    fs::write(&path, [0xff, 0xfe]).unwrap();
    let binary = error(&path);
    let all = [missing, truncated, unknown, binary].join("\n");
    insta::assert_snapshot!(all);
}

/// The library takes half a minute for a special token of 20,000 letters.
#[test]
fn a_special_token_as_long_as_a_book_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tokenizer.json");
    fs::write(&path, json(true, false)).unwrap();
    let long = "x".repeat(20_000);
    for config in [
        format!(r#"{{"eos_token": "{long}"}}"#),
        format!(r#"{{"additional_special_tokens": [{{"content": "{long}"}}]}}"#),
        format!(r#"{{"added_tokens_decoder": {{"5": {{"content": "{long}"}}}}}}"#),
    ] {
        fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
        let error = Tokenizer::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("at most 1000 bytes, found 20000"), "{error}");
    }
    let token = format!(
        r#""added_tokens": [{{"id": 1, "content": "{long}", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true}}]"#
    );
    let json = json(true, false).replace(r#""added_tokens": []"#, &token);
    let error = Tokenizer::from_json(&json, "test").unwrap_err().to_string();
    assert!(error.contains("at most 1000 bytes, found 20000"), "{error}");
}

/// What tokens spell adds up to the text, whatever is normalised, trimmed or shared between them.
#[test]
fn ends_cover_the_text() {
    let byte_level = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "decoder": null, "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
          "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
          "vocab": {"a": 0, "Ġ": 1, "Ã": 2, "¼": 3, "Ċ": 4}, "merges": []}}"#;
    let tokenizer = Tokenizer::from_json(byte_level, "test").unwrap();
    // a, space, the two bytes of ü, line break.
    let encoded = tokenizer.encode_spans("a ü\n", SPECIALS).unwrap();
    assert_eq!(encoded.tokens, [0, 1, 2, 3, 4]);
    assert_eq!(encoded.ends, [1, 2, 4, 4, 5]);

    // Special tokens spell nothing, and white space that is no token goes to the next one.
    let tokenizer = Tokenizer::from_json(&json(true, true), "test").unwrap();
    let encoded = tokenizer.encode_spans("a  b c ", SPECIALS).unwrap();
    assert_eq!((encoded.tokens, encoded.ends), (vec![1, 3, 4, 0, 2], vec![0, 1, 4, 6, 6]));
    let stream =
        TokenStream::new(tokenizer.encode_spans("a  b c", SPECIALS).unwrap(), Some(3), None);
    assert_eq!((stream.total, stream.ends.as_slice()), (5, [0, 1, 4].as_slice()));
    let windows = Protocol::published(Preset::HfStride).windows(3, None).unwrap();
    assert_eq!(stream.scored_bytes(&windows), 4);
    assert_eq!(stream.scored_bytes(&[windows.as_slice(), windows.as_slice()].concat()), 8);
}
