//! The outlier codecs against an independent computation, their stated sizes, and the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use strait_affine::Affine;
use strait_cast::Cast;
use strait_conformance::case;
use strait_outlier::{Columns, Tokens, Values};
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{self, Value, json};

strait_conformance::check!(
    mod columns: Columns,
    [
        case!({}).inner::<Affine>(),
        case!({ "fraction": 0.1, "keep": "bf16" }).bits_per_value(8.8122),
        case!({ "threshold": 0.0 }).bits_per_value(16.0),
        case!({ "inner": { "codec": "cast", "to": "f16" } }).inner::<Cast>().bound(half),
    ]
);

strait_conformance::check!(
    mod tokens: Tokens,
    [
        case!({}).inner::<Affine>().bits_per_value(4.0 + 12.0 / 64.0 + 20.0 / 5120.0 * 63.0 / 64.0),
        case!({ "first": 0, "ratio": 4.0, "keep": "bf16" }),
        case!({ "first": 3, "ratio": 1.0 }),
        case!({ "first": 4, "inner": { "codec": "cast", "to": "f16" } })
            .inner::<Cast>()
            .bound(half),
    ]
);

strait_conformance::check!(
    mod values: Values,
    [
        case!({}).inner::<Affine>().bits_per_value(4.0 + (20.0 + 29.0) / 5120.0),
        case!({ "k": 2, "group": 64 }).bits_per_value(4.0 + 20.0 / 5120.0 + 44.0 / 64.0),
        case!({ "k": 30, "group": 64, "keep": "bf16" }),
        case!({ "k": 3, "group": 2 }),
        case!({ "k": 5, "inner": { "codec": "cast", "to": "f16" } }).inner::<Cast>().bound(half),
    ]
);

/// The rounding of f16.
fn half(sample: &strait_conformance::Sample) -> Vec<f32> {
    sample.values().iter().map(|x| x.abs() / 2048.0 + 3e-8).collect()
}

#[test]
fn payloads_and_values_are_those_of_the_golden_file() {
    strait_sdk::offer::<Cast>();
    let golden: Vec<Value> =
        serde_json::from_str(include_str!("../../golden/golden.json")).unwrap();
    for case in &golden {
        match case["codec"].as_str().unwrap() {
            "outlier.columns" => compare::<Columns>(case),
            "outlier.tokens" => compare::<Tokens>(case),
            _ => compare::<Values>(case),
        }
    }
}

fn compare<C: Codec>(case: &Value) {
    let size = |name: &str| case[name].as_u64().unwrap() as usize;
    let shape = Shape { rows: size("rows"), channels: size("channels"), dtype: Dtype::F32 };
    let payload = encode(&mut open::<C>(&case["params"]), shape, &words(&case["input"]));
    let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        Some(hex.as_str()),
        case["payload"].as_str(),
        "{} {}",
        case["codec"],
        case["params"]
    );
    let back = decode(&mut open::<C>(&case["params"]), shape, &payload).unwrap();
    assert_eq!(back, words(&case["back"]), "{} {}", case["codec"], case["params"]);
}

#[test]
fn first_tokens_are_those_of_the_sequence() {
    strait_sdk::offer::<Affine>();
    let params = json!({ "first": 2, "inner": { "codec": "affine", "bits": 1 } });
    let shape = Shape { rows: 1, channels: 4, dtype: Dtype::F32 };
    let row: Vec<u8> = [1.5_f32, -3.0, 0.25, 7.0].into_iter().flat_map(f32::to_le_bytes).collect();
    let (mut encoder, mut decoder) = (open::<Tokens>(&params), open::<Tokens>(&params));
    for _ in 0..2 {
        encoder.reset();
        decoder.reset();
        let exact: Vec<bool> = (0..4)
            .map(|_| {
                let payload = encode(&mut encoder, shape, &row);
                decode(&mut decoder, shape, &payload).unwrap() == row
            })
            .collect();
        assert_eq!(exact, [true, true, false, false]);
    }
}

proptest! {
    #[test]
    fn what_stands_out_comes_back_exactly(
        (channels, values) in (1_usize..60).prop_flat_map(|channels| {
            (Just(channels), prop::collection::vec(-40_i16..40, channels * 3))
        }),
        k in 1_usize..20,
        group in 0_usize..40,
        fraction in 0.0_f64..1.0,
    ) {
        strait_sdk::offer::<Affine>();
        let shape = Shape { rows: 3, channels, dtype: Dtype::F32 };
        let values: Vec<f32> = values.into_iter().map(f32::from).collect();
        let input: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let inner = json!({ "codec": "affine", "bits": 1, "scheme": "minimum" });
        let params = json!({ "inner": inner, "k": k, "group": group });
        let payload = encode(&mut open::<Values>(&params), shape, &input);
        let back = floats(&decode(&mut open::<Values>(&params), shape, &payload).unwrap());
        let length = if group == 0 { channels } else { group };
        for (x, back) in values.chunks(channels).zip(back.chunks(channels)) {
            for (x, back) in x.chunks(length).zip(back.chunks(length)) {
                let right = x.iter().zip(back).filter(|(x, back)| x == back).count();
                prop_assert!(right >= k.min(x.len()));
            }
        }
        let params = json!({ "inner": inner, "fraction": fraction });
        let payload = encode(&mut open::<Columns>(&params), shape, &input);
        let back = floats(&decode(&mut open::<Columns>(&params), shape, &payload).unwrap());
        let exact = |c: &usize| (0..3).all(|r| values[r * channels + c] == back[r * channels + c]);
        let right = (0..channels).filter(exact).count();
        prop_assert!(right >= (fraction * channels as f64).round() as usize);
        for cut in 0..payload.len() {
            prop_assert!(decode(&mut open::<Columns>(&params), shape, &payload[..cut]).is_err());
        }
    }
}

fn open<C: Codec>(params: &Value) -> C {
    C::open(C::Params::from_json(params).unwrap()).unwrap()
}

fn encode<C: Codec>(codec: &mut C, shape: Shape, input: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    codec.encode(Message::new(shape, input, &[]).unwrap(), &mut payload).unwrap();
    payload
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
