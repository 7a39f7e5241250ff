//! Single safetensors files that are wrong in one place.

use std::path::Path;

use serde_json::{Value, json};
use strait_weights::{Checkpoint, WeightsError};

use crate::message;

pub(crate) fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

pub(crate) fn open(bytes: Vec<u8>) -> Result<Checkpoint, WeightsError> {
    Checkpoint::from_safetensors_bytes(Path::new("x.safetensors"), json!({}), bytes)
}

fn entry(dtype: &str, shape: &[u64], offsets: [u64; 2]) -> Value {
    json!({"dtype": dtype, "shape": shape, "data_offsets": offsets})
}

#[test]
fn metadata_padding_and_unreadable_types_are_fine() {
    let header = json!({
        "__metadata__": {"format": "pt"},
        "ids": entry("I64", &[1], [4, 12]),
        "scalar": entry("F32", &[], [0, 4]),
        "new": entry("F9", &[3], [12, 13]),
    });
    let data = [&2.5f32.to_le_bytes()[..], &[0; 9]].concat();
    let checkpoint = open(file(&format!("{header}   "), &data)).unwrap();
    let scalar = checkpoint.tensor("scalar").unwrap();
    assert_eq!((scalar.shape.len(), scalar.data.as_slice()), (0, &[2.5][..]));
    let error = checkpoint.tensor("ids").unwrap_err().to_string();
    assert!(
        error.starts_with("x.safetensors: tensor \"ids\" is stored as I64, which is not supported"),
        "{error}"
    );
    assert!(matches!(checkpoint.tensor("new"), Err(WeightsError::UnsupportedFormat { .. })));
    let error = checkpoint.tokenizer().unwrap_err().to_string();
    let expected = "x.safetensors: no tokenizer; expected tokenizer.json beside the weights; ";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn lies_are_refused() {
    let one = |entry: Value| json!({"a": entry}).to_string();
    let two = |a: Value, b: Value| json!({"a": a, "b": b}).to_string();
    let tensor = r#""a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}"#;
    let duplicate = format!("{{{tensor},{tensor}}}");
    let empty = r#""e":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}"#;
    let empty_duplicate = format!("{{{tensor},{empty},{empty}}}");
    let cases = [
        (
            one(entry("F32", &[2], [0, 4])),
            "tensor \"a\": expected 2 values of F32, 32 bits each, found 4 bytes",
        ),
        (
            one(entry("F4", &[3], [0, 4])),
            "tensor \"a\": expected 3 values of F4, 4 bits each, found 4 bytes",
        ),
        (
            one(entry("U8", &[1 << 33, 1 << 33], [0, 4])),
            "tensor \"a\": expected a size below 2^64 bytes, found [8589934592, 8589934592]",
        ),
        (
            one(entry("U8", &[3], [1, 4])),
            "tensor \"a\": expected data_offsets that start at 0, where the tensor before ends, found [1, 4]",
        ),
        (
            two(entry("U8", &[3], [0, 3]), entry("U8", &[2], [2, 4])),
            "tensor \"b\": expected data_offsets that start at 3, where the tensor before ends, found [2, 4]",
        ),
        (
            two(entry("U8", &[4], [0, 4]), entry("U8", &[2], [4, 2])),
            "tensor \"b\": expected data_offsets that start at 4, where the tensor before ends, found [4, 2]",
        ),
        (
            duplicate,
            "tensor \"a\": expected data_offsets that start at 4, where the tensor before ends, found [0, 4]",
        ),
        (empty_duplicate, "tensor \"e\": expected one entry, found two"),
    ];
    for (header, expected) in cases {
        assert_eq!(message(open(file(&header, &[0; 4]))), format!("x.safetensors: {expected}"));
    }
    let header = one(entry("U8", &[4], [0, 4]));
    let length = 8 + header.len();
    assert_eq!(
        message(open(file(&header, &[0; 5]))),
        format!(
            "x.safetensors: file length: expected {} bytes, where the last tensor ends, found {}",
            length + 4,
            length + 5
        )
    );
    assert_eq!(
        message(open(file(&header, &[0; 3]))),
        format!(
            "x.safetensors: file is cut short: tensor \"a\" needs {} bytes up to here, the file has {}; \
             fetch or copy it again",
            length + 4,
            length + 3
        )
    );
}

#[test]
fn headers_that_are_no_headers_are_refused() {
    assert_eq!(
        message(open(u64::MAX.to_le_bytes().to_vec())),
        "x.safetensors: safetensors header length in bytes is 18446744073709551615, more than the limit of 100000000; \
         the file is damaged or not a checkpoint"
    );
    let cut = message(open(vec![9, 0, 0]));
    assert!(cut.contains("the header length needs 8 bytes up to here, the file has 3"), "{cut}");
    let cut = message(open(file("{}", &[])[..9].to_vec()));
    assert!(cut.contains("the header needs 10 bytes up to here, the file has 9"), "{cut}");
    let deep = "[".repeat(100_000);
    for header in ["", "[]", "{\"a\": 1}", "{\"a\":{\"dtype\":\"F32\"}}", "{\"\u{0}\":{}}", &deep] {
        let error = open(file(header, &[]));
        assert!(matches!(error, Err(WeightsError::Json { .. })), "{}", message(error));
    }
    let mut not_utf8 = file("{\"a\":{}}", &[]);
    not_utf8[10] = 0xff;
    assert!(matches!(open(not_utf8), Err(WeightsError::Json { .. })));
}
