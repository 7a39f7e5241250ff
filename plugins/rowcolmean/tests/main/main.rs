//! rowcolmean against torch, and the conformance kit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use strait_codec_kit::bits::BitReader;
use strait_conformance::case;
use strait_rowcolmean::{Rowcolmean, RowcolmeanParams, Store};
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{self, Value, json};
use strait_sdk::widen;

strait_conformance::check!(
    Rowcolmean,
    [
        case!({}).bits_per_value(8.0),
        case!({ "token_block": 2, "channel_block": 2 }).bits_per_value(16.0),
        case!({ "token_block": 2, "channel_block": 16, "store": "bf16" }).bits_per_value(9.0),
        case!({ "token_block": 16, "channel_block": 16, "permute_tokens": true, "permute_channels": true })
            .bits_per_value(2.0 + 13.0 / 64.0 + 6.0 / 5120.0),
        case!({ "token_block": 0, "channel_block": 0 }).bits_per_value(16.0 * 5184.0 / 327_680.0),
    ]
);

#[test]
fn means_orders_and_values_are_those_of_the_golden_file() {
    let golden: Value = serde_json::from_str(include_str!("../../golden/golden.json")).unwrap();
    let size = |name: &str| golden[name].as_u64().unwrap() as usize;
    let (rows, channels) = (size("rows"), size("channels"));
    let shape = Shape { rows, channels, dtype: Dtype::F32 };
    let input = words(&golden["input"]);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["params"].to_string();
        let params = RowcolmeanParams::from_json(&case["params"]).unwrap();
        let (payload, back) = round_trip(&params, shape, &input);
        let mut rest = &payload[..];
        let wanted = [
            (params.permute_tokens, "tokens", rows, 3),
            (params.permute_channels, "channels", channels, 5),
        ];
        for (_, key, count, width) in wanted.into_iter().filter(|(wanted, ..)| *wanted) {
            let (bytes, after) = rest.split_at((count * width).div_ceil(8));
            rest = after;
            let mut reader = BitReader::new(bytes);
            let order: Vec<u32> = (0..count).map(|_| reader.get(width as u32).unwrap()).collect();
            let golden: Vec<u32> = serde_json::from_value(case[key].clone()).unwrap();
            assert_eq!(order, golden, "{name}: {key}");
        }
        let dtype = if params.store == Store::F16 { Dtype::F16 } else { Dtype::BF16 };
        let mut means = vec![0.0; rest.len() / 2];
        widen(dtype, rest, &mut means);
        let golden = [words(&case["rows"]), words(&case["columns"])].concat();
        assert_eq!(means, floats(&golden), "{name}: means");
        for (ours, golden) in floats(&back).iter().zip(floats(&words(&case["back"]))) {
            // The grand mean is a sum in another order.
            assert!((ours - golden).abs() <= 1e-6, "{name}: {ours} {golden}");
        }
    }
}

proptest! {
    #[test]
    fn a_sum_of_tokens_and_channels_comes_back_in_any_order(
        tokens in prop::collection::vec(-30.0_f32..30.0, 1..20),
        channels in prop::collection::vec(-30.0_f32..30.0, 1..40),
        token_block in 0_usize..9,
        channel_block in 0_usize..9,
        orders in 0_usize..4,
    ) {
        // Zeros that fill up a block are no such sum: whole blocks only.
        let cut = |count: usize, block: usize| count - count.checked_rem(block).unwrap_or(0);
        let rows = cut(tokens.len(), token_block);
        let columns = cut(channels.len(), channel_block);
        let shape = Shape { rows, channels: columns, dtype: Dtype::F32 };
        let values: Vec<f32> = tokens[..rows]
            .iter()
            .flat_map(|token| channels[..columns].iter().map(move |channel| token + channel))
            .collect();
        let input: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let params = RowcolmeanParams::from_json(&json!({
            "token_block": token_block,
            "channel_block": channel_block,
            "permute_tokens": orders % 2 == 1,
            "permute_channels": orders > 1,
        })).unwrap();
        let (payload, back) = round_trip(&params, shape, &input);
        for (value, back) in values.iter().zip(floats(&back)) {
            // Three roundings to f16 of magnitudes up to 60.
            prop_assert!((value - back).abs() <= 0.05, "{value} {back}");
        }
        let mut codec = Rowcolmean::open(params).unwrap();
        let mut output = vec![0; shape.bytes()];
        for cut in 0..payload.len() {
            let mut message = MessageMut::new(shape, &mut output).unwrap();
            prop_assert!(codec.decode(&payload[..cut], &mut message).is_err());
        }
    }
}

fn round_trip(params: &RowcolmeanParams, shape: Shape, input: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let open = || Rowcolmean::open(params.clone()).unwrap();
    let mut payload = Vec::new();
    open().encode(Message::new(shape, input, &[]).unwrap(), &mut payload).unwrap();
    let mut output = vec![0; shape.bytes()];
    open().decode(&payload, &mut MessageMut::new(shape, &mut output).unwrap()).unwrap();
    (payload, output)
}

fn words(value: &Value) -> Vec<u8> {
    let words: Vec<u32> = serde_json::from_value(value.clone()).unwrap();
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}
