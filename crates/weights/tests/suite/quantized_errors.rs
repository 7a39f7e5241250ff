//! Quantized checkpoints that are wrong in one place: each is refused with what was expected and what was found.

use std::path::Path;

use serde_json::{Value, json};
use strait_weights::{Checkpoint, WeightsError};

use crate::message;
use crate::quantized::stored;
use crate::safetensors::file;

/// A tensor of a file that is built here: name, type, shape, bytes.
pub(crate) type Tensor<'a> = (&'a str, &'a str, &'a [usize], Vec<u8>);

pub(crate) fn build(tensors: &[Tensor<'_>]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(
            (*name).to_owned(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}),
        );
        data.extend_from_slice(bytes);
    }
    file(&Value::Object(header).to_string(), &data)
}

pub(crate) fn open(config: Value, tensors: &[Tensor<'_>]) -> Result<Checkpoint, WeightsError> {
    let config = json!({"quantization_config": config});
    Checkpoint::from_safetensors_bytes(Path::new("m"), config, build(tensors))
}

/// The message of opening, or else of reading the first tensor.
fn refusal(config: Value, tensors: &[Tensor<'_>]) -> String {
    match open(config, tensors) {
        Err(error) => error.to_string(),
        Ok(checkpoint) => {
            let name = checkpoint.tensor_infos().next().unwrap().name.clone();
            checkpoint.tensor(&name).unwrap_err().to_string()
        }
    }
}

pub(crate) fn halves(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| half::f16::from_f32(*value).to_le_bytes()).collect()
}

pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(crate) fn ints(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn groups(weights: Value) -> Value {
    json!({"quant_method": "compressed-tensors", "config_groups": {"g": {"targets": ["Linear"], "weights": weights}}})
}

/// One GPTQ weight of 8 inputs and 8 outputs in two groups.
fn gptq() -> (Value, Vec<Tensor<'static>>) {
    let config = json!({"quant_method": "gptq", "bits": 4, "group_size": 4, "desc_act": true});
    let tensors = vec![
        ("q.qweight", "I32", &[1, 8][..], ints(&[1; 8])),
        ("q.qzeros", "I32", &[2, 1][..], ints(&[0; 2])),
        ("q.scales", "F16", &[2, 8][..], halves(&[1.0; 16])),
        ("q.g_idx", "I32", &[8][..], ints(&[0, 1, 0, 1, 0, 1, 0, 1])),
    ];
    (config, tensors)
}

const REMEDY: &str = "the file and its configuration do not belong together, or it was written wrongly: fetch or export it again";

#[test]
fn the_tiny_gptq_weight_itself_is_right() {
    let (config, tensors) = gptq();
    let checkpoint = open(config, &tensors).unwrap();
    // Code 1 in the lowest field, zero 0 + 1.
    let weight = checkpoint.tensor("q.weight").unwrap();
    assert_eq!(weight.data[..8], [0.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0]);
    let error = checkpoint.tensor("q.qweight").unwrap_err().to_string();
    assert_eq!(error, "m: no tensor named \"q.qweight\"; the nearest name is \"q.weight\"");
}

#[test]
fn wrong_parts_are_named() {
    type Change = fn(&mut Vec<Tensor<'static>>);
    let cases: [(Change, &str); 8] = [
        (
            |tensors| drop(tensors.remove(2)),
            "tensor \"q.weight\": expected q.scales, as gptq stores it, found only qweight, qzeros, g_idx",
        ),
        (
            |tensors| tensors[0] = ("q.qweight", "I32", &[2, 4], ints(&[1; 8])),
            "tensor \"q.qweight\": expected words for 8 inputs of 4 bits, found I32 [2, 4]",
        ),
        (|tensors| tensors[0].1 = "F32", "tensor \"q.qweight\": expected I32, found F32"),
        (
            |tensors| tensors[1] = ("q.qzeros", "I32", &[1, 2], ints(&[0; 2])),
            "tensor \"q.qzeros\": expected I32 [2, 1], found I32 [1, 2]",
        ),
        (
            |tensors| tensors[2] = ("q.scales", "F16", &[1, 8], halves(&[1.0; 8])),
            "tensor \"q.scales\": expected F16 or BF16 or F32 [2, 8], found F16 [1, 8]",
        ),
        (
            |tensors| tensors[2].3 = halves(&[[1.0; 15].as_slice(), &[f32::INFINITY]].concat()),
            "tensor \"q.scales\": expected finite values, found inf at index 15",
        ),
        (
            |tensors| tensors[3].3 = ints(&[0, 1, 0, 2, 0, 1, 0, 1]),
            "tensor \"q.g_idx\": expected groups from 0 to 1, found 2 at input 3",
        ),
        (
            |tensors| tensors[3].3 = ints(&[0, 1, 0, -1, 0, 1, 0, 1]),
            "tensor \"q.g_idx\": expected groups from 0 to 1, found -1 at input 3",
        ),
    ];
    for (change, expected) in cases {
        let (config, mut tensors) = gptq();
        change(&mut tensors);
        let found = refusal(config, &tensors);
        let remedy = if expected.contains("finite") {
            "the file is damaged: fetch it again"
        } else {
            REMEDY
        };
        assert_eq!(found, format!("m: {expected}; {remedy}"));
    }
}

#[test]
fn configurations_that_cannot_be_used_say_where() {
    let group = |change: Value| {
        let mut weights =
            json!({"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32});
        weights.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        groups(weights)
    };
    let cases = [
        (
            json!({"quant_method": "exl3"}),
            "quant_method: expected compressed-tensors, modelopt, fp8, gptq, awq, auto-round, bitsandbytes, torchao, mlx, hqq, aqlm, vptq, quanto, quark, fbgemm_fp8, mxfp4, bitnet, found \"exl3\"",
        ),
        (
            json!({}),
            "quant_method: expected compressed-tensors, modelopt, fp8, gptq, awq, auto-round, bitsandbytes, torchao, mlx, hqq, aqlm, vptq, quanto, quark, fbgemm_fp8, mxfp4, bitnet, found nothing",
        ),
        (json!({"quant_method": 4}), "quant_method: expected a text, found 4"),
        (json!({"quant_method": "gptq", "bits": 5}), "bits: expected 2, 3, 4 or 8, found 5"),
        (
            json!({"quant_method": "gptq", "bits": 4, "group_size": 0}),
            "group_size: expected -1 or above 0, found 0",
        ),
        (
            json!({"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"}),
            "checkpoint_format: expected \"gptq\" or \"gptq_v2\", found \"marlin\"",
        ),
        (
            json!({"quant_method": "awq", "version": "gemv_fast"}),
            "version: expected \"gemm\" or \"gemv\", found \"gemv_fast\"",
        ),
        (
            json!({"quant_method": "awq", "bits": 8}),
            "bits: expected 4, the only width of AWQ, found 8",
        ),
        (
            json!({"quant_method": "fp8", "weight_block_size": [128, 0]}),
            "weight_block_size: expected two positive numbers, found [128,0]",
        ),
        (
            json!({"quant_method": "modelopt", "quant_algo": "W4A8_AWQ"}),
            "quant_algo: expected NVFP4, W4A16_NVFP4, FP8, FP8_PER_CHANNEL_PER_TOKEN, MIXED_PRECISION, found W4A8_AWQ",
        ),
        (
            json!({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 32}),
            "group_size: expected 16, the only size of NVFP4, found 32",
        ),
        (
            json!({"quant_method": "compressed-tensors"}),
            "config_groups: expected an object of groups, found nothing",
        ),
        (
            json!({"quant_method": "compressed-tensors", "format": "marlin-24"}),
            "format: expected dense, naive-quantized, int-quantized, float-quantized, pack-quantized, nvfp4-pack-quantized, mxfp4-pack-quantized, mxfp8-quantized, mixed-precision, found \"marlin-24\"",
        ),
        (
            json!({"quant_method": "compressed-tensors", "config_groups": {}, "ignore": ["re:("]}),
            "ignore: expected a regular expression, found \"re:(\": Parsing error at position 6: Opening parenthesis without closing parenthesis",
        ),
        (
            group(json!({"num_bits": 9})),
            "config_groups.g.weights.num_bits: expected 1 to 8, found 9",
        ),
        (
            group(json!({"type": "nf"})),
            "config_groups.g.weights.type: expected \"int\" or \"float\", found nf",
        ),
        (
            group(json!({"group_size": -1})),
            "config_groups.g.weights.group_size: expected a positive number, found -1",
        ),
        (
            group(json!({"strategy": "token"})),
            "config_groups.g.weights.strategy: expected tensor, channel, group, tensor_group or block, found \"token\"",
        ),
        (
            group(json!({"strategy": "block"})),
            "config_groups.g.weights.block_structure: expected two positive numbers, found nothing",
        ),
    ];
    for (config, expected) in cases {
        let place = "m: quantization configuration: quantization_config.";
        assert_eq!(message(open(config, &[])), format!("{place}{expected}"));
    }
    assert_eq!(
        message(Checkpoint::from_safetensors_bytes(
            Path::new("m"),
            json!({}),
            build(&[("q.qweight", "I32", &[1, 1], ints(&[1]))])
        )),
        "m: quantization configuration: quantization_config: expected an object in config.json that says what the \
         quantized tensors mean, found none, but a tensor \"q.qweight\""
    );
}

#[test]
fn packed_integers_must_fit_their_shape() {
    let weights = |bits: u32| {
        groups(json!({"num_bits": bits, "type": "int", "strategy": "channel", "symmetric": true}))
    };
    let tensors = |inputs: i64, words: &'static [usize]| -> Vec<Tensor<'static>> {
        let count = words.iter().product::<usize>();
        vec![
            ("q.weight_packed", "I32", words, ints(&vec![0; count])),
            ("q.weight_scale", "F16", &[1, 1], halves(&[1.0])),
            ("q.weight_shape", "I64", &[2], [1i64, inputs].map(i64::to_le_bytes).concat()),
        ]
    };
    assert!(open(weights(3), &tensors(10, &[1, 1])).is_ok());
    assert!(open(weights(3), &tensors(32, &[1, 3])).is_ok());
    assert!(open(weights(3), &tensors(32, &[1, 4])).is_ok());
    // Two words of 20 values of 3 bits are either packing.
    for (inputs, words) in [(20, &[1, 2][..]), (32, &[1, 5][..])] {
        let found = message(open(weights(3), &tensors(inputs, words)));
        assert!(found.contains("and not both, found I32"), "{found}");
    }
    let found = message(open(weights(4), &tensors(-8, &[1, 1])));
    assert!(
        found.contains("expected 1 outputs, as weight_packed has, and the inputs, found [1, -8]"),
        "{found}"
    );
    let grouped = groups(json!({"num_bits": 4, "strategy": "group", "group_size": 5}));
    let found = message(open(grouped, &tensors(8, &[1, 1])));
    assert!(found.contains("expected inputs in whole groups of 5, found 8"), "{found}");
    let mut nonzero = tensors(8, &[1, 1]);
    nonzero.push(("q.weight_zero_point", "I8", &[1, 1], vec![3]));
    let found = refusal(weights(4), &nonzero);
    assert!(
        found.contains("zero points of 0, as the configuration says \"symmetric\", found 3"),
        "{found}"
    );
}

#[test]
fn ignored_and_untargeted_modules_must_not_be_quantized() {
    let tensors: [Tensor<'_>; 2] = [
        ("lm_head.weight", "I8", &[1, 2], vec![1, 2]),
        ("lm_head.weight_scale", "F32", &[1, 1], floats(&[0.5])),
    ];
    let mut config = groups(json!({"num_bits": 8, "strategy": "channel"}));
    let weight = open(config.clone(), &tensors).unwrap().tensor("lm_head.weight").unwrap();
    assert_eq!(weight.data, [0.5, 1.0]);
    config["ignore"] = json!(["re:lm_.*"]);
    let found = message(open(config.clone(), &tensors));
    assert!(
        found.contains("expected no quantized weight, as \"ignore\" names the module"),
        "{found}"
    );
    config["ignore"] = json!([]);
    config["config_groups"]["g"]["targets"] = json!(["re:model.*"]);
    let found = message(open(config, &tensors));
    assert!(found.contains("expected a group in config_groups whose targets mean"), "{found}");
}

#[test]
fn a_dense_and_a_quantized_weight_of_one_name_are_refused() {
    let (config, mut tensors) = gptq();
    tensors.push(("q.weight", "F32", &[1], floats(&[1.0])));
    let found = message(open(config, &tensors));
    assert!(
        found.contains(
            "either a dense tensor of this name or the parts of a quantized one, found both"
        ),
        "{found}"
    );
}

#[test]
fn four_bit_states_must_agree_with_their_tensors() {
    let state = |change: Value| {
        let mut state =
            json!({"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [2, 2]});
        state.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        state.to_string().into_bytes()
    };
    let name = "q.weight.quant_state.bitsandbytes__nf4";
    let cases = [
        (json!({"blocksize": 63}), "expected a power of two from 32 to 4096, found 63"),
        (json!({"dtype": "int8"}), "expected dtype float32, float16 or bfloat16, found int8"),
        (json!({"quant_type": "fp4"}), "expected quant_type \"nf4\", found fp4"),
        (json!({"shape": [2, 3]}), "expected half a byte for each value of [2, 3], found 2 bytes"),
        (
            json!({"shape": [u64::MAX, 3]}),
            "expected half a byte for each value of [18446744073709551615, 3], found 2 bytes",
        ),
        (json!({"shape": "x"}), "expected the JSON of a quantization state, found invalid type"),
    ];
    for (change, expected) in cases {
        let json = state(change);
        let shape = [json.len()];
        let found = message(open(
            json!({"quant_method": "bitsandbytes"}),
            &[
                ("q.weight", "U8", &[2, 1], vec![0x12, 0x34]),
                ("q.weight.absmax", "F32", &[1], floats(&[1.0])),
                ("q.weight.quant_map", "F32", &[16], floats(&[0.0; 16])),
                (name, "U8", &shape, json.clone()),
            ],
        ));
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn every_golden_part_is_needed() {
    // Without these a weight has the same values.
    let spare = [
        "a.g_idx",
        "b.g_idx",
        "int4_unused_order.weight_g_idx",
        "input_scale",
        "output_scale",
        "weight_format",
        "view_as_float",
        "offload_meta",
        "encoded_state_dict",
        "stores_quant_config",
        "channel_wise",
        "optimize",
        "round_zero",
        "unpack_view_dtype",
    ];
    let mut parts = 0;
    for name in crate::quantized::CHECKPOINTS {
        let (config, bytes) = stored(name);
        let act_order = config["quantization_config"]["desc_act"] == true;
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Map<String, Value> =
            serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let whole =
            Checkpoint::from_safetensors_bytes(Path::new(name), config.clone(), bytes.clone())
                .unwrap();
        for part in header.keys().filter(|key| *key != "__metadata__") {
            let plain =
                whole.info(part).is_some_and(|info| info.format.to_uppercase() == info.format);
            if plain || !act_order && spare.iter().any(|spare| part.ends_with(spare)) {
                continue;
            }
            parts += 1;
            // The part under another name is as good as absent.
            let mut renamed = header.clone();
            let entry = renamed.remove(part).unwrap();
            renamed.insert("elsewhere".to_owned(), entry);
            let file = file(&Value::Object(renamed).to_string(), &bytes[8 + length..]);
            let found = Checkpoint::from_safetensors_bytes(Path::new(name), config.clone(), file);
            match found {
                Err(WeightsError::QuantizedPart { .. }) => {}
                Err(other) => panic!("{name}: {part}: {other}"),
                Ok(checkpoint) => {
                    // Without its first part a module has no sign of a quantized weight.
                    let module = part.split(".weight").next().unwrap().trim_end_matches(".qweight");
                    let dense = format!("{module}.weight");
                    assert!(checkpoint.tensor(&dense).is_err(), "{name}: {part}");
                }
            }
        }
    }
    assert_eq!(parts, 583);
}
