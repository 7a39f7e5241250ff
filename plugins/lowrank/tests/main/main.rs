//! lowrank and pca against LAPACK and scipy, their stated sizes, and the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use strait_affine::Affine;
use strait_cast::Cast;
use strait_codec_kit::subset;
use strait_conformance::case;
use strait_lowrank::{Lowrank, LowrankParams, Pca, PcaParams};
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{self, Value, json};

strait_conformance::check!(
    mod lowrank: Lowrank,
    [
        case!({}).inner::<Cast>().bits_per_value(16.0 * 8.0 * (64.0 + 5120.0) / (64.0 * 5120.0)),
        case!({ "method": "id" }).inner::<Cast>(),
        case!({ "rank": 2, "inner": { "codec": "affine", "bits": 8 } }).inner::<Affine>(),
        case!({ "rank": 3, "method": "id", "inner": { "codec": "affine", "bits": 4 } }),
        case!({ "fraction": 1.0 }).bound(|sample| {
            // The factors would be as large as the message, which is passed on: f16 alone.
            sample.values().iter().map(|x| x.abs() / 2048.0 + 3e-8).collect()
        }),
    ]
);

strait_conformance::check!(
    mod pca: Pca,
    [
        case!({}).inner::<Affine>(),
        case!({ "rank": 5, "whiten": 0.0 }),
        case!({ "rank": 1, "whiten": 1.0, "inner": { "codec": "cast", "to": "f16" } })
            .inner::<Cast>(),
    ]
);

fn golden() -> (Value, Shape, Vec<u8>) {
    strait_sdk::offer::<Affine>();
    strait_sdk::offer::<Cast>();
    let golden: Value = serde_json::from_str(include_str!("../../golden/golden.json")).unwrap();
    let size = |name: &str| golden[name].as_u64().unwrap() as usize;
    let shape = Shape { rows: size("rows"), channels: size("channels"), dtype: Dtype::F32 };
    let input = words(&golden["input"]);
    (golden, shape, input)
}

#[test]
fn approximations_are_the_best_of_their_rank() {
    let (golden, shape, input) = golden();
    for case in golden["svd"].as_array().unwrap() {
        let params = json!({ "rank": case["rank"], "iterations": 8, "inner": f32s() });
        let payload = encode(&mut lowrank(&params), shape, &input);
        assert_close(&decode(&mut lowrank(&params), shape, &payload).unwrap(), &case["back"], 0.01);
        // The default number of iterations costs little.
        let params = json!({ "rank": case["rank"], "inner": f32s() });
        let payload = encode(&mut lowrank(&params), shape, &input);
        let back = floats(&decode(&mut lowrank(&params), shape, &payload).unwrap());
        let best = error(&floats(&input), &floats(&words(&case["back"])));
        assert!(error(&floats(&input), &back) < 1.01 * best, "rank {}", case["rank"]);
    }
}

#[test]
fn channels_are_those_of_a_pivoted_qr() {
    let (golden, shape, input) = golden();
    for case in golden["id"].as_array().unwrap() {
        let params = json!({ "rank": case["rank"], "method": "id", "inner": f32s() });
        let payload = encode(&mut lowrank(&params), shape, &input);
        let mut chosen = vec![false; shape.channels];
        subset::read(&payload, &mut chosen).unwrap();
        let ours: Vec<usize> = (0..shape.channels).filter(|channel| chosen[*channel]).collect();
        let theirs: Vec<usize> = serde_json::from_value(case["chosen"].clone()).unwrap();
        assert_eq!(ours, theirs);
        assert_close(&decode(&mut lowrank(&params), shape, &payload).unwrap(), &case["back"], 0.01);
    }
}

#[test]
fn projections_are_those_on_principal_components() {
    let (golden, shape, input) = golden();
    let calibration = words(&golden["calibration"]);
    let rows = calibration.len() / shape.row_bytes();
    for case in golden["pca"].as_array().unwrap() {
        for whiten in [0.0, 0.5, 1.0] {
            let params = json!({ "rank": case["rank"], "whiten": whiten, "inner": f32s() });
            let params = PcaParams::from_json(&params).unwrap();
            // Two messages, as from a link.
            let (first, second) = calibration.split_at(50 * shape.row_bytes());
            let sample = |rows, bytes| Message::new(Shape { rows, ..shape }, bytes, &[]).unwrap();
            let samples = [sample(50, first), sample(rows - 50, second)];
            let artifact = Pca::fit(&params, &samples).unwrap();
            let open = || Pca::open_fitted(params.clone(), &artifact).unwrap();
            let payload = encode(&mut open(), shape, &input);
            assert_close(&decode(&mut open(), shape, &payload).unwrap(), &case["back"], 0.05);
        }
    }
}

#[test]
fn artifacts_are_checked() {
    let (golden, shape, input) = golden();
    let params = PcaParams::from_json(&json!({ "rank": 2 })).unwrap();
    assert!(Pca::open(params.clone()).unwrap_err().to_string().contains("run its fit step"));
    let calibration = words(&golden["calibration"]);
    let sample = Shape { rows: calibration.len() / shape.row_bytes(), ..shape };
    let sample = [Message::new(sample, &calibration, &[]).unwrap()];
    let artifact = Pca::fit(&params, &sample).unwrap();
    assert_eq!(artifact.len(), 8 + 4 * (40 + 2 + 2 * 40));
    for cut in [1, 7, 8, 100, artifact.len() - 1] {
        let error = Pca::open_fitted(params.clone(), &artifact[..cut]).unwrap_err();
        assert!(error.to_string().contains("fit it again"), "{error}");
    }
    let huge = [&u32::MAX.to_le_bytes()[..], &u32::MAX.to_le_bytes()].concat();
    assert!(Pca::open_fitted(params.clone(), &huge).is_err());
    let mut codec = Pca::open_fitted(params, &artifact).unwrap();
    let other = Shape { rows: shape.rows * 2, channels: 20, dtype: Dtype::F32 };
    let error = codec.encode(Message::new(other, &input, &[]).unwrap(), &mut Vec::new());
    assert!(error.unwrap_err().to_string().contains("messages of 20 channels, found [40]"));

    let few = PcaParams::from_json(&json!({ "rank": 30 })).unwrap();
    let error = Pca::fit(&few, &[Message::new(shape, &input, &[]).unwrap()]).unwrap_err();
    assert!(error.to_string().contains("at least 30 tokens"), "{error}");
}

proptest! {
    #[test]
    fn cut_payloads_are_refused_and_sizes_kept(
        rows in 1_usize..12,
        values in prop::collection::vec(-30.0_f32..30.0, 12 * 17),
        rank in 1_usize..6,
        id in any::<bool>(),
    ) {
        strait_sdk::offer::<Affine>();
        let shape = Shape { rows, channels: 17, dtype: Dtype::F32 };
        let input: Vec<u8> =
            values[..rows * 17].iter().flat_map(|value| value.to_le_bytes()).collect();
        let method = if id { "id" } else { "svd" };
        let inner = json!({ "codec": "affine", "bits": 5 });
        let params = json!({ "rank": rank, "method": method, "inner": inner });
        let payload = encode(&mut lowrank(&params), shape, &input);
        prop_assert!(payload.len() <= lowrank(&params).payload_bytes(shape).limit());
        prop_assert!(decode(&mut lowrank(&params), shape, &payload).is_ok());
        for cut in 0..payload.len() {
            prop_assert!(decode(&mut lowrank(&params), shape, &payload[..cut]).is_err());
        }
    }
}

fn f32s() -> Value {
    json!({ "codec": "cast", "to": "f32" })
}

fn lowrank(params: &Value) -> Lowrank {
    Lowrank::open(LowrankParams::from_json(params).unwrap()).unwrap()
}

fn assert_close(ours: &[u8], theirs: &Value, most: f32) {
    for (ours, theirs) in floats(ours).iter().zip(floats(&words(theirs))) {
        assert!((ours - theirs).abs() < most, "{ours} {theirs}");
    }
}

fn error(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
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
