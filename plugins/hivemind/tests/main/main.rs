//! hivemind against the library's own messages, its stated errors, and the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use strait_conformance::{Sample, case};
use strait_hivemind::Hivemind;
use strait_sdk::prelude::*;
use strait_sdk::serde_json::json;

strait_conformance::check!(
    Hivemind,
    [
        case!({ "method": "float16" })
            .bound(|sample| sample.values().iter().map(|x| x.abs() / 2048.0 + 3e-8).collect())
            .bits_per_value(16.0),
        case!({ "method": "meanstd16" })
            .bound(|sample| row_bound(sample, 1.0 / 1024.0))
            .bits_per_value(16.0 + 64.0 / 5120.0),
        case!({ "method": "uniform8" }).bits_per_value(8.0 + 8256.0 / (64.0 * 5120.0)),
        case!({ "method": "quantile8" }).bits_per_value(8.0 + 8256.0 / (64.0 * 5120.0)),
        // Half the widest gap of the map, between 0.993 and 1 and its neighbours.
        case!({ "method": "blockwise8" })
            .bound(|sample| flat_bound(sample, 0.007_1))
            .bits_per_value(8.0 + (80.0 * 32.0 + 8320.0) / (64.0 * 5120.0)),
    ]
);

/// A share of the range of each row.
fn row_bound(sample: &Sample, share: f32) -> Vec<f32> {
    let rows = sample.values().chunks(sample.shape().channels.max(1));
    let bound = |row: &[f32]| {
        let most = row.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        2.0 * share * most + 1e-6
    };
    rows.flat_map(|row| vec![bound(row); row.len()]).collect()
}

/// A share of the largest magnitude of the message, which is one block.
fn flat_bound(sample: &Sample, share: f32) -> Vec<f32> {
    let most = sample.values().iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    vec![share * most; sample.values().len()]
}

/// Input, the library's payload and its extracted values; then ours.
struct Golden {
    theirs: Vec<u8>,
    their_values: Vec<f32>,
    ours: Vec<u8>,
    our_values: Vec<f32>,
}

fn golden(method: &str, file: &[u8], rows: usize, channels: usize) -> Golden {
    let shape = Shape { rows, channels, dtype: Dtype::F32 };
    let (input, rest) = file.split_at(shape.bytes());
    let (theirs, their_values) = rest.split_at(rest.len() - shape.bytes());
    let (ours, our_values) = round_trip(method, shape, input);
    assert_eq!(ours.len(), theirs.len(), "{method}: length");
    Golden { theirs: theirs.to_vec(), their_values: floats(their_values), ours, our_values }
}

#[test]
fn float16_is_the_library_s() {
    let golden = golden("float16", include_bytes!("../../golden/float16.bin"), 4, 256);
    assert_eq!(golden.ours, golden.theirs);
    assert_eq!(golden.our_values, golden.their_values);
}

#[test]
fn meanstd16_is_the_library_s_but_for_the_last_place() {
    let golden = golden("meanstd16", include_bytes!("../../golden/meanstd16.bin"), 4, 256);
    let (ours, our_statistics) = golden.ours.split_at(2048);
    let (theirs, their_statistics) = golden.theirs.split_at(2048);
    for (ours, theirs) in floats(our_statistics).iter().zip(floats(their_statistics)) {
        // Their sums are in f32.
        assert!((ours - theirs).abs() <= 4e-7 * theirs.abs(), "{ours} {theirs}");
    }
    let half = |bytes: &[u8]| -> Vec<i32> {
        bytes.chunks(2).map(|pair| i32::from(i16::from_le_bytes([pair[0], pair[1]]))).collect()
    };
    let mut equal = 0;
    for (ours, theirs) in half(ours).into_iter().zip(half(theirs)) {
        assert!((ours - theirs).abs() <= 1, "{ours:#x} {theirs:#x}");
        equal += usize::from(ours == theirs);
    }
    assert!(equal >= 1020, "{equal} of 1024 codes are equal");
    for (row, values) in golden.our_values.chunks(256).zip(golden.their_values.chunks(256)) {
        let most = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        for (ours, theirs) in row.iter().zip(values) {
            assert!((ours - theirs).abs() <= most / 1024.0, "{ours} {theirs}");
        }
    }
}

#[test]
fn uniform8_is_the_library_s() {
    let golden = golden("uniform8", include_bytes!("../../golden/uniform8.bin"), 10, 160);
    assert_eq!(golden.ours, golden.theirs);
    assert_eq!(golden.our_values, golden.their_values);
}

#[test]
fn quantile8_is_the_library_s() {
    let golden = golden("quantile8", include_bytes!("../../golden/quantile8.bin"), 10, 160);
    assert_eq!(golden.ours, golden.theirs);
    assert_eq!(golden.our_values, golden.their_values);
}

#[test]
fn blockwise8_is_the_library_s_but_for_the_last_place_of_the_map() {
    let golden = golden("blockwise8", include_bytes!("../../golden/blockwise8.bin"), 8, 637);
    let (map, codes) = (16 + 8..16 + 8 + 1024, 16 + 8 + 1024..);
    assert_eq!(golden.ours[..map.start], golden.theirs[..map.start], "lengths and absmax");
    assert_eq!(golden.ours[codes.clone()], golden.theirs[codes], "codes");
    for (ours, theirs) in golden.ours[map.clone()].chunks(4).zip(golden.theirs[map].chunks(4)) {
        let bits = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        assert!(bits(ours).abs_diff(bits(theirs)) <= 1, "map");
    }
    for (ours, theirs) in golden.our_values.iter().zip(golden.their_values) {
        assert!((ours - theirs).abs() <= 2.0 * f32::EPSILON * theirs.abs(), "{ours} {theirs}");
    }
}

#[test]
fn quantiles_of_chunks_are_the_library_s() {
    let golden: &[u8] = include_bytes!("../../golden/large.bin");
    let mut state = 1_u32;
    let input: Vec<u8> = (0..250_000)
        .flat_map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let u = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            (u * u * u).to_le_bytes()
        })
        .collect();
    let shape = Shape { rows: 250, channels: 1000, dtype: Dtype::F32 };
    let (payload, _) = round_trip("quantile8", shape, &input);
    let codes = payload[8 + 1024..].iter().enumerate();
    let check = codes.map(|(i, code)| u64::from(*code) * (i as u64 % 251 + 1)).sum::<u64>();
    assert_eq!((check as u32).to_le_bytes(), golden[1024..], "codes");
    for (ours, theirs) in floats(&payload[8..8 + 1024]).iter().zip(floats(&golden[..1024])) {
        // Their sums of about 1000 values are in f32.
        assert!((ours - theirs).abs() <= 1e-5 * theirs.abs(), "{ours} {theirs}");
    }
}

#[test]
fn wrong_lengths_in_a_payload_are_errors() {
    let shape = Shape { rows: 2, channels: 3, dtype: Dtype::F32 };
    for (method, places) in
        [("uniform8", vec![0, 7]), ("quantile8", vec![1]), ("blockwise8", vec![0, 8, 15])]
    {
        let (payload, _) = round_trip(method, shape, &[0; 24]);
        for place in places {
            let mut altered = payload.clone();
            altered[place] ^= 1;
            let mut output = vec![0; 24];
            let mut message = MessageMut::new(shape, &mut output).unwrap();
            let error = open(method).decode(&altered, &mut message).unwrap_err();
            assert!(error.to_string().contains("length"), "{method}: {error}");
        }
    }
}

proptest! {
    #[test]
    fn a_bucket_s_mean_is_within_its_bucket(
        values in prop::collection::vec(prop_oneof![8 => -4.0_f32..4.0, 1 => -6e4_f32..6e4], 1..400),
        quantile in any::<bool>(),
    ) {
        let shape = Shape { rows: 1, channels: values.len(), dtype: Dtype::F32 };
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let method = if quantile { "quantile8" } else { "uniform8" };
        let (payload, back) = round_trip(method, shape, &bytes);
        let codes = &payload[8 + 1024..];
        // Codes ascend with values, and so do the reconstructions, but for the rounding of a mean.
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        for pair in order.windows(2) {
            prop_assert!(codes[pair[0]] <= codes[pair[1]]);
            prop_assert!(back[pair[0]] <= back[pair[1]]);
        }
        for code in 0..=255 {
            let bucket = || (0..values.len()).filter(|i| codes[*i] == code);
            let low = bucket().map(|i| values[i]).fold(f32::INFINITY, f32::min);
            let high = bucket().map(|i| values[i]).fold(f32::NEG_INFINITY, f32::max);
            prop_assert!(bucket().all(|i| (low..=high).contains(&back[i])));
        }
    }
}

#[test]
fn non_finite_values_do_not_spread() {
    let mut values = [1.0_f32; 64];
    (values[0], values[5]) = (f32::NAN, f32::INFINITY);
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = Shape { rows: 1, channels: 64, dtype: Dtype::F32 };
    for method in ["meanstd16", "uniform8", "quantile8", "blockwise8"] {
        let (_, back) = round_trip(method, shape, &bytes);
        assert!(back.iter().all(|value| value.is_finite()) && back[5] > 1e38, "{method}: {back:?}");
    }
    let (_, back) = round_trip("float16", shape, &bytes);
    assert!(back[0].is_nan() && back[5] == 65504.0 && back[1] == 1.0);
}

fn open(method: &str) -> Hivemind {
    Hivemind::open(Params::from_json(&json!({ "method": method })).unwrap()).unwrap()
}

fn round_trip(method: &str, shape: Shape, input: &[u8]) -> (Vec<u8>, Vec<f32>) {
    let mut payload = Vec::new();
    open(method).encode(Message::new(shape, input, &[]).unwrap(), &mut payload).unwrap();
    let mut output = vec![0; shape.bytes()];
    let mut message = MessageMut::new(shape, &mut output).unwrap();
    open(method).decode(&payload, &mut message).unwrap();
    (payload, floats(&output))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}
