//! lossless against an independent computation, its stated growth, and the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use strait_conformance::case;
use strait_lossless::{Lossless, LosslessParams};
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{self, Value, json};

strait_conformance::check!(
    Lossless,
    [
        case!({}),
        case!({ "method": "range" }),
        case!({ "method": "zstd", "split": "bytes", "level": 1 }),
        case!({ "method": "rans", "split": "bytes" }),
    ]
);

#[test]
fn payloads_are_those_of_the_golden_file() {
    let golden: Value = serde_json::from_str(include_str!("../../golden/golden.json")).unwrap();
    for case in golden.as_array().unwrap() {
        let params = LosslessParams::from_json(&case["params"]).unwrap();
        let size = |name: &str| case[name].as_u64().unwrap() as usize;
        let dtype = match case["dtype"].as_str().unwrap() {
            "bf16" => Dtype::BF16,
            "f16" => Dtype::F16,
            _ => Dtype::F32,
        };
        let shape = Shape { rows: size("rows"), channels: size("channels"), dtype };
        let (message, payload) = (bytes_of(&case["message"]), bytes_of(&case["payload"]));
        let name = format!("{} {}", case["params"], case["dtype"]);
        // Encoders of zstd differ in their frames, decoders do not.
        if case["params"]["method"] == "rans" {
            assert_eq!(encode(&params, shape, &message), payload, "{name}: payload");
        }
        assert_eq!(decode(&params, shape, &payload).unwrap(), message, "{name}: message");
    }
}

proptest! {
    #[test]
    fn any_bits_come_back_and_never_grow_by_more_than_one_byte(
        rows in 1_usize..4,
        channels in 1_usize..700,
        noise in any::<u64>(),
        masked in any::<u32>(),
        dtype in 0..3_usize,
        method in 0..3_usize,
        split in any::<bool>(),
    ) {
        let shape = Shape { rows, channels, dtype: Dtype::ALL[dtype] };
        let mut state = noise;
        // Random bits, with some of them always 0.
        let message: Vec<u8> = (0..shape.bytes())
            .map(|i| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 40) as u8 & masked.to_le_bytes()[i % shape.dtype.size()]
            })
            .collect();
        let params = LosslessParams::from_json(&json!({
            "method": (["rans", "range", "zstd"][method]),
            "split": (if split { "exponent" } else { "bytes" }),
        })).unwrap();
        let payload = encode(&params, shape, &message);
        prop_assert!(payload.len() <= message.len() + 1);
        prop_assert_eq!(decode(&params, shape, &payload).unwrap(), message);
        for cut in [0, 1, 2, payload.len() / 2, payload.len() - 1] {
            if cut < payload.len() {
                prop_assert!(decode(&params, shape, &payload[..cut]).is_err());
            }
        }
        prop_assert!(decode(&params, shape, &[&payload[..], &[0]].concat()).is_err());
    }
}

#[test]
fn normal_values_in_bf16_take_about_eleven_bits() {
    let shape = Shape { rows: 64, channels: 576, dtype: Dtype::BF16 };
    let message = normal(shape);
    for (method, allowed) in [("rans", 10.65), ("range", 10.65), ("zstd", 11.3)] {
        let params = LosslessParams::from_json(&json!({ "method": method })).unwrap();
        let bits = encode(&params, shape, &message).len() as f64 * 8.0 / shape.values() as f64;
        assert!(bits < allowed, "{method}: {bits}");
    }
}

#[test]
fn one_token_is_smallest_with_the_adaptive_coder() {
    let shape = Shape { rows: 1, channels: 576, dtype: Dtype::BF16 };
    let message = normal(shape);
    let [rans, range] = ["rans", "range"].map(|method| {
        let params = LosslessParams::from_json(&json!({ "method": method })).unwrap();
        encode(&params, shape, &message).len()
    });
    assert!(range < rans && rans < message.len(), "{range} {rans}");
}

/// Roughly normal values of deviation 1.
fn normal(shape: Shape) -> Vec<u8> {
    let mut state = 5_u64;
    let values: Vec<f32> = (0..shape.values())
        .map(|_| {
            (0..12)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 40) as f32 / (1 << 24) as f32
                })
                .sum::<f32>()
                - 6.0
        })
        .collect();
    let mut message = vec![0; shape.bytes()];
    strait_sdk::narrow(Dtype::BF16, &values, &mut message);
    message
}

fn encode(params: &LosslessParams, shape: Shape, bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    let message = Message::new(shape, bytes, &[]).unwrap();
    Lossless::open(params.clone()).unwrap().encode(message, &mut payload).unwrap();
    payload
}

fn decode(params: &LosslessParams, shape: Shape, payload: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = vec![0; shape.bytes()];
    let mut message = MessageMut::new(shape, &mut bytes).unwrap();
    Lossless::open(params.clone()).unwrap().decode(payload, &mut message)?;
    Ok(bytes)
}

fn bytes_of(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}
