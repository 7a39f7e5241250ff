//! ggml against the gguf package, its stated errors, and the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use strait_conformance::{Case, Sample};
use strait_ggml::Ggml;
use strait_sdk::prelude::*;
use strait_sdk::serde_json::json;

strait_conformance::check!(
    Ggml,
    [
        // Half a step of the largest magnitude, and the rounding of d.
        bounded("q8_0", |block| largest(block) * (0.5 / 127.0 + 1.0 / 2048.0)).bits_per_value(8.5),
        // A whole step where a value has the largest magnitude and the other sign.
        bounded("q4_0", |block| largest(block) * (1.0 / 8.0 + 1.0 / 2048.0)).bits_per_value(4.5),
        bounded("q5_0", |block| largest(block) * (1.0 / 16.0 + 1.0 / 2048.0)).bits_per_value(5.5),
        // Half a step of the range, and the rounding of d and m.
        bounded("q4_1", |block| largest(block) * (1.0 / 15.0 + 3.0 / 2048.0)).bits_per_value(5.0),
        bounded("q5_1", |block| largest(block) * (1.0 / 31.0 + 3.0 / 2048.0)).bits_per_value(6.0),
        case("iq4_nl").bits_per_value(4.5),
        case("q4_k").bits_per_value(4.5),
        case("q6_k").bits_per_value(6.5625),
    ]
);

fn case(format: &str) -> Case {
    Case::new(json!({ "format": format }))
}

/// A bound for every value of a block of 32, and the smallest steps of f16 times the codes.
fn bounded(format: &str, of: fn(&[f32]) -> f32) -> Case {
    case(format).bound(move |sample: &Sample| {
        let rows = sample.values().chunks(sample.shape().channels.max(1));
        let blocks = rows.flat_map(|row| row.chunks(32));
        blocks.flat_map(|block| vec![of(block) + 8e-6; block.len()]).collect()
    })
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, value| most.max(value.abs()))
}

#[test]
fn blocks_and_values_are_those_of_gguf() {
    let golden: &[u8] = include_bytes!("../../golden/encoded.bin");
    let shape = Shape { rows: 16, channels: 96, dtype: Dtype::F32 };
    let (input, mut rest) = golden.split_at(shape.bytes());
    for (format, block) in [("q8_0", 34), ("q4_0", 18), ("q4_1", 20), ("q5_0", 22), ("q5_1", 24)] {
        let (blocks, after) = rest.split_at(16 * 3 * block);
        let (back, after) = after.split_at(shape.bytes());
        rest = after;
        let payload = encode(format, shape, input);
        for (i, (ours, theirs)) in payload.chunks(block).zip(blocks.chunks(block)).enumerate() {
            assert_eq!(ours, theirs, "{format}: row {}, block {}", i / 3, i % 3);
        }
        assert_eq!(decode(format, shape, &payload), floats(back), "{format}: values");
    }
    assert!(rest.is_empty());
}

#[test]
fn any_block_decodes_as_gguf_decodes_it() {
    let golden: &[u8] = include_bytes!("../../golden/decoded.bin");
    let mut rest = golden;
    for (format, values, bytes) in
        [("q4_k", 2048, 8 * 144), ("q6_k", 2048, 8 * 210), ("iq4_nl", 512, 16 * 18)]
    {
        let (blocks, after) = rest.split_at(bytes);
        let (back, after) = after.split_at(values * 4);
        rest = after;
        let shape = Shape { rows: 1, channels: values, dtype: Dtype::F32 };
        assert_eq!(decode(format, shape, blocks), floats(back), "{format}");
    }
    assert!(rest.is_empty());
}

#[test]
fn the_search_is_better_than_the_plain_formats() {
    // Normal values with a few large ones, as hidden states have.
    let values = normal(64 * 512);
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = Shape { rows: 64, channels: 512, dtype: Dtype::F32 };
    let error = |format: &str| {
        let back = decode(format, shape, &encode(format, shape, &bytes));
        let squares = values.iter().zip(back).map(|(value, back)| f64::from(value - back).powi(2));
        squares.sum::<f64>() / values.len() as f64
    };
    let (q4_0, q4_1, q5_1) = (error("q4_0"), error("q4_1"), error("q5_1"));
    let (q4_k, q6_k, iq4_nl) = (error("q4_k"), error("q6_k"), error("iq4_nl"));
    assert!(q4_k < 0.95 * q4_1 && iq4_nl < 0.6 * q4_0, "{q4_k} {q4_1}, {iq4_nl} {q4_0}");
    assert!(q6_k * 3.0 < q5_1, "{q6_k} {q5_1}");
}

#[test]
fn what_is_left_of_a_row_takes_the_fallback_format() {
    let shape = |channels| Shape { rows: 2, channels, dtype: Dtype::F32 };
    let bytes = |format, channels| encode(format, shape(channels), &vec![0; 8 * channels]).len();
    assert_eq!(bytes("q4_k", 576), 2 * (2 * 144 + 2 * 22));
    assert_eq!(bytes("q6_k", 257), 2 * (210 + 34));
    assert_eq!(bytes("q6_k", 255), 2 * 8 * 34);
    assert_eq!(bytes("q8_0", 33), 2 * 2 * 34);
    // The tail of a row is what the fallback format makes of it alone.
    let values = normal(576);
    let input: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let row = |channels| Shape { rows: 1, channels, dtype: Dtype::F32 };
    let whole = encode("q4_k", row(576), &input);
    assert_eq!(whole[..288], encode("q4_k", row(512), &input[..2048]));
    assert_eq!(whole[288..], encode("q5_0", row(64), &input[2048..]));
}

#[test]
fn scales_that_are_no_numbers_are_errors() {
    for (format, at) in
        [("q8_0", 0), ("q4_1", 2), ("q5_0", 0), ("iq4_nl", 0), ("q4_k", 2), ("q6_k", 208)]
    {
        let shape = Shape { rows: 2, channels: 256, dtype: Dtype::F32 };
        let mut payload = encode(format, shape, &vec![0; shape.bytes()]);
        payload[at..at + 2].copy_from_slice(&0x7c00_u16.to_le_bytes());
        let mut output = vec![0; shape.bytes()];
        let mut message = MessageMut::new(shape, &mut output).unwrap();
        let error = open(format).decode(&payload, &mut message).unwrap_err();
        assert!(error.to_string().contains("finite"), "{format}: {error}");
    }
}

proptest! {
    /// The three searched formats: the largest error, as a share of the largest magnitude of the
    /// block in which scales are shared.
    #[test]
    fn searched_formats_keep_their_errors(
        values in prop::collection::vec(prop_oneof![8 => -4.0_f32..4.0, 1 => -6e4_f32..6e4], 256),
        scale in prop_oneof![Just(1.0_f32), Just(1e-3)],
    ) {
        let values: Vec<f32> = values.into_iter().map(|value| value * scale).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let shape = Shape { rows: 1, channels: 256, dtype: Dtype::F32 };
        // iq4_nl may scale the largest value to 134 on a grid that ends at -127 and 113.
        for (format, share, block) in [("iq4_nl", 0.18, 32), ("q4_k", 0.11, 256), ("q6_k", 0.05, 256)] {
            let back = decode(format, shape, &encode(format, shape, &bytes));
            for (values, back) in values.chunks(block).zip(back.chunks(block)) {
                let most = share * largest(values) + 1e-5;
                for (value, back) in values.iter().zip(back) {
                    prop_assert!((value - back).abs() <= most, "{}: {} {}", format, value, back);
                }
            }
        }
    }
}

#[test]
fn non_finite_values_do_not_spread() {
    let mut values = vec![1.0_f32; 512];
    (values[0], values[300]) = (f32::NAN, f32::NEG_INFINITY);
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = Shape { rows: 1, channels: 512, dtype: Dtype::F32 };
    for format in ["q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl", "q4_k", "q6_k"] {
        let back = decode(format, shape, &encode(format, shape, &bytes));
        assert!(back.iter().all(|value| value.is_finite()), "{format}");
        assert!(back[0].abs() < 0.1 && (back[255] - 1.0).abs() < 0.1, "{format}: {back:?}");
        assert!(back[300] < -60000.0, "{format}: {}", back[300]);
    }
}

/// Roughly normal values; one in 97 is ten times as large.
fn normal(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let mut value = |i: usize| {
        let sum: f32 = (0..12).map(|_| uniform()).sum();
        (sum - 6.0) * if i % 97 == 5 { 10.0 } else { 1.0 }
    };
    (0..count).map(&mut value).collect()
}

fn open(format: &str) -> Ggml {
    Ggml::open(Params::from_json(&json!({ "format": format })).unwrap()).unwrap()
}

fn encode(format: &str, shape: Shape, input: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    open(format).encode(Message::new(shape, input, &[]).unwrap(), &mut payload).unwrap();
    payload
}

fn decode(format: &str, shape: Shape, payload: &[u8]) -> Vec<f32> {
    let mut output = vec![0; shape.bytes()];
    let mut message = MessageMut::new(shape, &mut output).unwrap();
    open(format).decode(payload, &mut message).unwrap();
    floats(&output)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}
