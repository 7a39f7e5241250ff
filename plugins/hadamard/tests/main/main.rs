//! hadamard and exl3 against dense matrices and the published formulas, their stated errors and sizes,
//! and the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use strait_affine::Affine;
use strait_cast::Cast;
use strait_codec_kit::bits;
use strait_conformance::{Sample, case};
use strait_hadamard::{Exl3, Exl3Params, Hadamard, HadamardParams};
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{self, Value, json};

strait_conformance::check!(
    mod hadamard: Hadamard,
    [
        case!({}).inner::<Affine>().bits_per_value(4.0 + 20.0 / 5120.0),
        case!({ "inner": { "codec": "cast", "to": "f32" } }).inner::<Cast>().bound(rotation_error).bits_per_value(32.0),
        case!({ "inner": { "codec": "affine", "bits": 3, "granularity": "group" }, "block": 32 })
            .bits_per_value(3.0 + 19.0 / 64.0),
        case!({ "block": 28, "signs": false, "seed": 5 }),
        case!({ "inner": { "codec": "hadamard", "block": 16 } }).inner::<Hadamard>(),
    ]
);

strait_conformance::check!(
    mod exl3: Exl3,
    [
        case!({}).bound(|sample| midpoint_error(sample, 4)).bits_per_value(4.5),
        case!({ "bits": 2 }).bound(|sample| midpoint_error(sample, 2)).bits_per_value(2.5),
        case!({ "bits": 8 }).bound(|sample| midpoint_error(sample, 8)).bits_per_value(8.5),
        case!({ "bits": 5, "compander": 0.65 }).bits_per_value(5.5),
    ]
);

/// A rotation and its inverse in f32.
fn rotation_error(sample: &Sample) -> Vec<f32> {
    let rows = sample.values().chunks(sample.shape().channels.max(1));
    rows.flat_map(|row| vec![norm(row) * 2e-6 + 1e-7; row.len()]).collect()
}

/// Half a step for each of the 32 values of a group, all in one value's direction at worst; and the
/// rounding of the scale, of which a scale below f16's normal range keeps nothing.
fn midpoint_error(sample: &Sample, bits: i32) -> Vec<f32> {
    let mut bounds = Vec::new();
    for row in sample.values().chunks(sample.shape().channels.max(1)) {
        for group in row.chunks(32) {
            let most = group.iter().map(|x| x.abs()).sum::<f32>() / 32_f32.sqrt();
            let error = most.min(65504.0) * (1.0 / 2_f32.powi(bits) + 1.0 / 2048.0);
            let saturated = (most - 65504.0).max(0.0);
            let bound = (error + saturated) * 32_f32.sqrt() * 1.001 + 1e-6;
            bounds.extend(vec![bound; group.len()]);
        }
    }
    bounds
}

fn norm(row: &[f32]) -> f32 {
    row.iter().map(|x| x * x).sum::<f32>().sqrt()
}

fn golden() -> Value {
    serde_json::from_str(include_str!("../../golden/golden.json")).unwrap()
}

#[test]
fn rotations_are_those_of_dense_matrices() {
    strait_sdk::offer::<Cast>();
    for case in golden()["rotations"].as_array().unwrap() {
        let open = || Hadamard::open(HadamardParams::from_json(&case["params"]).unwrap()).unwrap();
        let channels = case["channels"].as_u64().unwrap() as usize;
        let shape = Shape { rows: 2, channels, dtype: Dtype::F32 };
        let input = words(&case["input"]);
        let mut payload = Vec::new();
        open().encode(Message::new(shape, &input, &[]).unwrap(), &mut payload).unwrap();
        for (ours, theirs) in floats(&payload).iter().zip(floats(&words(&case["rotated"]))) {
            assert!((ours - theirs).abs() < 4e-6, "{}: {ours} {theirs}", case["params"]);
        }
        let back = decode(&mut open(), shape, &payload).unwrap();
        for (ours, theirs) in floats(&back).iter().zip(floats(&input)) {
            assert!((ours - theirs).abs() < 4e-6, "{}: {ours} {theirs}", case["params"]);
        }
    }
}

#[test]
fn codes_and_values_are_those_of_exllamav3() {
    let shape = Shape { rows: 2, channels: 64, dtype: Dtype::F32 };
    for case in golden()["exl3"].as_array().unwrap() {
        let params = Exl3Params::from_json(&case["params"]).unwrap();
        let width = params.bits;
        let mut codec = Exl3::open(params).unwrap();
        let mut payload = Vec::new();
        let input = words(&case["input"]);
        codec.encode(Message::new(shape, &input, &[]).unwrap(), &mut payload).unwrap();
        let scales: Vec<u16> = serde_json::from_value(case["scales"].clone()).unwrap();
        let scales: Vec<u8> = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        assert_eq!(payload[..8], scales);
        let codes: Vec<u8> = serde_json::from_value(case["codes"].clone()).unwrap();
        let ours = bits::unpack(width, &payload[8..], 128).unwrap();
        assert_eq!(ours, codes, "{}", case["params"]);
        let back = decode(&mut codec, shape, &payload).unwrap();
        let theirs = floats(&words(&case["back"]));
        for (ours, theirs) in floats(&back).iter().zip(theirs) {
            assert!((ours - theirs).abs() <= 1e-6 * theirs.abs().max(8.0), "{ours} {theirs}");
        }
    }
}

#[test]
fn an_outlier_costs_less_when_it_is_rotated() {
    strait_sdk::offer::<Affine>();
    strait_sdk::offer::<Cast>();
    let mut values = vec![0.5_f32; 256];
    values.iter_mut().step_by(3).for_each(|x| *x = -0.4);
    values[17] = 100.0;
    let shape = Shape { rows: 1, channels: 256, dtype: Dtype::F32 };
    let input: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let error = |params: Value| {
        let open = || Hadamard::open(HadamardParams::from_json(&params).unwrap()).unwrap();
        let mut payload = Vec::new();
        open().encode(Message::new(shape, &input, &[]).unwrap(), &mut payload).unwrap();
        let back = floats(&decode(&mut open(), shape, &payload).unwrap());
        values.iter().zip(&back).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
    };
    let scheme = json!({ "codec": "affine", "bits": 4 });
    let alone = error(json!({ "inner": scheme, "block": 1 }));
    assert!(error(json!({ "inner": scheme })) < 0.7 * alone);
}

#[test]
fn a_block_without_a_matrix_is_an_error() {
    strait_sdk::offer::<Affine>();
    let error = Hadamard::open(HadamardParams::from_json(&json!({ "block": 52 })).unwrap());
    assert!(error.unwrap_err().to_string().contains("found 52"));
    let params = HadamardParams::from_json(&json!({ "inner": "no-such-codec" })).unwrap();
    assert!(Hadamard::open(params).unwrap_err().to_string().contains("no-such-codec"));
    let params = json!({ "inner": { "codec": "affine", "bit": 3 } });
    let error = Hadamard::open(HadamardParams::from_json(&params).unwrap()).unwrap_err();
    assert!(error.to_string().ends_with("did you mean `bits`?"), "{error}");
}

proptest! {
    #[test]
    fn any_row_comes_back(
        values in prop::collection::vec(-1e4_f32..1e4, 1..300),
        block in prop::sample::select(vec![0_usize, 1, 8, 12, 64, 128]),
        seed in any::<u64>(),
    ) {
        strait_sdk::offer::<Cast>();
        let shape = Shape { rows: 1, channels: values.len(), dtype: Dtype::F32 };
        let input: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let params = json!({ "inner": { "codec": "cast", "to": "f32" }, "block": block, "seed": seed });
        let open = || Hadamard::open(HadamardParams::from_json(&params).unwrap()).unwrap();
        let mut payload = Vec::new();
        open().encode(Message::new(shape, &input, &[]).unwrap(), &mut payload).unwrap();
        let back = floats(&decode(&mut open(), shape, &payload).unwrap());
        let most = norm(&values) * 4e-6;
        for (a, b) in values.iter().zip(&back) {
            prop_assert!((a - b).abs() <= most, "{a} {b}");
        }
        prop_assert!(decode(&mut open(), shape, &payload[1..]).is_err());
    }
}

fn decode<C: Codec>(codec: &mut C, shape: Shape, payload: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = vec![0; shape.bytes()];
    codec.decode(payload, &mut MessageMut::new(shape, &mut bytes).unwrap())?;
    Ok(bytes)
}

fn words(value: &Value) -> Vec<u8> {
    let words: Vec<u32> = serde_json::from_value(value.clone()).unwrap();
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}
