//! Every preset against `golden/make.py`, which follows the programs they come from: what each window
//! reads, what is scored in it, and the token streams of WikiText-2.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use strait_data::{
    Join, Preset, Protocol, TextSource, TokenStream, Tokenizer, Window, join_of, load, sha256_hex,
};

fn golden(part: &str) -> Vec<Value> {
    let mut all: Value = serde_json::from_str(include_str!("../golden/golden.json")).unwrap();
    let Value::Array(cases) = all[part].take() else { panic!("no {part}") };
    assert!(!cases.is_empty());
    cases
}

fn number(value: &Value) -> Option<usize> {
    value.as_u64().map(|n| n as usize)
}

fn preset(case: &Value) -> Preset {
    case["preset"].as_str().unwrap().parse().unwrap()
}

/// The script's digest: a line a window with its bounds, its input and its targets' positions.
fn summary(windows: &[Window], stream: &[u32]) -> Value {
    let list = |numbers: &mut dyn Iterator<Item = usize>| {
        let mut text = String::new();
        numbers.for_each(|n| write!(text, "{n},").unwrap());
        text.pop();
        text
    };
    let mut lines = String::new();
    for window in windows {
        let inputs = list(&mut window.tokens(stream).into_iter().map(|id| id as usize));
        let targets = list(&mut (window.score_from..window.end));
        writeln!(lines, "{} {} {inputs} {targets}", window.begin, window.end).unwrap();
    }
    let bounds = |window: Option<&Window>| window.map(|window| (window.begin, window.end));
    json!({
        "windows": windows.len(),
        "first_and_last": [bounds(windows.first()), bounds(windows.last())],
        "scored": windows.iter().map(Window::scored).sum::<usize>(),
        "sha256": sha256_hex(lines.as_bytes()),
    })
}

#[test]
fn windows_are_those_of_the_sources() {
    for case in golden("windows") {
        let mut protocol =
            Protocol::new(preset(&case), number(&case["window"]), number(&case["stride"]));
        protocol.max_windows = number(&case["rows"]);
        let stream: Vec<u32> = (10..).take(number(&case["n"]).unwrap()).collect();
        match protocol.windows(stream.len(), Some(1)) {
            Ok(windows) => assert_eq!(summary(&windows, &stream), case["result"], "{case}"),
            Err(error) => assert!(case["result"].is_null(), "{case}: {error}"),
        }
    }
}

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets")
}

/// The embedded tokenizer, with a template that puts token 0 before a text if `bos`.
fn tokenizer(bos: bool) -> Tokenizer {
    let json = std::fs::read_to_string(assets().join("models/wiki-4m/tokenizer.json")).unwrap();
    let mut json: Value = serde_json::from_str(&json).unwrap();
    if bos {
        let token = "<|endoftext|>";
        json["post_processor"] = json!({
            "type": "TemplateProcessing",
            "single": [
                { "SpecialToken": { "id": token, "type_id": 0 } },
                { "Sequence": { "id": "A", "type_id": 0 } },
            ],
            "pair": [],
            "special_tokens": { token: { "id": token, "ids": [0], "tokens": [token] } },
        });
    }
    Tokenizer::from_json(&json.to_string(), "wiki-4m").unwrap()
}

#[test]
fn wikitext_is_scored_as_by_the_sources() {
    let tokenizers = [tokenizer(false), tokenizer(true)];
    let mut streams: HashMap<(Join, bool, Preset), TokenStream> = HashMap::new();
    for case in golden("text") {
        let bos = case["bos"].as_bool().unwrap();
        let preset = preset(&case);
        let join: Join = case["join"].as_str().unwrap().parse().unwrap();
        let text = load(
            &TextSource {
                source: "wikitext-2-raw".to_owned(),
                split: "test".to_owned(),
                join: Some(join),
                ..TextSource::default()
            },
            Path::new("."),
            &assets(),
        )
        .unwrap();
        assert_eq!(text.sha256, case["text_sha256"], "{case}");
        let protocol = Protocol::published(preset);
        // hf-stride and gptq share a stream; exl3 does in one of its two variants.
        let same = if preset == Preset::Llamacpp { preset } else { Preset::HfStride };
        let stream = streams.entry((join, bos, same)).or_insert_with(|| {
            protocol.tokenize(&text.text, &tokenizers[usize::from(bos)]).unwrap()
        });
        assert_eq!(stream.bos_id, bos.then_some(0));
        assert_eq!(
            json!([stream.tokens.len(), stream.sha256]),
            json!([case["tokens"], case["tokens_sha256"]]),
            "{case}"
        );
        let windows = protocol.windows(stream.tokens.len(), stream.bos_id).unwrap();
        assert_eq!(summary(&windows, &stream.tokens), case["result"], "{case}");
        // The script counts bytes by the tokens' spelling. A character whose bytes lie on both sides of a
        // border counts for one side here.
        let (got, expected) =
            (stream.scored_bytes(&windows), case["scored_bytes"].as_u64().unwrap());
        assert!(got.abs_diff(expected) <= expected / 100_000, "{got} for {case}");
    }
}

#[test]
fn each_preset_joins_rows_as_its_source() {
    let joins: Vec<&str> =
        Preset::ALL.iter().map(|preset| join_of(*preset, "text.txt").name()).collect();
    assert_eq!(join_of(Preset::Gptq, "c4-en"), Join::Space);
    assert_eq!(join_of(Preset::Llamacpp, "wikitext-2-raw"), Join::Lines);
    assert_eq!(joins, ["blank-line", "blank-line", "non-empty-blank-line", "lines", "blank-line"]);
}
