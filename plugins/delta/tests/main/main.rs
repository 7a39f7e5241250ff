//! delta against an independent computation, its stated error and sizes, and the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use strait_affine::Affine;
use strait_cast::Cast;
use strait_conformance::case;
use strait_delta::Delta;
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{self, Value, json};

strait_conformance::check!(
    Delta,
    [
        case!({}).inner::<Affine>().bits_per_value(4.0 + 20.0 / 5120.0),
        case!({ "predict": "linear", "decay": 0.5 }),
        case!({ "predict": "average", "chunk": 3 }),
        case!({ "predict": "adaptive", "inner": { "codec": "affine", "bits": 8 } })
            .bits_per_value(8.0 + 24.0 / 5120.0),
        case!({ "inner": { "codec": "cast", "to": "f32" } }).inner::<Cast>().bound(|sample| {
            // Rounding of the sum, of values up to the token and its prediction.
            let most = sample.values().iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            vec![most * 3e-7; sample.values().len()]
        }),
        // Its inner payloads have no length that is known beforehand.
        case!({ "inner": { "codec": "delta", "inner": { "codec": "test.runs" } } })
            .inner::<Delta>()
            .inner::<Runs>(),
    ]
);

/// Bytes with runs of zeros shortened: an inner codec with payloads of any length.
struct Runs;

impl Codec for Runs {
    const INFO: CodecInfo = CodecInfo { id: "test.runs", summary: "runs", ..CodecInfo::DEFAULT };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(Runs)
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        for run in message.bytes().chunk_by(|a, b| a == b) {
            for run in run.chunks(255) {
                payload.extend([run.len() as u8, run[0]]);
            }
        }
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let pairs = payload.chunks(2).map(|run| match run {
            [count, byte] => Ok(std::iter::repeat_n(*byte, usize::from(*count))),
            _ => Err(Error::payload_length(payload.len() + 1, payload.len())),
        });
        let bytes: Vec<u8> = pairs.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        Error::check_payload_length(message.shape().bytes(), bytes.len())?;
        message.bytes_mut().copy_from_slice(&bytes);
        Ok(())
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::AtMost(2 * shape.bytes())
    }
}

#[test]
fn payloads_and_values_are_those_of_the_golden_file() {
    strait_sdk::offer::<Cast>();
    let golden: Value = serde_json::from_str(include_str!("../../golden/golden.json")).unwrap();
    let size = |name: &str| golden[name].as_u64().unwrap() as usize;
    let (rows, split, channels) = (size("rows"), size("split"), size("channels"));
    let input = words(&golden["input"]);
    let (first, second) = input.split_at(split * channels * 4);
    for case in golden["cases"].as_array().unwrap() {
        let (mut encoder, mut decoder) = (open(&case["params"]), open(&case["params"]));
        let mut back = Vec::new();
        for (i, (rows, bytes)) in [(split, first), (rows - split, second)].into_iter().enumerate() {
            let shape = Shape { rows, channels, dtype: Dtype::F32 };
            let payload = encode(&mut encoder, shape, bytes);
            let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(Some(hex.as_str()), case["payloads"][i].as_str(), "{}", case["params"]);
            back.extend(decode(&mut decoder, shape, &payload).unwrap());
        }
        assert_eq!(floats(&back), floats(&words(&case["back"])), "{}", case["params"]);
    }
}

#[test]
fn a_constant_sequence_costs_nothing_after_the_first_token() {
    strait_sdk::offer::<Runs>();
    let row: Vec<u8> = (0..64_u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let shape = Shape { rows: 1, channels: 64, dtype: Dtype::F32 };
    for predict in ["previous", "linear", "average"] {
        let params = json!({ "predict": predict, "inner": "test.runs" });
        let (mut encoder, mut decoder) = (open(&params), open(&params));
        for sequence in 0..2 {
            encoder.reset();
            decoder.reset();
            for token in 0..4 {
                let payload = encode(&mut encoder, shape, &row);
                assert_eq!(payload.len() > 10, token == 0, "{predict}, sequence {sequence}");
                assert_eq!(decode(&mut decoder, shape, &payload).unwrap(), row);
            }
        }
    }
}

proptest! {
    /// With an even grid over the range of each difference, no error is above half a step, however
    /// many tokens came before.
    #[test]
    fn errors_do_not_add_up(
        (channels, values) in (2_usize..20).prop_flat_map(|channels| {
            (Just(channels), prop::collection::vec(-9.0_f32..9.0, channels * 40))
        }),
        predict in prop::sample::select(vec!["previous", "linear", "average", "adaptive"]),
        chunk in 1_usize..5,
    ) {
        strait_sdk::offer::<Affine>();
        let inner = json!({ "codec": "affine", "bits": 4, "scale_dtype": "f32", "scheme": "minimum" });
        let params = json!({ "predict": predict, "chunk": chunk, "decay": 0.5, "inner": inner });
        let shape = Shape { rows: 40, channels, dtype: Dtype::F32 };
        let input: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let payload = encode(&mut open(&params), shape, &input);
        let back = floats(&decode(&mut open(&params), shape, &payload).unwrap());
        let worst = values.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // A token and its prediction: each within 9 and, for `linear`, half of 27 and more.
        let range = if predict == "linear" { 80.0 } else { 32.0 };
        prop_assert!(worst <= range / 15.0 / 2.0, "{worst}");
        prop_assert!(decode(&mut open(&params), shape, &payload[..payload.len() - 1]).is_err());
    }
}

fn open(params: &Value) -> Delta {
    let params = <Delta as Codec>::Params::from_json(params).unwrap();
    Delta::open(params).unwrap()
}

fn encode(codec: &mut Delta, shape: Shape, input: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    codec.encode(Message::new(shape, input, &[]).unwrap(), &mut payload).unwrap();
    payload
}

fn decode(codec: &mut Delta, shape: Shape, payload: &[u8]) -> Result<Vec<u8>> {
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
