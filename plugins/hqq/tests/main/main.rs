//! hqq against the package, its stated error, and the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use strait_codec_kit::bits;
use strait_conformance::{Case, Sample, case};
use strait_hqq::Hqq;
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{Value, json};

strait_conformance::check!(
    Hqq,
    [
        case!({}).bits_per_value(4.5),
        case!({ "bits": 3 }).bits_per_value(3.5),
        case!({ "bits": 2, "axis": 0 }).bits_per_value(2.5),
        case!({ "bits": 1, "group": 7, "scale_dtype": "f32" }),
        case!({ "bits": 8, "group": 3, "axis": 0, "iterations": 1, "lp_norm": 1.0 }),
        plain(json!({ "iterations": 0, "round_zero": false, "scale_dtype": "f32" }))
            .bits_per_value(5.0),
        plain(json!({ "bits": 1, "iterations": 0, "scale_dtype": "f32" })),
    ]
);

/// Without the search the error is half a step: half of the least scale where the range is small.
fn plain(params: Value) -> Case {
    let levels = (1_u32 << params["bits"].as_u64().unwrap_or(4)) as f32 - 1.0;
    Case::new(params).bound(move |sample: &Sample| {
        let rows = sample.values().chunks(sample.shape().channels.max(1));
        let groups = rows.flat_map(|row| row.chunks(64));
        let bound = |group: &[f32]| {
            let low = group.iter().copied().fold(f32::INFINITY, f32::min);
            let high = group.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let step = ((high - low) / levels).max(1.0 / 2e4);
            // Sums of x s and z are rounded, and z is as large as x s.
            0.5 * step + 3e-7 * (low.abs().max(high.abs()) + step * levels)
        };
        groups.flat_map(|group| vec![bound(group); group.len()]).collect()
    })
}

#[test]
fn scales_zeros_codes_and_values_are_those_of_the_package() {
    let golden: &[u8] = include_bytes!("../../golden/golden.bin");
    let shape = Shape { rows: 8, channels: 128, dtype: Dtype::F32 };
    let (input, mut rest) = golden.split_at(shape.bytes());
    for (bits, round_zero) in [(4, false), (3, false), (2, false), (1, false), (4, true)] {
        for axis in [1, 0] {
            for iterations in [20, 0] {
                let (planes, after) = rest.split_at(2 * 16 * 4);
                let (codes, after) = after.split_at(shape.values());
                let (back, after) = after.split_at(shape.bytes());
                rest = after;
                let params = json!({
                    "bits": bits, "axis": axis, "iterations": iterations, "scale_dtype": "f32",
                    "round_zero": round_zero,
                });
                let (payload, ours) = round_trip(&params, shape, input);
                compare(&params, planes, codes, &payload);
                let (inverses, zeros) = (floats(&planes[..64]), floats(&planes[64..]));
                for (i, (ours, theirs)) in ours.iter().zip(floats(back)).enumerate() {
                    let group = if axis == 1 { i / 64 } else { i % 16 };
                    // The difference of the zero points, in values.
                    let allowed = 1e-5 * zeros[group].abs().max(1.0) * inverses[group];
                    assert!((ours - theirs).abs() <= allowed, "{params}: {ours} {theirs}");
                }
            }
        }
    }
    assert!(rest.is_empty());
}

/// As the package's configuration says.
#[test]
fn zero_points_begin_as_integers_at_4_bits_alone() {
    let golden: &[u8] = include_bytes!("../../golden/golden.bin");
    let shape = Shape { rows: 8, channels: 128, dtype: Dtype::F32 };
    let payload = |params: Value| round_trip(&params, shape, &golden[..shape.bytes()]).0;
    for bits in [8, 4, 3, 2, 1] {
        let [by_default, rounded, exact] = [
            payload(json!({ "bits": bits })),
            payload(json!({ "bits": bits, "round_zero": true })),
            payload(json!({ "bits": bits, "round_zero": false })),
        ];
        assert_ne!(rounded, exact, "{bits}");
        assert_eq!(by_default, if bits == 4 { rounded } else { exact }, "{bits}");
    }
}

/// Scales are equal, zero points differ by the order of a sum, codes are equal.
fn compare(params: &Value, planes: &[u8], codes: &[u8], payload: &[u8]) {
    assert_eq!(floats(&payload[..64]), floats(&planes[..64]), "{params}: scales");
    for (ours, theirs) in floats(&payload[64..128]).iter().zip(floats(&planes[64..])) {
        assert!((ours - theirs).abs() <= 1e-5 * theirs.abs().max(1.0), "{params}: {ours} {theirs}");
    }
    let width = u32::try_from(params["bits"].as_u64().unwrap()).unwrap();
    let ours = bits::unpack(width, &payload[128..], codes.len()).unwrap();
    assert_eq!(ours, codes, "{params}: codes");
}

#[test]
fn f16_stores_what_f32_found() {
    let golden: &[u8] = include_bytes!("../../golden/golden.bin");
    let shape = Shape { rows: 8, channels: 128, dtype: Dtype::F32 };
    let input = &golden[..shape.bytes()];
    let exact = round_trip(&json!({ "scale_dtype": "f32" }), shape, input).0;
    let half = round_trip(&json!({}), shape, input).0;
    let mut narrowed = vec![0; 64];
    strait_sdk::narrow(Dtype::F16, &floats(&exact[..128]), &mut narrowed);
    assert_eq!(half[..64], narrowed);
    assert_eq!(half[64..], exact[128..]);
}

#[test]
fn scales_that_are_no_numbers_are_errors() {
    let shape = Shape { rows: 1, channels: 64, dtype: Dtype::F32 };
    for at in [0, 2] {
        let mut payload = round_trip(&json!({}), shape, &[0; 256]).0;
        payload[at..at + 2].copy_from_slice(&0x7e00_u16.to_le_bytes());
        let mut output = vec![0; 256];
        let mut message = MessageMut::new(shape, &mut output).unwrap();
        let error = open(&json!({})).decode(&payload, &mut message).unwrap_err();
        assert!(error.to_string().contains("finite"), "{error}");
    }
}

proptest! {
    /// What the search is for: the mean error of the first iteration is never exceeded by much.
    #[test]
    fn the_search_does_not_harm(
        values in prop::collection::vec(prop_oneof![8 => -4.0_f32..4.0, 1 => -60.0_f32..60.0], 64..400),
        bits in 2_u32..5,
        axis in 0_u32..2,
    ) {
        let shape = Shape { rows: 1, channels: values.len(), dtype: Dtype::F32 };
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let error = |iterations: u32| {
            let params = json!({
                "bits": bits, "axis": axis, "iterations": iterations, "scale_dtype": "f32",
            });
            let back = round_trip(&params, shape, &bytes).1;
            let errors = values.iter().zip(back).map(|(value, back)| f64::from((value - back).abs()));
            errors.sum::<f64>()
        };
        prop_assert!(error(20) <= error(0) * 1.1, "{} {}", error(20), error(0));
    }
}

#[test]
fn non_finite_values_do_not_spread() {
    let mut values = [1.0_f32; 192];
    (values[3], values[64]) = (f32::NAN, f32::NEG_INFINITY);
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = Shape { rows: 1, channels: 192, dtype: Dtype::F32 };
    for iterations in [0, 20] {
        let params = json!({ "iterations": iterations, "scale_dtype": "f32" });
        let back = round_trip(&params, shape, &bytes).1;
        assert!(back.iter().all(|value| value.is_finite()));
        assert!(
            back[3].abs() < 0.1 && (back[0] - 1.0).abs() < 0.1 && (back[191] - 1.0).abs() < 0.1
        );
    }
}

fn open(params: &Value) -> Hqq {
    Hqq::open(Params::from_json(params).unwrap()).unwrap()
}

fn round_trip(params: &Value, shape: Shape, input: &[u8]) -> (Vec<u8>, Vec<f32>) {
    let mut payload = Vec::new();
    open(params).encode(Message::new(shape, input, &[]).unwrap(), &mut payload).unwrap();
    let mut output = vec![0; shape.bytes()];
    let mut message = MessageMut::new(shape, &mut output).unwrap();
    open(params).decode(&payload, &mut message).unwrap();
    (payload, floats(&output))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}
