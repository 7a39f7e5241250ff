//! spectral against numpy, its identity when everything is kept, and the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use strait_conformance::case;
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{self, Value, json};
use strait_spectral::{Spectral, SpectralParams};

strait_conformance::check!(
    Spectral,
    [
        case!({}),
        case!({ "transform": "fft", "channels": 1.0, "tokens": 1.0, "values": "f16" }),
        case!({ "transform": "dct_channels", "channels": 0.5 }).bits_per_value(8.0),
        case!({ "transform": "dct_channels", "channels": 1.0, "values": "int", "bits": 6 })
            .bits_per_value(6.0 + 32.0 / 5120.0),
        case!({ "transform": "dct_tokens", "tokens": 0.25, "values": "int", "bits": 4 })
            .bits_per_value((4.0 + 32.0 / 5120.0) / 4.0),
        case!({ "transform": "dct_tokens", "tokens": 0.0, "values": "f16" }),
    ]
);

#[test]
fn payloads_and_values_are_those_of_the_golden_file() {
    let golden: Value = serde_json::from_str(include_str!("../../golden/golden.json")).unwrap();
    let size = |name: &str| golden[name].as_u64().unwrap() as usize;
    let shape = Shape { rows: size("rows"), channels: size("channels"), dtype: Dtype::F32 };
    let input = words(&golden["input"]);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["params"].to_string();
        let expected = bytes_of(&case["payload"]);
        let payload = encode(&case["params"], shape, &input);
        assert_eq!(payload.len(), expected.len(), "{name}");
        if case["params"]["values"] == "int" {
            let differing = payload.iter().zip(&expected).filter(|(a, b)| a != b).count();
            // The last bits of a step are those of its row's largest coefficient.
            let rows = payload.len() / 16;
            assert!(differing <= rows, "{name}: {differing} bytes differ");
        }
        let back = floats(&words(&case["back"]));
        // The golden payload decodes to the golden values, and ours to nearly the same.
        for (payload, allowed) in [(&expected, 2e-5), (&payload, 0.02)] {
            let ours = floats(&decode(&case["params"], shape, payload).unwrap());
            for (ours, golden) in ours.iter().zip(&back) {
                assert!((ours - golden).abs() <= allowed, "{name}: {ours} {golden}");
            }
        }
    }
}

proptest! {
    #[test]
    fn everything_kept_comes_back_within_the_rounding(
        (rows, channels, values) in (1_usize..12, 1_usize..60).prop_flat_map(|(rows, channels)| {
            let values = prop::collection::vec(-50.0_f32..50.0, rows * channels);
            (Just(rows), Just(channels), values)
        }),
        transform in 0..3_usize,
        form in 0..3_usize,
    ) {
        let shape = Shape { rows, channels, dtype: Dtype::F32 };
        let input: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let params = json!({
            "transform": (["fft", "dct_channels", "dct_tokens"][transform]),
            "channels": 1.0,
            "tokens": 1.0,
            "values": (["bf16", "f16", "int"][form]),
            "bits": 8,
        });
        let payload = encode(&params, shape, &input);
        let back = floats(&decode(&params, shape, &payload).unwrap());
        // Orthonormal: the error's norm is that of the coefficients' errors, twice for conjugates.
        let square = |x: f32| f64::from(x) * f64::from(x);
        let norm: f64 = values.iter().map(|x| square(*x)).sum();
        let error: f64 = values.iter().zip(&back).map(|(x, back)| square(x - back)).sum();
        let numbers = values.len() as f64;
        let unit = if form == 2 { numbers / 254.0_f64.powi(2) } else { 1.0 / 256.0_f64.powi(2) };
        prop_assert!(error <= 2.2 * norm * unit + 1e-6, "{error} of {norm}");
        for cut in 0..payload.len() {
            prop_assert!(decode(&params, shape, &payload[..cut]).is_err());
        }
    }
}

#[test]
fn a_smooth_message_needs_few_frequencies() {
    let shape = Shape { rows: 32, channels: 64, dtype: Dtype::F32 };
    let wave = |i: usize| {
        let (row, channel) = ((i / 64) as f32, (i % 64) as f32);
        (channel / 64.0 * std::f32::consts::TAU).cos() + (row / 32.0 * std::f32::consts::TAU).sin()
    };
    let input: Vec<u8> = (0..shape.values()).flat_map(|i| wave(i).to_le_bytes()).collect();
    let params = json!({ "channels": 0.1, "tokens": 0.1, "values": "f16" });
    let payload = encode(&params, shape, &input);
    assert!(payload.len() * 40 < input.len(), "{}", payload.len());
    let back = floats(&decode(&params, shape, &payload).unwrap());
    assert!(back.iter().enumerate().all(|(i, back)| (wave(i) - back).abs() < 2e-3));
}

fn encode(params: &Value, shape: Shape, bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut codec = Spectral::open(SpectralParams::from_json(params).unwrap()).unwrap();
    codec.encode(Message::new(shape, bytes, &[]).unwrap(), &mut payload).unwrap();
    payload
}

fn decode(params: &Value, shape: Shape, payload: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = vec![0; shape.bytes()];
    let mut codec = Spectral::open(SpectralParams::from_json(params).unwrap()).unwrap();
    codec.decode(payload, &mut MessageMut::new(shape, &mut bytes).unwrap())?;
    Ok(bytes)
}

fn bytes_of(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn words(value: &Value) -> Vec<u8> {
    let words: Vec<u32> = serde_json::from_value(value.clone()).unwrap();
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}
