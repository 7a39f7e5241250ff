//! Calls into hostile codecs: nothing they do ends the host, and each refusal is one line.

use serde_json::{Map, Value, json};
use strait_loader::{
    CallError, CodecEntry, CodecInstance, Dtype, LoaderError, MatrixMut, MatrixRef, PayloadBytes,
    Shape, Side,
};

use crate::build::plugin;

fn codec(id: &str) -> CodecEntry {
    plugin().codec(id).unwrap()
}

fn table(params: &Value) -> Map<String, Value> {
    params.as_object().unwrap().clone()
}

fn open(id: &str, side: Side, params: &Value) -> CodecInstance {
    codec(id).open(side, &table(params), None).unwrap()
}

/// Two rows of four f16 values.
const BYTES: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

fn message(bytes: &[u8]) -> MatrixRef<'_> {
    MatrixRef { rows: 2, channels: 4, dtype: Dtype::F16, bytes, side: &[] }
}

fn encode(id: &str, params: &Value) -> Result<Vec<u8>, CallError> {
    let mut payload = vec![9; 3];
    open(id, Side::Encoder, params).encode(message(&BYTES), &mut payload)?;
    Ok(payload)
}

fn decode(id: &str, params: &Value, payload: &[u8]) -> Result<Vec<u8>, CallError> {
    let mut bytes = vec![0; 16];
    let target = MatrixMut { rows: 2, channels: 4, dtype: Dtype::F16, bytes: &mut bytes };
    open(id, Side::Decoder, params).decode(payload, target)?;
    Ok(bytes)
}

/// The text of an error without the line number in the plugin's source.
fn line(error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    assert!(!text.contains('\n'), "more than one line: {text}");
    match text.split_once(" (at ") {
        Some((before, place)) => {
            assert!(place.contains("faults.rs:"), "{text}");
            before.to_owned()
        }
        None => text,
    }
}

#[test]
fn a_well_behaved_call_gives_the_bytes_back() {
    let payload = encode("hostile.panic", &json!({})).unwrap();
    assert_eq!(payload, BYTES, "encode replaces what was in the buffer");
    assert_eq!(decode("hostile.panic", &json!({}), &payload).unwrap(), BYTES);
}

#[test]
fn empty_messages_and_unaligned_buffers_pass() {
    let mut encoder = open("hostile.panic", Side::Encoder, &json!({}));
    let mut payload = Vec::new();
    for (rows, channels) in [(0, 4), (3, 0), (0, 0)] {
        let empty = MatrixRef { rows, channels, dtype: Dtype::F32, bytes: &[], side: &[] };
        encoder.encode(empty, &mut payload).unwrap();
        assert!(payload.is_empty());
    }
    let bytes: Vec<u8> = (0..13).collect();
    let odd = MatrixRef { rows: 1, channels: 3, dtype: Dtype::F32, bytes: &bytes[1..], side: &[] };
    encoder.encode(odd, &mut payload).unwrap();
    assert_eq!(payload, bytes[1..]);
}

#[test]
fn panics_become_errors_and_poison_the_instance() {
    let at = |call: &str| json!({ "at": call });
    let error = codec("hostile.panic").open(Side::Encoder, &table(&at("open")), None).unwrap_err();
    assert_eq!(line(error), "codec `hostile.panic`: open panicked: hostile panic in open");
    let error = codec("hostile.panic").fit(&table(&at("fit")), &[message(&BYTES)]).unwrap_err();
    assert_eq!(line(error), "codec `hostile.panic`: fit panicked: hostile panic in fit");
    assert_eq!(
        line(decode("hostile.panic", &at("decode"), &BYTES).unwrap_err()),
        "codec `hostile.panic`: decode panicked: hostile panic in decode"
    );
    assert_eq!(
        line(encode("hostile.panic", &at("payload_bytes")).unwrap_err()),
        "codec `hostile.panic`: payload_bytes panicked: hostile panic in payload_bytes"
    );

    let mut encoder = open("hostile.panic", Side::Encoder, &at("encode"));
    let mut payload = Vec::new();
    assert_eq!(
        line(encoder.encode(message(&BYTES), &mut payload).unwrap_err()),
        "codec `hostile.panic`: encode panicked: hostile panic in encode"
    );
    assert_eq!(
        line(encoder.encode(message(&BYTES), &mut payload).unwrap_err()),
        "codec `hostile.panic`: encode refused: this instance panicked before; open another one"
    );
    assert_eq!(
        line(encoder.reset().unwrap_err()),
        "codec `hostile.panic`: reset refused: this instance panicked before; open another one"
    );
    let mut encoder = open("hostile.panic", Side::Encoder, &at("reset"));
    assert_eq!(
        line(encoder.reset().unwrap_err()),
        "codec `hostile.panic`: reset panicked: hostile panic in reset"
    );
}

#[test]
fn a_panic_in_drop_is_reported_by_close_and_survived_by_drop() {
    let params = json!({ "at": "drop" });
    let error = open("hostile.panic", Side::Encoder, &params).close().unwrap_err();
    assert_eq!(line(error), "codec `hostile.panic`: drop panicked: hostile panic in drop");
    drop(open("hostile.panic", Side::Encoder, &params));
}

#[test]
fn panics_do_not_reach_the_terminal() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "calls::panics_become_errors_and_poison_the_instance"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert!(!text.contains("hostile panic"), "{text}");
}

#[test]
fn errors_carry_the_codecs_words() {
    let at = |call: &str| json!({ "at": call });
    let error = codec("hostile.error").open(Side::Decoder, &table(&at("open")), None).unwrap_err();
    assert_eq!(line(error), "codec `hostile.error`: open failed: hostile error in open");
    assert_eq!(
        line(encode("hostile.error", &at("encode")).unwrap_err()),
        "codec `hostile.error`: encode failed: hostile error in encode"
    );
    assert_eq!(
        line(decode("hostile.error", &at("decode"), &BYTES).unwrap_err()),
        "codec `hostile.error`: decode failed: hostile error in decode"
    );
    let mut encoder = open("hostile.error", Side::Encoder, &at("encode"));
    let mut payload = Vec::new();
    encoder.encode(message(&BYTES), &mut payload).unwrap_err();
    assert!(encoder.reset().is_ok(), "an error does not poison the instance");
}

#[test]
fn payloads_of_a_wrong_length() {
    let limit = 4 * 16 + 64 * 1024;
    let much = json!({ "extra": limit });
    let mut payload = vec![1];
    let mut encoder = open("hostile.length", Side::Encoder, &much);
    assert_eq!(
        line(encoder.encode(message(&BYTES), &mut payload).unwrap_err()),
        "codec `hostile.length`: encode wrote too much: expected at most 65600 bytes, found 65616"
    );
    assert!(payload.is_empty(), "nothing of a refused payload stays");
    assert_eq!(encode("hostile.length", &json!({ "extra": limit - 16 })).unwrap().len(), limit);

    let announced = json!({ "extra": limit, "announced": 10_000 });
    assert_eq!(encode("hostile.length", &announced).unwrap().len(), limit + 16);
    let nonsense = json!({ "announced": u64::MAX });
    assert_eq!(encode("hostile.length", &nonsense).unwrap().len(), 16);

    let little = encode("hostile.length", &json!({ "missing": 1 })).unwrap();
    assert_eq!(
        line(decode("hostile.length", &json!({}), &little).unwrap_err()),
        "codec `hostile.length`: decode failed: payload: expected 16 bytes, found 15"
    );
    assert_eq!(
        line(decode("hostile.length", &json!({}), &[]).unwrap_err()),
        "codec `hostile.length`: decode failed: payload: expected 16 bytes, found 0"
    );
}

#[test]
fn what_a_decoder_leaves_out_is_nan() {
    let payload = encode("hostile.half-filled", &json!({})).unwrap();
    let mut bytes = BYTES.to_vec();
    let target = MatrixMut { rows: 2, channels: 4, dtype: Dtype::F16, bytes: &mut bytes };
    open("hostile.half-filled", Side::Decoder, &json!({})).decode(&payload, target).unwrap();
    assert_eq!(bytes[..8], BYTES[..8]);
    assert_eq!(bytes[8..], [0xff; 8], "0xffff is NaN in f16 and bf16, and 0xffffffff in f32");
}

#[test]
fn cheats_are_caught() {
    for id in ["hostile.static-cheat", "hostile.instance-cheat"] {
        // Encoder and decoder are open at the same time, which is the best case for a cheat.
        let mut decoder = open(id, Side::Decoder, &json!({}));
        let mut encoder = open(id, Side::Encoder, &json!({}));
        let mut payload = Vec::new();
        encoder.encode(message(&BYTES), &mut payload).unwrap();
        assert!(payload.is_empty());
        let mut bytes = vec![0; 16];
        let target = MatrixMut { rows: 2, channels: 4, dtype: Dtype::F16, bytes: &mut bytes };
        assert_eq!(
            line(decoder.decode(&payload, target).unwrap_err()),
            format!(
                "codec `{id}`: decode failed: hostile cheat: the encoder's message is not here"
            )
        );
    }
}

#[test]
fn without_room_for_a_private_copy_nothing_is_decoded() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "calls::cheats_are_caught"])
        .env("TMPDIR", "/no/such/folder")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("PrivateCopy"), "{text}");
}

#[test]
fn an_instance_serves_one_side() {
    let mut decoder = open("hostile.panic", Side::Decoder, &json!({}));
    assert_eq!(
        line(decoder.encode(message(&BYTES), &mut Vec::new()).unwrap_err()),
        "codec `hostile.panic`: encode refused: this instance was opened for the other side"
    );
}

#[test]
fn buffers_that_do_not_fit_their_shape_are_refused() {
    let mut encoder = open("hostile.panic", Side::Encoder, &json!({}));
    assert_eq!(
        line(encoder.encode(message(&BYTES[..15]), &mut Vec::new()).unwrap_err()),
        "codec `hostile.panic`: encode refused: \
         expected 16 bytes for 2 rows of 4 f16 values, found 15 bytes"
    );
    let mut huge = message(&BYTES);
    huge.rows = usize::MAX;
    assert!(encoder.encode(huge, &mut Vec::new()).is_err());
}

#[test]
fn bounds_and_artifacts_come_back() {
    let shape = Shape { rows: 2, channels: 4, dtype: Dtype::BF16 };
    let mut encoder = open("hostile.panic", Side::Encoder, &json!({}));
    assert_eq!(encoder.payload_bytes(shape), Ok(PayloadBytes::Exact(16)));
    let mut encoder = open("hostile.chatty", Side::Encoder, &json!({}));
    assert_eq!(encoder.payload_bytes(shape), Ok(PayloadBytes::AtMost(64)));

    let codec_with_fit = codec("hostile.panic");
    let samples = [message(&BYTES), message(&BYTES)];
    let artifact = codec_with_fit.fit(&Map::new(), &samples).unwrap();
    assert_eq!(artifact, [7, 7]);
    assert!(codec_with_fit.open(Side::Decoder, &Map::new(), Some(&artifact)).is_ok());
    let error = codec("hostile.error").fit(&Map::new(), &samples).unwrap_err();
    assert_eq!(
        line(error),
        "codec `hostile.error`: fit failed: codec `hostile.error` has no fit step"
    );
    let error = codec("hostile.error").open(Side::Decoder, &Map::new(), Some(&[1])).unwrap_err();
    assert!(matches!(error, LoaderError::Call(CallError::Failed { call: "open", .. })), "{error}");
}

#[test]
fn instances_move_between_threads() {
    let mut encoder = open("hostile.panic", Side::Encoder, &json!({}));
    let payload = std::thread::spawn(move || {
        let mut payload = Vec::new();
        encoder.encode(message(&BYTES), &mut payload).unwrap();
        payload
    });
    assert_eq!(payload.join().unwrap(), BYTES);
}
