//! blockfloat against bitsandbytes, its stated error, and the conformance kit; mx and nvfp4 in
//! `micro`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod micro;

use proptest::prelude::*;
use strait_blockfloat::Blockfloat;
use strait_codec_kit::bits;
use strait_conformance::{Sample, case};
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{Value, json};

/// Half the widest gap between two table entries, and the rounding of one product.
const NF4_GAP: f32 = (1.0 - 0.696_192_8) / 2.0 + 1e-6;
const FP4_GAP: f32 = (1.0 - 0.666_666_7) / 2.0 + 1e-6;

strait_conformance::check!(
    Blockfloat,
    [
        case!({}).bound(|sample| bound(sample, 64, NF4_GAP, 0.0)).bits_per_value(4.5),
        case!({ "code": "fp4", "block": 16 })
            .bound(|sample| bound(sample, 16, FP4_GAP, 0.0))
            .bits_per_value(6.0),
        case!({ "block": 100, "absmax": "f16" })
            .bound(|sample| bound(sample, 100, NF4_GAP, 1.0 / 2048.0))
            .bits_per_value(4.0 + 52.0 * 16.0 / 5120.0),
        case!({ "absmax": "nested8" }).bits_per_value(4.127),
        case!({ "code": "fp4", "block": 4096, "absmax": "nested8" }),
    ]
);

/// The stated error: a share of the absmax of the block, which itself has a relative error.
fn bound(sample: &Sample, block: usize, gap: f32, absmax_error: f32) -> Vec<f32> {
    let mut bounds = Vec::new();
    for row in sample.values().chunks(sample.shape().channels.max(1)) {
        for values in row.chunks(block) {
            let absmax = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            bounds.extend(values.iter().map(|_| absmax * (gap + absmax_error) + 3e-8));
        }
    }
    bounds
}

/// bitsandbytes' number of each FP4 code in ascending order of its value.
const FP4_NUMBERS: [u8; 16] = [11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3];

#[test]
fn codes_and_values_are_those_of_bitsandbytes() {
    let golden: [(&str, &[u8], [u8; 16]); 2] = [
        ("nf4", include_bytes!("../../golden/nf4.bin"), std::array::from_fn(|i| i as u8)),
        ("fp4", include_bytes!("../../golden/fp4.bin"), FP4_NUMBERS),
    ];
    for (name, golden, numbers) in golden {
        let (input, rest) = golden.split_at(2048 * 4);
        let (codes, rest) = rest.split_at(2048);
        let (absmax, back) = rest.split_at(32 * 4);
        let shape = Shape { rows: 8, channels: 256, dtype: Dtype::F32 };
        let (payload, decoded) = round_trip(&json!({ "code": name }), shape, input);
        assert_eq!(&payload[..absmax.len()], absmax, "{name}: absmax");
        let ours = bits::unpack(4, &payload[absmax.len()..], 2048).unwrap();
        let ours: Vec<u8> = ours.iter().map(|code| numbers[usize::from(*code)]).collect();
        assert_eq!(ours, codes, "{name}: codes");
        assert_eq!(floats(&decoded), floats(back), "{name}: values");
    }
}

#[test]
fn nested_absmax_is_that_of_bitsandbytes() {
    let golden: &[u8] = include_bytes!("../../golden/nested.bin");
    let (absmax, rest) = golden.split_at(600 * 4);
    let (head, rest) = rest.split_at(4 + 3 * 4);
    let (indices, back) = rest.split_at(600);
    // Blocks of 16 values: the absmax, then zeros.
    let shape = Shape { rows: 2, channels: 300 * 16, dtype: Dtype::F32 };
    let mut input = vec![0; shape.bytes()];
    for (block, absmax) in input.chunks_mut(64).zip(absmax.chunks(4)) {
        block[..4].copy_from_slice(absmax);
    }
    let params = json!({ "block": 16, "absmax": "nested8" });
    let (payload, decoded) = round_trip(&params, shape, &input);
    assert_eq!(floats(&payload[..head.len()]), floats(head), "mean and largest");
    assert_eq!(&payload[head.len()..][..600], indices, "indices");
    let mean = floats(head)[0];
    // The first value of each block has the table entry 1.
    let decoded: Vec<f32> = floats(&decoded).into_iter().step_by(16).collect();
    for (ours, golden) in decoded.iter().zip(floats(back)) {
        // One unit in the last place of the table entry, and one of the sum.
        let allowed = ((golden - mean).abs() + golden.abs()) * f32::EPSILON;
        assert!((ours - golden).abs() <= allowed, "{ours} {golden}");
    }
}

proptest! {
    #[test]
    fn the_error_is_within_the_stated_bound(
        (channels, values) in (1_usize..200).prop_flat_map(|channels| {
            let value = prop_oneof![8 => -4.0_f32..4.0, 1 => -6e4_f32..6e4];
            (Just(channels), prop::collection::vec(value, channels * 3))
        }),
        block in 16_usize..80,
        fp4 in any::<bool>(),
    ) {
        let shape = Shape { rows: 3, channels, dtype: Dtype::F32 };
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let (code, gap) = if fp4 { ("fp4", FP4_GAP) } else { ("nf4", NF4_GAP) };
        let (_, back) = round_trip(&json!({ "code": code, "block": block }), shape, &bytes);
        let back = floats(&back);
        for (row, back) in values.chunks(channels).zip(back.chunks(channels)) {
            for (values, back) in row.chunks(block).zip(back.chunks(block)) {
                let absmax = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                for (value, back) in values.iter().zip(back) {
                    prop_assert!((value - back).abs() <= gap * absmax, "{} {}", value, back);
                }
            }
        }
    }
}

#[test]
fn non_finite_values_do_not_spread() {
    let mut values = vec![1.0_f32; 64];
    values[0] = f32::NAN;
    values.extend([f32::NEG_INFINITY, 5.0]);
    let shape = Shape { rows: 1, channels: 66, dtype: Dtype::F32 };
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let back = floats(&round_trip(&json!({}), shape, &bytes).1);
    assert_eq!((back[0], back[1], back[64], back[65]), (0.0, 1.0, f32::MIN, 0.0));
}

fn round_trip(params: &Value, shape: Shape, input: &[u8]) -> (Vec<u8>, Vec<u8>) {
    round_trip_of::<Blockfloat>(params, shape, input)
}

/// The payload and the decoded bytes.
fn round_trip_of<C: Codec>(params: &Value, shape: Shape, input: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let open = || C::open(C::Params::from_json(params).unwrap()).unwrap();
    let mut payload = Vec::new();
    open().encode(Message::new(shape, input, &[]).unwrap(), &mut payload).unwrap();
    let mut output = vec![0; shape.bytes()];
    open().decode(&payload, &mut MessageMut::new(shape, &mut output).unwrap()).unwrap();
    (payload, output)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}
