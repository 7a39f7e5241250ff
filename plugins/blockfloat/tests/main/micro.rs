//! mx and nvfp4 against torchao and compressed-tensors, their stated errors, and the conformance kit.

use strait_blockfloat::{Mx, Nvfp4};
use strait_codec_kit::bits;
use strait_conformance::{Case, Sample, case};
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{Value, json};

use crate::{floats, round_trip_of};

const SHAPE: Shape = Shape { rows: 12, channels: 64, dtype: Dtype::F32 };
const FORMATS: [(&str, u32); 6] = [
    ("mxfp4", 4),
    ("mxfp6_e2m3", 6),
    ("mxfp6_e3m2", 6),
    ("mxfp8_e4m3", 8),
    ("mxfp8_e5m2", 8),
    ("mxint8", 8),
];

strait_conformance::check!(
    mod mx: Mx,
    [
        // Share of the block's largest magnitude: half the widest gap, or what saturates, of the
        // largest over 2^e where the scale is rounded down, of the largest where it is rounded up.
        bounded(json!({}), 0.25).bits_per_value(4.25),
        bounded(json!({ "scale": "even" }), 0.25),
        bounded(json!({ "scale": "ceil" }), 1.0 / 3.0),
        bounded(json!({ "format": "mxfp6_e2m3" }), 0.0625).bits_per_value(6.25),
        bounded(json!({ "format": "mxfp6_e3m2" }), 0.125),
        bounded(json!({ "format": "mxfp8_e4m3" }), 0.125).bits_per_value(8.25),
        bounded(json!({ "format": "mxfp8_e5m2" }), 0.125),
        bounded(json!({ "format": "mxint8" }), 1.0 / 128.0).bits_per_value(8.25),
        bounded(json!({ "format": "mxint8", "scale": "ceil" }), 1.0 / 127.0),
        case!({ "format": "mxfp8_e4m3", "scale": "ceil" }),
    ]
);

strait_conformance::check!(
    mod nvfp4: Nvfp4,
    [
        // Half the gap between 4 and 6, and the rounding of the scale in e4m3: a sixteenth, or half
        // a subnormal step where a block is small beside the message's largest value.
        case!({})
            .bound(|sample| bound(sample, 16, |most, all| {
                (1.0 / 6.0 + 1.0 / 16.0) * 1.07 * most + all * 6.0 / (448.0 * 6.0 * 8.0)
            }))
            .bits_per_value(4.5 + 32.0 / (64.0 * 5120.0)),
    ]
);

fn bounded(params: Value, share: f32) -> Case {
    Case::new(params).bound(move |sample| bound(sample, 32, |most, _| share * most))
}

/// The stated error from the largest magnitudes of the block and of the message.
fn bound(sample: &Sample, block: usize, of: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let largest = |values: &[f32]| values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let all = largest(sample.values());
    let rows = sample.values().chunks(sample.shape().channels.max(1));
    let blocks = rows.flat_map(|row| row.chunks(block));
    blocks.flat_map(|values| values.iter().map(|_| of(largest(values), all) * 1.000_001)).collect()
}

#[test]
fn scales_codes_and_values_are_those_of_torchao() {
    let golden: &[u8] = include_bytes!("../../golden/mx.bin");
    let (input, mut rest) = golden.split_at(SHAPE.bytes());
    for (format, width) in FORMATS {
        for rule in ["floor", "even", "ceil"] {
            let name = format!("{format} {rule}");
            let (scales, after) = rest.split_at(24);
            let (codes, after) = after.split_at(SHAPE.values());
            let (back, after) = after.split_at(SHAPE.bytes());
            rest = after;
            let params = json!({ "format": format, "scale": rule });
            let (payload, decoded) = round_trip_of::<Mx>(&params, SHAPE, input);
            assert_eq!(&payload[..24], scales, "{name}: scales");
            let ours = bits::unpack(width, &payload[24..], SHAPE.values()).unwrap();
            assert_eq!(ours, codes, "{name}: codes");
            assert_eq!(floats(&decoded), floats(back), "{name}: values");
        }
    }
    assert!(rest.is_empty());
}

#[test]
fn global_scale_scales_codes_and_values_are_those_of_compressed_tensors() {
    let golden: &[u8] = include_bytes!("../../golden/nvfp4.bin");
    let (input, rest) = golden.split_at(SHAPE.bytes());
    let (head, rest) = rest.split_at(4 + 48);
    let (codes, back) = rest.split_at(SHAPE.values());
    let (payload, decoded) = round_trip_of::<Nvfp4>(&json!({}), SHAPE, input);
    assert_eq!(&payload[..4], &head[..4], "global scale");
    assert_eq!(&payload[4..52], &head[4..], "scales");
    assert_eq!(bits::unpack(4, &payload[52..], SHAPE.values()).unwrap(), codes, "codes");
    assert_eq!(floats(&decoded), floats(back), "values");
}

#[test]
fn scales_that_are_no_numbers_are_errors() {
    let shape = Shape { rows: 1, channels: 16, dtype: Dtype::F32 };
    let mut output = vec![0; shape.bytes()];
    let mut message = MessageMut::new(shape, &mut output).unwrap();
    let mut mx = Mx::open(Params::from_json(&json!({})).unwrap()).unwrap();
    let error = mx.decode(&[255, 0, 0, 0, 0, 0, 0, 0, 0], &mut message).unwrap_err();
    assert!(error.to_string().contains("255"), "{error}");
    let mut nvfp4 = Nvfp4::open(NoParams).unwrap();
    for (global, scale) in [(f32::NAN, 56), (0.0, 56), (1.0, 0x7f), (1.0, 0), (1.0, 0x80)] {
        let mut payload = global.to_le_bytes().to_vec();
        payload.push(scale);
        payload.extend([0; 8]);
        assert!(nvfp4.decode(&payload, &mut message).is_err(), "{global} {scale}");
    }
}

#[test]
fn non_finite_values_do_not_spread() {
    let mut values = [1.0_f32; 48];
    (values[0], values[40]) = (f32::NAN, f32::NEG_INFINITY);
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = Shape { rows: 1, channels: 48, dtype: Dtype::F32 };
    for (format, _) in FORMATS {
        let params = json!({ "format": format, "scale": "ceil" });
        let back = floats(&round_trip_of::<Mx>(&params, shape, &bytes).1);
        assert!(back[0] == 0.0 && (back[1] - 1.0).abs() < 0.1, "{format}: {back:?}");
        assert!(back[40] < -1e38 && back.iter().all(|value| value.is_finite()), "{format}");
    }
    let back = floats(&round_trip_of::<Nvfp4>(&json!({}), shape, &bytes).1);
    assert!(back[0] == 0.0 && back[40] < -1e38 && back.iter().all(|value| value.is_finite()));
}
