//! Codecs inside others: parameters, sides, several files, and inner codecs that misbehave.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use strait_loader::{
    CodecEntry, CodecInstance, Dtype, MatrixMut, MatrixRef, PayloadBytes, PluginSet, Shape, Side,
};

use crate::build::{HOST, hostile, plugin};
use crate::evolution::shift;

const BYTES: [u8; 4] = [1, 2, 3, 4];
const SHAPE: Shape = Shape { rows: 1, channels: 2, dtype: Dtype::F16 };

fn outer() -> CodecEntry {
    plugin().codec("hostile.outer").unwrap()
}

fn table(params: Value) -> Map<String, Value> {
    params.as_object().unwrap().clone()
}

fn open(side: Side, params: &Value) -> CodecInstance {
    outer().open(side, &table(params.clone()), None).unwrap()
}

fn encode(encoder: &mut CodecInstance) -> Result<Vec<u8>, String> {
    let message = MatrixRef { rows: 1, channels: 2, dtype: Dtype::F16, bytes: &BYTES, side: &[] };
    let mut payload = Vec::new();
    encoder.encode(message, &mut payload).map_err(|error| error.to_string())?;
    Ok(payload)
}

fn decode(decoder: &mut CodecInstance, payload: &[u8]) -> Result<[u8; 4], String> {
    let mut bytes = [0; 4];
    let target = MatrixMut { rows: 1, channels: 2, dtype: Dtype::F16, bytes: &mut bytes };
    decoder.decode(payload, target).map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn refusal(params: Value) -> String {
    let error = outer().resolve(&table(params)).unwrap_err().to_string();
    error.replace(&hostile().parent().unwrap().display().to_string(), "X")
}

#[test]
fn nested_parameters_are_completed_and_checked() {
    let resolve = |params| Value::Object(outer().resolve(&table(params)).unwrap()).to_string();
    let full = r#"{"inner":{"codec":"hostile.panic","at":"nowhere"},"late":false}"#;
    assert_eq!(resolve(json!({})), full);
    assert_eq!(resolve(json!({ "inner": "hostile.panic" })), full);
    assert_eq!(resolve(serde_json::from_str(full).unwrap()), full);
    assert_eq!(
        refusal(json!({ "inner": { "codec": "hostile.length", "factr": 1 } })),
        "parameter `inner.factr`: expected `factor`, `extra`, `missing` or `announced`, found an \
         unknown key; did you mean `factor`?"
    );
    let deep = json!({ "inner": { "codec": "hostile.outer", "inner": { "codec": "hostile.length", "factor": -1 } } });
    assert_eq!(
        refusal(deep),
        "parameter `inner.inner.factor`: expected an integer from 0 to 1000, found -1"
    );
    assert_eq!(
        refusal(json!({ "inner": "hostile.lenght" })),
        "parameter `inner.codec`: expected one of hostile.address-cheat, hostile.changes, \
         hostile.chatty, hostile.ends, hostile.error, hostile.file-cheat, hostile.floats, \
         hostile.half-filled, hostile.instance-cheat, hostile.length, hostile.panic, hostile.says, \
         hostile.self, hostile.static-cheat, hostile.writes (from X), found `hostile.lenght`; did you mean `hostile.length`?"
    );
    assert_eq!(
        refusal(json!({ "inner": { "bits": 4 } })),
        "parameter `inner`: expected a codec with its parameters, { codec = \"...\", ... }, \
         found a table"
    );
}

#[test]
fn a_codec_that_never_ends_is_refused() {
    assert_eq!(
        refusal(json!({ "inner": "hostile.self" })),
        "parameter `inner.inner.inner.inner.codec`: expected at most 4 codecs inside one another, \
         found hostile.outer > hostile.self > hostile.self > hostile.self > hostile.self"
    );
    // One that ignores its parameters is stopped when it is opened.
    let endless = json!({ "inner": { "codec": "hostile.self", "inner": "hostile.panic" } });
    let error = outer().open(Side::Encoder, &table(endless), None).unwrap_err().to_string();
    assert!(error.starts_with("codec `hostile.outer`: open failed: inner codec"), "{error}");
    assert!(error.contains("expected at most 4 codecs inside one another"), "{error}");
}

#[test]
fn messages_pass_through_codecs_inside() {
    let three =
        json!({ "inner": { "codec": "hostile.outer", "inner": { "codec": "hostile.outer" } } });
    let mut encoder = open(Side::Encoder, &three);
    assert_eq!(encoder.payload_bytes(SHAPE), Ok(PayloadBytes::Exact(7)));
    let payload = encode(&mut encoder).unwrap();
    assert_eq!(payload, [7, 7, 7, 1, 2, 3, 4]);
    encoder.reset().unwrap();
    let mut decoder = open(Side::Decoder, &three);
    assert_eq!(decode(&mut decoder, &payload).unwrap(), BYTES);
    let error = decode(&mut decoder, &payload[..6]).unwrap_err();
    assert_eq!(
        error,
        "codec `hostile.outer`: decode failed: inner codec `hostile.outer`: decode failed: inner \
         codec `hostile.outer`: decode failed: inner codec `hostile.panic`: decode failed: payload: \
         expected 4 bytes, found 3"
    );
    let inner = outer().inner(&outer().resolve(&table(three)).unwrap()).unwrap();
    let ids: Vec<_> = inner.iter().map(|entry| entry.descriptor().id.as_str()).collect();
    assert_eq!(ids, ["hostile.outer", "hostile.panic"]);
}

#[test]
fn inner_codecs_come_from_other_files_and_from_their_private_copies() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(hostile(), folder.path().join("a.so")).unwrap();
    std::fs::copy(shift(), folder.path().join("b.so")).unwrap();
    let set = PluginSet::scan(folder.path(), &BTreeMap::new(), HOST).unwrap();
    let outer = set.codec("hostile.outer").unwrap();
    let params = table(json!({ "inner": { "codec": "shift.same", "by": 5 } }));
    let mut encoder = outer.open(Side::Encoder, &params, None).unwrap();
    let payload = encode(&mut encoder).unwrap();
    assert_eq!(payload, [7, 6, 7, 8, 9]);
    let mut decoder = outer.open(Side::Decoder, &params, None).unwrap();
    assert_eq!(decode(&mut decoder, &payload).unwrap(), BYTES);

    let asks = outer.side_information(&table(json!({ "inner": "hostile.chatty" }))).unwrap();
    assert_eq!(asks, ["importance"]);

    // The inner codec's statics are not shared either.
    let cheat = table(json!({ "inner": "hostile.static-cheat" }));
    let mut decoder = outer.open(Side::Decoder, &cheat, None).unwrap();
    let mut encoder = outer.open(Side::Encoder, &cheat, None).unwrap();
    let payload = encode(&mut encoder).unwrap();
    let error = decode(&mut decoder, &payload).unwrap_err();
    assert!(error.ends_with("the encoder's message is not here"), "{error}");
}

#[test]
fn a_panic_inside_is_an_error_of_this_cell_alone() {
    let at = |call: &str| json!({ "inner": { "codec": "hostile.panic", "at": call } });
    let error = outer().open(Side::Encoder, &table(at("open")), None).unwrap_err().to_string();
    let start = "codec `hostile.outer`: open failed: inner codec `hostile.panic`: open failed: \
                 panicked: hostile panic in open (at ";
    assert!(error.starts_with(start), "{error}");

    for call in ["encode", "payload_bytes", "reset"] {
        let mut encoder = open(Side::Encoder, &at(call));
        encoder.reset().unwrap();
        let error = encode(&mut encoder).unwrap_err();
        let cause = format!("`hostile.panic`: {call} failed: panicked: hostile panic in {call}");
        assert!(error.contains(&cause), "{error}");
        assert!(encode(&mut encoder).is_err());
        let mut other = open(Side::Encoder, &at("nowhere"));
        assert_eq!(encode(&mut other).unwrap(), [7, 1, 2, 3, 4]);
    }
    let mut decoder = open(Side::Decoder, &at("decode"));
    assert!(decode(&mut decoder, &[7, 1, 2, 3, 4]).unwrap_err().contains("panicked"));
    assert!(decode(&mut decoder, &[7, 1, 2, 3, 4]).unwrap_err().contains("after a panic"));
    // Only logged: nothing that was measured is wrong.
    open(Side::Encoder, &at("drop")).close().unwrap();
}

#[test]
fn an_inner_codec_cannot_write_more_than_an_outer_one() {
    let params = json!({ "inner": { "codec": "hostile.length", "extra": 70000 } });
    assert_eq!(
        encode(&mut open(Side::Encoder, &params)).unwrap_err(),
        "codec `hostile.outer`: encode failed: inner codec `hostile.length`: encode failed: wrote \
         too much: expected at most 65552 bytes, found 70004"
    );
    let params = json!({ "inner": { "codec": "hostile.error", "at": "encode" } });
    assert_eq!(
        encode(&mut open(Side::Encoder, &params)).unwrap_err(),
        "codec `hostile.outer`: encode failed: inner codec `hostile.error`: encode failed: hostile \
         error in encode"
    );
    let mut decoder = open(Side::Decoder, &json!({ "inner": "hostile.half-filled" }));
    assert_eq!(decode(&mut decoder, &[7, 1, 2]).unwrap(), [1, 2, 0xff, 0xff]);
}

#[test]
fn inner_codecs_are_opened_in_open() {
    let error = encode(&mut open(Side::Encoder, &json!({ "late": true }))).unwrap_err();
    assert_eq!(
        error,
        "codec `hostile.outer`: encode failed: inner codec `hostile.panic`: open failed: expected \
         to be called while a codec is opened, on the same thread, found another time; open inner \
         codecs in `Codec::open`"
    );
}
