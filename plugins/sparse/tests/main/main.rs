//! sparse against an independent computation, its stated error and sizes, and the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use strait_conformance::case;
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{self, Value, json};
use strait_sparse::{Sparse, SparseParams};

strait_conformance::check!(
    Sparse,
    [
        case!({}).bound(|sample| sample.values().iter().map(|x| x.abs()).collect()),
        case!({ "fraction": 1.0, "index": "bitmap" }).bits_per_value(17.0),
        case!({ "fraction": 0.5, "index": "fixed", "values": "bf16" }).bits_per_value(14.5),
        case!({ "k": 5, "index": "delta", "values": "int", "bits": 3 }),
        case!({ "select": "random", "values": "int", "bits": 4 })
            .bits_per_value(0.4 + 32.0 / 5120.0),
        case!({ "feedback": "error", "values": "bf16" }),
        case!({ "feedback": "difference", "k": 9 }),
        case!({ "feedback": "difference", "select": "random", "seed": 3, "values": "int" }),
    ]
);

#[test]
fn payloads_and_values_are_those_of_the_golden_file() {
    let golden: Value = serde_json::from_str(include_str!("../../golden/golden.json")).unwrap();
    let size = |name: &str| golden[name].as_u64().unwrap() as usize;
    let (rows, split, channels) = (size("rows"), size("split"), size("channels"));
    let input = words(&golden["input"]);
    let (first, second) = input.split_at(split * channels * 4);
    for case in golden["cases"].as_array().unwrap() {
        let open = || Sparse::open(SparseParams::from_json(&case["params"]).unwrap()).unwrap();
        let (mut encoder, mut decoder) = (open(), open());
        for (i, (rows, bytes)) in [(split, first), (rows - split, second)].into_iter().enumerate() {
            let golden = &case["messages"][i];
            let shape = Shape { rows, channels, dtype: Dtype::F32 };
            let mut payload = Vec::new();
            encoder.encode(Message::new(shape, bytes, &[]).unwrap(), &mut payload).unwrap();
            let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(Some(hex.as_str()), golden["payload"].as_str(), "{}", case["params"]);
            let back = decode(&mut decoder, shape, &payload).unwrap();
            assert_eq!(floats(&back), floats(&words(&golden["back"])), "{}", case["params"]);
        }
    }
}

proptest! {
    #[test]
    fn kept_values_come_back_and_cut_payloads_do_not(
        (channels, values) in (1_usize..200).prop_flat_map(|channels| {
            (Just(channels), prop::collection::vec(-40.0_f32..40.0, channels * 3))
        }),
        fraction in 0.0_f64..1.0,
        index in 0..4_usize,
        random in any::<bool>(),
        bits in 2_u32..=8,
        int in any::<bool>(),
    ) {
        let shape = Shape { rows: 3, channels, dtype: Dtype::F32 };
        let input: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let params = SparseParams::from_json(&json!({
            "fraction": fraction,
            "select": (if random { "random" } else { "top" }),
            "index": (["auto", "bitmap", "delta", "fixed"][index]),
            "values": (if int { "int" } else { "f16" }),
            "bits": bits,
        })).unwrap();
        let open = || Sparse::open(params.clone()).unwrap();
        let mut payload = Vec::new();
        open().encode(Message::new(shape, &input, &[]).unwrap(), &mut payload).unwrap();
        prop_assert!(payload.len() <= open().payload_bytes(shape).limit());
        let back = floats(&decode(&mut open(), shape, &payload).unwrap());
        let k = ((fraction * channels as f64).round() as usize).max(1);
        for (x, back) in values.chunks(channels).zip(back.chunks(channels)) {
            let most = x.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            let step = if int { most / ((1 << (bits - 1)) - 1) as f32 } else { most / 1024.0 };
            let wrong = x.iter().zip(back).filter(|(x, back)| (**x - **back).abs() > step * 0.501);
            prop_assert!(wrong.count() <= channels - k);
        }
        for cut in [0, 1, payload.len() / 2, payload.len() - 1] {
            prop_assert!(decode(&mut open(), shape, &payload[..cut.min(payload.len() - 1)]).is_err());
        }
        prop_assert!(decode(&mut open(), shape, &[&payload[..], &[0]].concat()).is_err());
    }
}

#[test]
fn a_constant_sequence_is_learnt_by_difference() {
    let shape = Shape { rows: 12, channels: 8, dtype: Dtype::F32 };
    let row = [8.0_f32, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
    let input: Vec<u8> = (0..12).flat_map(|_| row).flat_map(f32::to_le_bytes).collect();
    let params = json!({ "k": 2, "feedback": "difference" });
    let open = || Sparse::open(SparseParams::from_json(&params).unwrap()).unwrap();
    let mut payload = Vec::new();
    open().encode(Message::new(shape, &input, &[]).unwrap(), &mut payload).unwrap();
    let back = floats(&decode(&mut open(), shape, &payload).unwrap());
    assert_eq!(back[8..16], [8.0, 7.0, 6.0, 5.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(back[88..], row);
}

fn decode(codec: &mut Sparse, shape: Shape, payload: &[u8]) -> Result<Vec<u8>> {
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
