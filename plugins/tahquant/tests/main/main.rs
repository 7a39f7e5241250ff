//! tahquant against an independent computation, its stated error, and the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use strait_conformance::{Sample, case};
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{self, Value, json};
use strait_tahquant::{Tahquant, TahquantParams};

strait_conformance::check!(
    Tahquant,
    [
        case!({}).bound(|sample| bound(sample, 64, 7.0)),
        case!({ "share": 1.0, "low_bits": 1 }).bound(|sample| bound(sample, 64, 15.0)),
        case!({ "tile": 8, "high_bits": 8, "low_bits": 1, "share": 0.0 }),
        case!({ "tile": 1024, "high_bits": 2, "low_bits": 5, "share": 0.3 }),
    ]
);

/// A rotated tile of T values has an error of √T half steps at most, a step of twice the largest
/// rotated magnitude over the levels, and roundings of f16.
fn bound(sample: &Sample, tile: usize, levels: f32) -> Vec<f32> {
    let mut bounds = Vec::new();
    for row in sample.values().chunks(sample.shape().channels.max(1)) {
        for values in row.chunks(tile) {
            let norm: f64 = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let root = (values.len() as f32).sqrt();
            // Beyond 65504 zero and scale saturate.
            let lost = if norm > 65504.0 { norm as f32 * 2.0 } else { 0.0 };
            let error = norm as f32 / levels * root * 1.01 + norm as f32 * root / 500.0 + 1e-5;
            bounds.extend(values.iter().map(|_| error + lost * root));
        }
    }
    bounds
}

#[test]
fn payloads_and_values_are_those_of_the_golden_file() {
    let golden: Value = serde_json::from_str(include_str!("../../golden/golden.json")).unwrap();
    let size = |name: &str| golden[name].as_u64().unwrap() as usize;
    let shape = Shape { rows: size("rows"), channels: size("channels"), dtype: Dtype::F32 };
    let input = words(&golden["input"]);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["params"].to_string();
        let (payload, back) = round_trip(&case["params"], shape, &input);
        let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(Some(hex.as_str()), case["payload"].as_str(), "{name}");
        let golden = floats(&words(&case["back"]));
        for (ours, golden) in floats(&back).into_iter().zip(golden) {
            // A rotation in f32 rounds a few times.
            assert!((ours - golden).abs() <= 2e-6 * golden.abs() + 2e-5, "{name}: {ours} {golden}");
        }
    }
}

proptest! {
    #[test]
    fn plain_tiles_keep_half_a_step_and_cut_payloads_are_errors(
        (channels, values) in (1_usize..200).prop_flat_map(|channels| {
            (Just(channels), prop::collection::vec(1.0_f32..1.9, channels * 6))
        }),
        bits in 1_u32..=8,
        share in 0.0_f64..1.0,
    ) {
        let shape = Shape { rows: 6, channels, dtype: Dtype::F32 };
        let input: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let params = json!({ "high_bits": bits, "low_bits": bits, "share": share, "tile": 32 });
        let (payload, back) = round_trip(&params, shape, &input);
        for (row, back) in values.chunks(channels).zip(floats(&back).chunks(channels)) {
            for (values, back) in row.chunks(32).zip(back.chunks(32)) {
                let low = values.iter().copied().fold(f32::MAX, f32::min);
                let high = values.iter().copied().fold(f32::MIN, f32::max);
                let levels = ((1_u32 << bits) - 1) as f32;
                let allowed = (high - low) / levels / 2.0 + 0.0015;
                for (value, back) in values.iter().zip(back) {
                    prop_assert!((value - back).abs() <= allowed, "{value} {back} {allowed}");
                }
            }
        }
        let mut codec = Tahquant::open(TahquantParams::from_json(&params).unwrap()).unwrap();
        let mut output = vec![0; shape.bytes()];
        let mut message = MessageMut::new(shape, &mut output).unwrap();
        for cut in 0..payload.len() {
            prop_assert!(codec.decode(&payload[..cut], &mut message).is_err());
        }
    }
}

#[test]
fn a_tile_that_is_no_power_of_two_is_refused() {
    let error = Tahquant::open(TahquantParams::from_json(&json!({ "tile": 48 })).unwrap());
    assert_eq!(error.unwrap_err().to_string(), "tile: expected a power of two, found 48");
}

#[test]
fn non_finite_values_do_not_spread_beyond_their_tile() {
    let mut values = vec![1.0_f32; 192];
    values[3] = f32::NAN;
    values[70] = f32::INFINITY;
    let input: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = Shape { rows: 1, channels: 192, dtype: Dtype::F32 };
    let back = floats(&round_trip(&json!({}), shape, &input).1);
    assert!(back[3] == 0.0 && (back[4] - 1.0).abs() < 1e-3 && back[191] == 1.0);
    assert!(back.iter().all(|value| value.is_finite()));
}

fn round_trip(params: &Value, shape: Shape, input: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let open = || Tahquant::open(TahquantParams::from_json(params).unwrap()).unwrap();
    let mut payload = Vec::new();
    open().encode(Message::new(shape, input, &[]).unwrap(), &mut payload).unwrap();
    let mut output = vec![0; shape.bytes()];
    open().decode(&payload, &mut MessageMut::new(shape, &mut output).unwrap()).unwrap();
    (payload, output)
}

fn words(value: &Value) -> Vec<u8> {
    let words: Vec<u32> = serde_json::from_value(value.clone()).unwrap();
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}
