//! frontier with the conformance kit, its error, and what each part of it saves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use strait_conformance::case;
use strait_frontier::{Frontier, FrontierFitted, FrontierFittedParams, FrontierParams};
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{Value, json};

strait_conformance::check!(
    mod stateless: Frontier,
    [
        case!({}),
        case!({ "bits": 0.0 }),
        case!({ "bits": 12.0, "history": 2 }),
        case!({ "history": 0 }),
    ]
);
strait_conformance::check!(
    mod fitted: FrontierFitted,
    [case!({ "block": 20 }), case!({ "bits": 1.0, "block": 7 })]
);

const CHANNELS: usize = 96;

fn open(params: &Value) -> Frontier {
    Frontier::open(FrontierParams::from_json(params).unwrap()).unwrap()
}

/// Sums of twelve uniform numbers: nearly normal, of deviation 1.
fn normal(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Payload bytes and the values that a second instance decodes, in messages of `rows` rows.
fn round_trip<C: Codec>(open: impl Fn() -> C, values: &[f32], rows: usize) -> (usize, Vec<f32>) {
    let (mut encoder, mut decoder) = (open(), open());
    let (mut length, mut back) = (0, Vec::new());
    for values in values.chunks(rows * CHANNELS) {
        let shape = Shape { rows: values.len() / CHANNELS, channels: CHANNELS, dtype: Dtype::F32 };
        let input = bytes(values);
        let mut payload = Vec::new();
        encoder.encode(Message::new(shape, &input, &[]).unwrap(), &mut payload).unwrap();
        length += payload.len();
        let mut output = vec![0xff; input.len()];
        decoder.decode(&payload, &mut MessageMut::new(shape, &mut output).unwrap()).unwrap();
        back.extend(output.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
    }
    (length, back)
}

fn bits_per_value(length: usize, values: &[f32]) -> f64 {
    length as f64 * 8.0 / values.len() as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_value_is_within_a_step_and_a_half(
        seed in any::<u32>(),
        bits in 0.0_f32..12.0,
        rows in 1_usize..60,
        chunk in 1_usize..30,
        scale in -20_i32..20,
    ) {
        let scale = (scale as f32).exp2();
        let values: Vec<f32> = normal(rows * CHANNELS, seed).iter().map(|x| x * scale).collect();
        let (_, back) = round_trip(|| open(&json!({ "bits": bits })), &values, chunk);
        // The step follows the measured deviation, which is within a third of the true one.
        let step = 1.4 * scale * (2.05 - bits).exp2();
        for (value, back) in values.iter().zip(&back) {
            prop_assert!((value - back).abs() <= 1.5 * step, "{value} became {back}");
        }
    }
}

#[test]
fn a_white_gaussian_takes_the_nominal_bits() {
    let values = normal(1000 * CHANNELS, 5);
    for bits in [2.5, 4.0, 7.0, 10.0] {
        let (length, back) = round_trip(|| open(&json!({ "bits": bits })), &values, 1000);
        let found = bits_per_value(length, &values);
        let error: f64 =
            values.iter().zip(&back).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        // Shannon's bound for this error, and how far above it we are.
        let bound = -0.5 * (error / values.len() as f64).log2();
        assert!((found - bits).abs() < 0.25, "nominal {bits}, found {found}");
        assert!(found > bound && found < bound + 0.21, "bound {bound}, found {found}");
    }
}

#[test]
fn rows_that_come_again_are_cheap() {
    let rows = normal(20 * CHANNELS, 1);
    let noise = normal(200 * CHANNELS, 2);
    let values: Vec<f32> = noise
        .iter()
        .enumerate()
        .map(|(i, noise)| rows[(i / CHANNELS * 7 % 20) * CHANNELS + i % CHANNELS] + 0.05 * noise)
        .collect();
    let length = |params: Value| round_trip(|| open(&params), &values, 200).0;
    let (with, without) = (length(json!({})), length(json!({ "history": 0 })));
    assert!(3 * with < without, "{with} bytes with the history, {without} without");
}

#[test]
fn messages_of_one_row_cost_little_more() {
    let values = normal(300 * CHANNELS, 3);
    let (whole, _) = round_trip(|| open(&json!({})), &values, 300);
    let (single, _) = round_trip(|| open(&json!({})), &values, 1);
    assert!(single < whole + 300 * 5, "{whole} bytes in one message, {single} in 300");
}

#[test]
fn a_fit_finds_what_channels_share() {
    // Twelve hidden factors behind all channels.
    let mix = normal(12 * CHANNELS, 11);
    let sample = |seed: u32| -> Vec<f32> {
        let (factors, noise) = (normal(600 * 12, seed), normal(600 * CHANNELS, seed + 1));
        let value = |row: usize, channel: usize| -> f32 {
            let shared = (0..12).map(|f| factors[row * 12 + f] * mix[f * CHANNELS + channel]);
            shared.sum::<f32>() + 0.3 * noise[row * CHANNELS + channel]
        };
        (0..600 * CHANNELS).map(|i| value(i / CHANNELS, i % CHANNELS)).collect()
    };
    let shape = Shape { rows: 600, channels: CHANNELS, dtype: Dtype::F32 };
    let calibration = bytes(&sample(100));
    let params = || FrontierFittedParams::from_json(&json!({})).unwrap();
    let samples = [Message::new(shape, &calibration, &[]).unwrap()];
    let artifact = FrontierFitted::fit(&params(), &samples).unwrap();
    let values = sample(200);
    let fitted = || FrontierFitted::open_fitted(params(), &artifact).unwrap();
    let (with, back) = round_trip(fitted, &values, 600);
    let (without, plain) = round_trip(|| open(&json!({ "history": 0 })), &values, 600);
    let error = |back: &[f32]| -> f32 {
        values.iter().zip(back).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / values.len() as f32
    };
    assert!(error(&back) < 1.2 * error(&plain), "{} {}", error(&back), error(&plain));
    assert!(2 * with < without, "{with} bytes with the fit, {without} without");
    assert!(FrontierFitted::open(params()).is_err());
}
