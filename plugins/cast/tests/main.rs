//! cast against torch, its stated error, and the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use strait_cast::{Cast, CastParams};
use strait_conformance::{Sample, case};
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{self, Value, json};

strait_conformance::check!(
    Cast,
    [
        case!({}).bound(|sample| relative(sample, 1.0 / 2048.0)).bits_per_value(16.0),
        case!({ "to": "f32" }).bound(|sample| relative(sample, 0.0)).bits_per_value(32.0),
        case!({ "to": "bf16" }).bound(|sample| relative(sample, 1.0 / 256.0)).bits_per_value(16.0),
        case!({ "to": "fp8_e4m3" }).bound(|sample| scaled(sample, 1 << 20)).bits_per_value(8.00625),
        case!({ "to": "fp8_e4m3", "scale": "group", "group": 20 })
            .bound(|sample| scaled(sample, 20))
            .bits_per_value(9.6),
        case!({ "to": "fp8_e4m3", "scale": "none" }).bits_per_value(8.0),
        case!({ "to": "fp8_e5m2", "scale": "token" }).bits_per_value(8.00625),
        case!({ "to": "fp8_e5m2", "scale": "none" }),
    ]
);

/// Half a unit in the last place, for values in the range of the type.
fn relative(sample: &Sample, unit: f32) -> Vec<f32> {
    sample.values().iter().map(|value| value.abs() * unit).collect()
}

/// e4m3: half of 2^-3 of the value, or half the subnormal step 2^-9 of the scale.
fn scaled(sample: &Sample, run: usize) -> Vec<f32> {
    let mut bounds = Vec::new();
    for row in sample.values().chunks(sample.shape().channels.max(1)) {
        for values in row.chunks(run) {
            let scale = values.iter().fold(0.0_f32, |most, value| most.max(value.abs())) / 448.0;
            bounds.extend(
                values.iter().map(|value| (value.abs() / 16.0).max(scale / 1024.0) * 1.000_01),
            );
        }
    }
    bounds
}

#[test]
fn every_code_of_every_half_is_that_of_torch() {
    let golden: Value = serde_json::from_str(include_str!("../golden/fp8.json")).unwrap();
    let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for kind in ["e4m3", "e5m2"] {
        let params = json!({ "to": format!("fp8_{kind}"), "scale": "none" });
        for (name, dtype) in [("bf16", Dtype::BF16), ("f16", Dtype::F16)] {
            let shape = Shape { rows: 256, channels: 256, dtype };
            let ours = encode(&params, shape, &all);
            let runs: Vec<(usize, u8)> =
                serde_json::from_value(golden[kind][name].clone()).unwrap();
            let mut expected = vec![0; 1 << 16];
            for (first, code) in runs {
                expected[first..].fill(code);
            }
            for (pattern, (ours, expected)) in ours.iter().zip(&expected).enumerate() {
                assert_eq!(ours, expected, "{kind} of the {name} {pattern:#06x}");
            }
        }
        let near: Vec<(u32, u8)> = serde_json::from_value(golden[kind]["f32"].clone()).unwrap();
        let bytes: Vec<u8> = near.iter().flat_map(|(bits, _)| bits.to_le_bytes()).collect();
        let shape = Shape { rows: 1, channels: near.len(), dtype: Dtype::F32 };
        let expected: Vec<u8> = near.iter().map(|(_, code)| *code).collect();
        assert_eq!(encode(&params, shape, &bytes), expected, "{kind} of the midpoints");
    }
}

#[test]
fn scales_and_values_are_those_of_torch() {
    let golden: Value = serde_json::from_str(include_str!("../golden/scaled.json")).unwrap();
    let words = |value: &Value| -> Vec<u8> {
        let words: Vec<u32> = serde_json::from_value(value.clone()).unwrap();
        words.into_iter().flat_map(u32::to_le_bytes).collect()
    };
    let shape = Shape { rows: 4, channels: 96, dtype: Dtype::F32 };
    let input = words(&golden["input"]);
    for kind in ["e4m3", "e5m2"] {
        let params = json!({ "to": format!("fp8_{kind}") });
        let codes: Vec<u8> = serde_json::from_value(golden[kind]["codes"].clone()).unwrap();
        let payload = encode(&params, shape, &input);
        assert_eq!(payload, [words(&golden[kind]["scales"]), codes].concat());
        assert_eq!(decode(&params, shape, &payload), words(&golden[kind]["back"]));
    }
}

proptest! {
    #[test]
    fn f32_is_exact_for_every_bit_pattern(words in prop::collection::vec(any::<u32>(), 1..100)) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let shape = Shape { rows: 1, channels: words.len(), dtype: Dtype::F32 };
        let params = json!({ "to": "f32" });
        prop_assert_eq!(decode(&params, shape, &encode(&params, shape, &bytes)), bytes);
    }

    #[test]
    fn the_error_is_within_the_stated_bound(values in prop::collection::vec(-6e4_f32..6e4, 1..99)) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let shape = Shape { rows: 1, channels: values.len(), dtype: Dtype::F32 };
        let most = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        for (to, unit, step) in [
            ("f16", 1.0 / 2048.0, 3e-8),
            ("bf16", 1.0 / 256.0, 0.0),
            ("fp8_e4m3", 1.0 / 16.0, most / 448.0 / 1024.0),
            ("fp8_e5m2", 1.0 / 8.0, most / 57344.0 / 65536.0),
        ] {
            let params = json!({ "to": to });
            let back = decode(&params, shape, &encode(&params, shape, &bytes));
            for (value, back) in values.iter().zip(back.chunks(4)) {
                let back = f32::from_le_bytes(back.try_into().unwrap());
                let allowed = (value.abs() * unit).max(step) * 1.000_01;
                prop_assert!((value - back).abs() <= allowed, "{}: {} {}", to, value, back);
            }
        }
    }
}

#[test]
fn a_message_already_of_the_type_keeps_its_bits() {
    let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for (to, dtype) in [("f16", Dtype::F16), ("bf16", Dtype::BF16)] {
        let shape = Shape { rows: 1, channels: 1 << 16, dtype };
        assert_eq!(encode(&json!({ "to": to }), shape, &all), all);
    }
}

#[test]
fn narrow_types_saturate_and_keep_nan() {
    let values = [f32::NAN, f32::INFINITY, f32::MIN, 1e5, 65519.0];
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = Shape { rows: 1, channels: 5, dtype: Dtype::F32 };
    let cases = [
        ("f16", json!({ "to": "f16" }), 65504.0),
        ("bf16", json!({ "to": "bf16" }), f32::from_bits(0x7f7f_0000)),
        ("e4m3", json!({ "to": "fp8_e4m3", "scale": "none" }), 448.0),
        ("e5m2", json!({ "to": "fp8_e5m2", "scale": "none" }), 57344.0),
    ];
    for (name, params, largest) in cases {
        let back = decode(&params, shape, &encode(&params, shape, &bytes));
        let back: Vec<f32> =
            back.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
        assert!(back[0].is_nan(), "{name}");
        assert_eq!((back[1], back[2]), (largest, -largest), "{name}");
        assert!(back[3] <= largest, "{name}");
    }
}

#[test]
fn a_scale_without_fp8_is_refused() {
    let params = CastParams::from_json(&json!({ "to": "bf16", "scale": "token" })).unwrap();
    let error = Cast::open(params).unwrap_err().to_string();
    assert!(error.contains("`scale`") && error.contains("bf16"), "{error}");
}

fn open(params: &Value) -> Cast {
    Cast::open(CastParams::from_json(params).unwrap()).unwrap()
}

fn encode(params: &Value, shape: Shape, bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    open(params).encode(Message::new(shape, bytes, &[]).unwrap(), &mut payload).unwrap();
    payload
}

fn decode(params: &Value, shape: Shape, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; shape.bytes()];
    open(params).decode(payload, &mut MessageMut::new(shape, &mut bytes).unwrap()).unwrap();
    bytes
}
