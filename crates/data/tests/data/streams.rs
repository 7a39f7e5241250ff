//! Token streams against the named tools: Transformers, and llama.cpp under preset `llamacpp`
//! (`golden/streams.py`).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use strait_data::{Bos, Preset, Protocol, Tokenizer};
use tempfile::TempDir;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/streams").join(name)
}

fn asset() -> String {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/models/wiki-4m/tokenizer.json");
    fs::read_to_string(path).unwrap()
}

/// A folder with the files of a tokenizer of the script.
fn open(name: &str) -> (TempDir, Tokenizer) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tokenizer.json");
    let config = match name {
        "byte-level" => {
            fs::write(&path, asset()).unwrap();
            None
        }
        "byte-level-config" => {
            let mut tokenizer: Value = asset().parse().unwrap();
            let begin = "<|endoftext|>";
            tokenizer["post_processor"] = json!({
                "type": "TemplateProcessing",
                "single": [
                    {"SpecialToken": {"id": begin, "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}},
                ],
                "pair": [],
                "special_tokens": {begin: {"id": begin, "ids": [0], "tokens": [begin]}},
            });
            tokenizer["normalizer"] = json!({"type": "NFC"});
            fs::write(&path, tokenizer.to_string()).unwrap();
            Some("byte-level-config.json")
        }
        _ => {
            fs::copy(golden("sentence-piece.json"), &path).unwrap();
            Some("sentence-piece-config.json")
        }
    };
    if let Some(config) = config {
        fs::copy(golden(config), folder.path().join("tokenizer_config.json")).unwrap();
    }
    let tokenizer = Tokenizer::from_file(&path).unwrap();
    (folder, tokenizer)
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn every_preset_has_the_stream_of_its_tool() {
    let golden: Value = fs::read_to_string(golden("streams.json")).unwrap().parse().unwrap();
    let texts: Vec<String> = serde_json::from_value(golden["texts"].clone()).unwrap();
    let mut doubled = 0;
    for (name, streams) in golden["streams"].as_object().unwrap() {
        let (_folder, tokenizer) = open(name);
        for (text, stream) in texts.iter().zip(streams.as_array().unwrap()) {
            for preset in Preset::ALL {
                let found = Protocol::published(*preset).tokenize(text, &tokenizer).unwrap();
                let mut expected = match preset {
                    Preset::Llamacpp => ids(&stream["llama_cpp"]),
                    _ => ids(&stream["transformers"]),
                };
                // Transformers puts a beginning before a text that has one; here one is enough.
                if tokenizer.bos_id().is_some_and(|bos| expected.starts_with(&[bos, bos])) {
                    expected.remove(0);
                    doubled += 1;
                }
                assert_eq!(found.tokens, expected, "{name}, {preset}: {text:?}");
            }
        }
    }
    assert_eq!(doubled, 2 * (Preset::ALL.len() - 1));
}

#[test]
fn the_rule_of_the_beginning_can_be_stated() {
    let (_folder, tokenizer) = open("byte-level-config");
    let stream = |preset: Preset, bos: Bos, text: &str| {
        let mut protocol = Protocol::published(preset);
        protocol.bos = bos;
        protocol.tokenize(text, &tokenizer).unwrap().tokens
    };
    let plain = stream(Preset::HfStride, Bos::Never, "a text");
    assert_ne!(plain[0], 0);
    let begun = [&[0], plain.as_slice()].concat();
    for preset in [Preset::HfStride, Preset::Llamacpp] {
        for rule in [Bos::Tokenizer, Bos::EachWindow] {
            assert_eq!(stream(preset, rule, "a text"), begun);
        }
        assert_eq!(stream(preset, Bos::Never, "a text"), plain);
    }
    // As text, not as what begins a sequence.
    let spelt = stream(Preset::Llamacpp, Bos::Tokenizer, "<|endoftext|>a text");
    assert_eq!(spelt[0], 0);
    assert!(spelt.len() > begun.len() + 1 && spelt[1] != 0);
    assert_eq!(stream(Preset::HfStride, Bos::Tokenizer, "<|endoftext|>a text"), begun);
}

#[test]
fn added_tokens_must_have_the_ids_that_are_said() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tokenizer.json");
    fs::write(&path, asset()).unwrap();
    let config = folder.path().join("tokenizer_config.json");
    let added = json!({"added_tokens_decoder": {"7": {"content": "<|user|>", "special": true}}});
    fs::write(&config, added.to_string()).unwrap();
    let error = Tokenizer::from_file(&path).unwrap_err().to_string();
    assert!(
        error.contains("added_tokens_decoder gives \"<|user|>\" the id 7, the vocabulary "),
        "{error}"
    );
    fs::write(&config, "{").unwrap();
    let error = Tokenizer::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("tokenizer_config.json: EOF"), "{error}");
}

/// Each of these made the library panic, or ask for gigabytes.
#[test]
fn damaged_tokenizers_are_one_error() {
    let whole = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
    });
    let with = |key: &str, value: Value| {
        let mut changed = whole.clone();
        changed[key] = value;
        changed.to_string()
    };
    let map = |map: &str| json!({"type": "Precompiled", "precompiled_charsmap": map});
    let nested = json!({"type": "Sequence", "normalizers": [map("//////////8AAAAA")]});
    let template = json!({
        "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "nope", "type_id": 0}}],
        "pair": [], "special_tokens": {},
    });
    let text = whole.to_string();
    let cases = [
        with("normalizer", map("//////////8AAAAA")),
        with("normalizer", nested),
        with("normalizer", map("AAAA")),
        with("normalizer", map("!!!!!!!!")),
        with("post_processor", template),
        text[..text.find("\"ByteLevel").unwrap() + 5].to_owned(),
    ];
    for case in cases {
        let error = Tokenizer::from_json(&case, "t").unwrap_err().to_string();
        assert!(error.starts_with("cannot use the tokenizer t: "), "{error}");
        assert_eq!(error.lines().count(), 2, "{error}");
    }
    Tokenizer::from_json(&text, "t").unwrap();
}

#[test]
fn what_lies_in_a_files_place_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tokenizer.json");
    fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n").unwrap();
    let error = Tokenizer::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("git lfs pull"), "{error}");
    fs::write(&path, "<!DOCTYPE html><html></html>").unwrap();
    let error = Tokenizer::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("a web page (HTML)"), "{error}");
}
