//! mixed and channels against an independent computation, their stated sizes, and the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use strait_affine::Affine;
use strait_cast::Cast;
use strait_codec_kit::subset;
use strait_conformance::case;
use strait_importance::{Channels, Mixed};
use strait_sdk::Side;
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{self, Value, json};

strait_conformance::check!(
    mod mixed: Mixed,
    [
        case!({}).inner::<Affine>().inner::<Cast>().bits_per_value(10.0 + (10.0 + 0.1) / 5120.0),
        case!({ "rule": "share", "share": 0.5 }),
        case!({ "rule": "bits", "bits": 6.0, "importance": "norm" }),
        case!({ "causal": true, "low": { "codec": "affine", "bits": 2 } }),
        case!({ "causal": true, "rule": "share", "high": { "codec": "affine", "bits": 8 } }),
        case!({ "causal": true, "rule": "bits", "bits": 5.0 }),
        case!({ "low": { "codec": "cast" } }).bound(half),
        // Its low payload has no length that is known beforehand.
        case!({ "low": { "codec": "mixed", "importance": "norm" } }).inner::<Mixed>(),
    ]
);

strait_conformance::check!(
    mod channels: Channels,
    [
        case!({}).bits_per_value(8.0 + 16.0 / 64.0),
        case!({ "method": "channel_4" }).bits_per_value(4.25),
        case!({ "method": "channel_1_mean" }).bits_per_value(1.25),
        case!({ "method": "channel_1_max", "fraction": 0.5, "keep": "bf16" }),
        case!({ "method": "channel_8", "fraction": 0.9, "score": "ratio" }),
        case!({ "fraction": 0.0 }).bound(half),
    ]
);

/// The rounding of f16.
fn half(sample: &strait_conformance::Sample) -> Vec<f32> {
    sample.values().iter().map(|x| x.abs() / 2048.0 + 3e-8).collect()
}

#[test]
fn choices_and_values_are_those_of_the_golden_file() {
    offer();
    let golden: Value = serde_json::from_str(include_str!("../../golden/golden.json")).unwrap();
    let size = |name: &str| golden[name].as_u64().unwrap() as usize;
    let shape = Shape { rows: size("rows"), channels: size("channels"), dtype: Dtype::F32 };
    let (input, importance) = (words(&golden["input"]), floats(&words(&golden["importance"])));
    for case in golden["cases"].as_array().unwrap() {
        let (payload, back) = match case["codec"].as_str().unwrap() {
            "mixed" => there_and_back::<Mixed>(&case["params"], shape, &input, &importance),
            _ => there_and_back::<Channels>(&case["params"], shape, &input, &importance),
        };
        let chosen: Vec<bool> = serde_json::from_value(case["chosen"].clone()).unwrap();
        if case["codec"] == "mixed" || chosen.contains(&false) {
            let mut ours = vec![false; chosen.len()];
            subset::read(&payload, &mut ours).unwrap();
            assert_eq!(ours, chosen, "{}", case["params"]);
        }
        assert_eq!(back, floats(&words(&case["back"])), "{}", case["params"]);
    }
}

#[test]
fn one_massive_token_ruins_a_shared_scale_alone() {
    offer();
    let channels = 64;
    let mut values: Vec<f32> =
        (0..8 * channels).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
    values[..channels].iter_mut().for_each(|x| *x *= 1000.0);
    let input: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let shape = Shape { rows: 8, channels, dtype: Dtype::F32 };
    let error = |granularity: &str, fraction: f64| {
        let low = json!({ "codec": "affine", "bits": 4, "granularity": granularity });
        let params = json!({ "low": low, "fraction": fraction, "importance": "norm" });
        let (_, back) = there_and_back::<Mixed>(&params, shape, &input, &[0.0; 8]);
        let others = values.iter().zip(&back).skip(channels);
        others.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    // The explosion at ratio 1, gone with a scale per token.
    assert!(error("tensor", 7.0 / 8.0) < 0.1 && error("token", 1.0) < 0.1);
    assert!(error("tensor", 1.0) > 0.9);
}

#[test]
fn without_importances_it_says_what_to_do() {
    offer();
    let shape = Shape { rows: 1, channels: 2, dtype: Dtype::F32 };
    let mut codec = open::<Mixed>(&json!({}));
    let error = codec.encode(Message::new(shape, &[0; 8], &[]).unwrap(), &mut Vec::new());
    let error = error.unwrap_err().to_string();
    assert!(error.ends_with("set `importance = \"norm\"` to do without"), "{error}");
}

#[test]
fn a_causal_choice_does_not_depend_on_the_message() {
    offer();
    let channels = 16;
    let values: Vec<f32> = (0..20 * channels).map(|i| ((i * 29 % 97) as f32).sin()).collect();
    let importance: Vec<f32> = (0..20).map(|i| (i * 7 % 20) as f32).collect();
    for rule in ["fraction", "share", "bits"] {
        let params = json!({ "causal": true, "rule": rule, "share": 0.7 });
        let map = |chunk: usize| {
            let mut codec = open::<Mixed>(&params);
            let mut map = Vec::new();
            for (values, side) in values.chunks(chunk * channels).zip(importance.chunks(chunk)) {
                let input: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
                let shape = Shape { rows: chunk, channels, dtype: Dtype::F32 };
                let side = [Side::new("importance", side)];
                let mut payload = Vec::new();
                codec.encode(Message::new(shape, &input, &side).unwrap(), &mut payload).unwrap();
                let mut chosen = vec![false; chunk];
                subset::read(&payload, &mut chosen).unwrap();
                map.extend(chosen);
            }
            map
        };
        assert_eq!(map(1), map(20), "{rule}");
        assert!(map(1).contains(&true) && map(1).contains(&false), "{rule}");
    }
}

proptest! {
    #[test]
    fn budgets_are_kept_and_cut_payloads_refused(
        (rows, values) in (1_usize..24).prop_flat_map(|rows| {
            (Just(rows), prop::collection::vec(-40.0_f32..40.0, rows * 64))
        }),
        bits in 5.5_f64..20.0,
    ) {
        offer();
        let shape = Shape { rows, channels: 64, dtype: Dtype::F32 };
        let input: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let params = json!({ "rule": "bits", "bits": bits, "importance": "norm" });
        let (payload, _) = there_and_back::<Mixed>(&params, shape, &input, &vec![0.0; rows]);
        prop_assert!(payload.len() as f64 * 8.0 <= bits * values.len() as f64);
        // The next token would have been beyond it: 64 values of 16 bits for 4, and a longer map.
        let room = bits * values.len() as f64 - payload.len() as f64 * 8.0;
        prop_assert!(bits > 16.0 || room < 64.0 * 12.0 + 8.0 * 8.0);
        let mut bytes = vec![0; shape.bytes()];
        for cut in 0..payload.len() {
            let mut message = MessageMut::new(shape, &mut bytes).unwrap();
            prop_assert!(open::<Mixed>(&params).decode(&payload[..cut], &mut message).is_err());
        }
    }
}

fn offer() {
    strait_sdk::offer::<Affine>();
    strait_sdk::offer::<Cast>();
}

fn open<C: Codec>(params: &Value) -> C {
    C::open(C::Params::from_json(params).unwrap()).unwrap()
}

fn there_and_back<C: Codec>(
    params: &Value,
    shape: Shape,
    input: &[u8],
    importance: &[f32],
) -> (Vec<u8>, Vec<f32>) {
    let side = [Side::new("importance", importance)];
    let mut payload = Vec::new();
    let message = Message::new(shape, input, &side).unwrap();
    open::<C>(params).encode(message, &mut payload).unwrap();
    let mut bytes = vec![0; shape.bytes()];
    let mut message = MessageMut::new(shape, &mut bytes).unwrap();
    open::<C>(params).decode(&payload, &mut message).unwrap();
    (payload, floats(&bytes))
}

fn words(value: &Value) -> Vec<u8> {
    let words: Vec<u32> = serde_json::from_value(value.clone()).unwrap();
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}
