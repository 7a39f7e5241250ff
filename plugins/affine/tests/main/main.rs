//! affine against torch and an independent computation, its stated error, and the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bound;

use proptest::prelude::*;
use strait_affine::{Affine, AffineParams, Granularity, Scheme};
use strait_codec_kit::bits;
use strait_conformance::{Case, case};
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{self, Value, json};

strait_conformance::check!(
    Affine,
    [
        bounded(json!({})),
        bounded(json!({ "scheme": "minimum" })).bits_per_value(8.00625),
        bounded(json!({ "bits": 4, "granularity": "group" })).bits_per_value(4.3125),
        bounded(json!({ "bits": 4, "granularity": "group", "scheme": "minimum" }))
            .bits_per_value(4.5),
        bounded(json!({ "bits": 3, "granularity": "group", "group": 50, "scheme": "symmetric" })),
        bounded(json!({ "bits": 5, "granularity": "channel", "scale_dtype": "f32" })),
        bounded(json!({ "bits": 6, "granularity": "tensor", "scale_dtype": "bf16" }))
            .bits_per_value(6.0),
        bounded(json!({ "bits": 7, "granularity": "channel", "scheme": "minimum" })),
        bounded(json!({ "bits": 2, "granularity": "token", "scheme": "symmetric" })),
        bounded(json!({ "bits": 1, "granularity": "group", "group": 3 })),
        case!({ "bits": 1, "granularity": "group", "scheme": "symmetric" }).bits_per_value(1.25),
        case!({ "bits": 1, "granularity": "channel", "scheme": "symmetric" }),
        case!({ "bits": 1, "granularity": "tensor", "scheme": "minimum" }),
        bounded(json!({ "bits": 4, "granularity": "channel_group", "group": 32 }))
            .bits_per_value(4.625),
        bounded(
            json!({ "bits": 3, "granularity": "channel_group", "group": 2, "scheme": "minimum" })
        ),
        bounded(json!({ "bits": 5, "rounding": "stochastic", "seed": 9, "scale_dtype": "f32" })),
        bounded(
            json!({ "granularity": "channel", "rounding": "stochastic", "scheme": "symmetric" })
        ),
        case!({ "bits": 4, "clip": 0.9, "scheme": "symmetric" }),
        case!({ "bits": 4, "range": "percentile", "percentile": 99.0, "scheme": "minimum" }),
        case!({ "bits": 2, "range": "mse", "granularity": "group" }),
        case!({ "bits": 3, "range": "mse", "granularity": "channel_group", "scheme": "minimum" }),
    ]
);

fn bounded(params: Value) -> Case {
    let parsed = AffineParams::from_json(&params).unwrap();
    Case::new(params).bound(move |sample| bound::bound(&parsed, sample.shape(), sample.values()))
}

#[test]
fn scales_codes_and_values_are_those_of_the_golden_file() {
    let golden: Value = serde_json::from_str(include_str!("../../golden/golden.json")).unwrap();
    let size = |name: &str| golden[name].as_u64().unwrap() as usize;
    let shape = Shape { rows: size("rows"), channels: size("channels"), dtype: Dtype::F32 };
    let input = words(&golden["input"]);
    for case in golden["cases"].as_array().unwrap() {
        let params = AffineParams::from_json(&case["params"]).unwrap();
        let name = case["params"].to_string();
        let payload = encode(&params, shape, &input);

        let dtype = match params.scale_dtype {
            strait_affine::ScaleDtype::F32 => Dtype::F32,
            strait_affine::ScaleDtype::F16 => Dtype::F16,
            strait_affine::ScaleDtype::Bf16 => Dtype::BF16,
        };
        let scales = words(&case["scales"]);
        let cells = scales.len() / 4;
        let (plane, rest) = payload.split_at(cells * dtype.size());
        assert_eq!(widened(dtype, plane), widened(Dtype::F32, &scales), "{name}: scales");

        let zeros: Vec<f64> = serde_json::from_value(case["zeros"].clone()).unwrap();
        let rest = match params.scheme {
            Scheme::Symmetric => rest,
            Scheme::Asymmetric => {
                let (plane, rest) = rest.split_at(bits::packed_bytes(params.bits, cells));
                let ours = bits::unpack(params.bits, plane, cells).unwrap();
                assert!(ours.iter().zip(&zeros).all(|(a, b)| f64::from(*a) == *b), "{name}: zeros");
                rest
            }
            Scheme::Minimum => {
                let (plane, rest) = rest.split_at(cells * dtype.size());
                let ours = widened(dtype, plane);
                assert!(
                    ours.iter().zip(&zeros).all(|(a, b)| f64::from(*a) == *b),
                    "{name}: minima"
                );
                rest
            }
        };

        let row_bytes = bits::packed_bytes(params.bits, shape.channels);
        let codes: Vec<u8> = rest
            .chunks(row_bytes)
            .flat_map(|row| bits::unpack(params.bits, row, shape.channels).unwrap())
            .collect();
        let hex: String = codes.iter().map(|code| format!("{code:02x}")).collect();
        assert_eq!(Some(hex.as_str()), case["codes"].as_str(), "{name}: codes");

        let back: String = widened(Dtype::F32, &decode(&params, shape, &payload))
            .iter()
            .map(|value| format!("{:08x}", value.to_bits()))
            .collect();
        assert_eq!(Some(back.as_str()), case["back"].as_str(), "{name}: values");
    }
}

#[test]
fn ranges_and_rounding_are_those_of_the_golden_file() {
    let golden: Value = serde_json::from_str(include_str!("../../golden/ranges.json")).unwrap();
    let size = |name: &str| golden[name].as_u64().unwrap() as usize;
    let shape = Shape { rows: size("rows"), channels: size("channels"), dtype: Dtype::F32 };
    let input = words(&golden["input"]);
    for case in golden["cases"].as_array().unwrap() {
        let params = AffineParams::from_json(&case["params"]).unwrap();
        let name = case["params"].to_string();
        let payload = encode(&params, shape, &input);
        let row_bytes = bits::packed_bytes(params.bits, shape.channels);
        let codes: String = payload[payload.len() - shape.rows * row_bytes..]
            .chunks(row_bytes)
            .flat_map(|row| bits::unpack(params.bits, row, shape.channels).unwrap())
            .map(|code| format!("{code:02x}"))
            .collect();
        assert_eq!(Some(codes.as_str()), case["codes"].as_str(), "{name}: codes");
        let back = widened(Dtype::F32, &decode(&params, shape, &payload));
        let golden = case["back"].as_str().unwrap();
        for (i, back) in back.iter().enumerate() {
            let golden = f32::from_bits(u32::from_str_radix(&golden[8 * i..][..8], 16).unwrap());
            // The product and the sum round in f32.
            assert!(
                (back - golden).abs() <= 3e-7 * (golden.abs() + 10.0),
                "{name}: {back} {golden}"
            );
        }
    }
}

#[test]
fn a_searched_range_is_no_worse_than_the_full_one() {
    let shape = Shape { rows: 1, channels: 512, dtype: Dtype::F32 };
    let values: Vec<f32> =
        (0..512_u16).map(|i| (f32::from(i * 73 % 512) / 256.0 - 1.0).powi(5) * 8.0).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    for scheme in ["symmetric", "asymmetric", "minimum"] {
        let [full, searched] = ["full", "mse"].map(|range| {
            let params = json!({ "bits": 3, "scheme": scheme, "range": range });
            let params = AffineParams::from_json(&params).unwrap();
            let back = decode(&params, shape, &encode(&params, shape, &bytes));
            let pairs = values.iter().zip(widened(Dtype::F32, &back));
            pairs.map(|(value, back)| f64::from(value - back).powi(2)).sum::<f64>()
        });
        assert!(searched < 0.9 * full, "{scheme}: {searched} {full}");
    }
}

#[test]
fn one_bit_signs_take_no_other_range_or_rounding() {
    for table in
        [json!({ "clip": 0.5 }), json!({ "range": "mse" }), json!({ "rounding": "stochastic" })]
    {
        let mut table = table;
        table["bits"] = json!(1);
        table["scheme"] = json!("symmetric");
        let error = Affine::open(AffineParams::from_json(&table).unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("bits: expected 2 or more"), "{error}");
    }
}

proptest! {
    #[test]
    fn the_error_is_within_the_stated_bound(
        (channels, values) in (1_usize..150).prop_flat_map(|channels| {
            let value = prop_oneof![8 => -4.0_f32..4.0, 1 => -3e4_f32..3e4, 1 => Just(0.0)];
            (Just(channels), prop::collection::vec(value, channels * 3))
        }),
        bits in 1_u32..=8,
        group in 2_usize..70,
        granularity in 0..5_usize,
        scheme in 0..3_usize,
        scale_dtype in 0..3_usize,
        stochastic in any::<bool>(),
    ) {
        let scheme = if bits == 1 { scheme.max(1) } else { scheme };
        let rounding = if stochastic { "stochastic" } else { "nearest" };
        let params = AffineParams::from_json(&json!({
            "bits": bits,
            "group": group,
            "granularity": (["tensor", "token", "channel", "group", "channel_group"][granularity]),
            "scheme": (["symmetric", "asymmetric", "minimum"][scheme]),
            "scale_dtype": (["f32", "f16", "bf16"][scale_dtype]),
            "rounding": rounding,
        })).unwrap();
        let shape = Shape { rows: 3, channels, dtype: Dtype::F32 };
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let payload = encode(&params, shape, &bytes);
        let back = widened(Dtype::F32, &decode(&params, shape, &payload));
        let bounds = bound::bound(&params, shape, &values);
        for ((value, back), bound) in values.iter().zip(back).zip(bounds) {
            let rounding = value.abs() * f32::EPSILON;
            prop_assert!((value - back).abs() <= bound + rounding, "{} {} {}", value, back, bound);
        }
    }
}

#[test]
fn one_bit_symmetric_is_the_sign_times_the_mean_magnitude() {
    let params = AffineParams::from_json(&json!({ "bits": 1, "scheme": "symmetric" })).unwrap();
    assert_eq!(params.granularity, Granularity::Token);
    let shape = Shape { rows: 1, channels: 4, dtype: Dtype::F32 };
    let bytes: Vec<u8> = [1.0_f32, -2.0, 0.0, 5.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let back = decode(&params, shape, &encode(&params, shape, &bytes));
    assert_eq!(widened(Dtype::F32, &back), [2.0, -2.0, 2.0, 2.0]);
}

#[test]
fn non_finite_values_do_not_spread() {
    let values = [f32::NAN, 1.0, -1.0, 0.5, f32::INFINITY, 2.0, f32::NEG_INFINITY, 0.0];
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = Shape { rows: 1, channels: 8, dtype: Dtype::F32 };
    let params = json!({ "granularity": "group", "group": 4, "scale_dtype": "f32" });
    let params = AffineParams::from_json(&params).unwrap();
    let back = widened(Dtype::F32, &decode(&params, shape, &encode(&params, shape, &bytes)));
    assert_eq!(back[0], 0.0);
    assert!((back[1] - 1.0).abs() < 0.01 && (back[2] + 1.0).abs() < 0.01);
    assert!(back[4] > 1e38 && back[6] < -1e38 && back.iter().all(|value| value.is_finite()));
}

fn encode(params: &AffineParams, shape: Shape, bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    let message = Message::new(shape, bytes, &[]).unwrap();
    Affine::open(params.clone()).unwrap().encode(message, &mut payload).unwrap();
    payload
}

fn decode(params: &AffineParams, shape: Shape, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; shape.bytes()];
    let mut message = MessageMut::new(shape, &mut bytes).unwrap();
    Affine::open(params.clone()).unwrap().decode(payload, &mut message).unwrap();
    bytes
}

fn words(value: &Value) -> Vec<u8> {
    let words: Vec<u32> = serde_json::from_value(value.clone()).unwrap();
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn widened(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; bytes.len() / dtype.size()];
    strait_sdk::widen(dtype, bytes, &mut values);
    values
}
