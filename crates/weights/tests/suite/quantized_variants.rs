//! Small variants that no golden has: values worked out by hand.

use serde_json::{Value, json};

use crate::quantized_errors::{Tensor, floats, halves, ints, open};

fn dense(config: Value, tensors: &[Tensor<'_>]) -> Vec<f32> {
    open(config, tensors).unwrap().tensor("q.weight").unwrap().data
}

#[test]
fn modules_of_dynamic_gptq_have_the_width_of_their_shapes() {
    let config = json!({"quant_method": "gptq", "bits": 4, "group_size": 4, "dynamic": {"+:q": {"bits": 8, "group_size": 2}}});
    let codes = [[1, 2, 3, 254], [0, 1, 128, 255]].map(i32::from_le_bytes);
    let tensors: [Tensor<'_>; 4] = [
        ("q.qweight", "I32", &[2, 1], ints(&codes)),
        ("q.qzeros", "I32", &[4, 1], ints(&[0, 1, 2, 3])),
        ("q.scales", "F16", &[4, 1], halves(&[2.0, 0.5, 1.0, 1.0])),
        ("q.g_idx", "I32", &[8], ints(&[0, 0, 1, 1, 2, 2, 3, 3])),
    ];
    assert_eq!(dense(config.clone(), &tensors), [0.0, 2.0, 0.5, 126.0, -3.0, -2.0, 124.0, 251.0]);
    let format = open(config, &tensors).unwrap().info("q.weight").unwrap().format.clone();
    assert_eq!(format, "gptq int8 g2");
}

#[test]
fn zero_points_of_all_ones_mean_two_to_the_bits() {
    let config = |version| json!({"quant_method": "gptq", "bits": 2, "group_size": -1, "checkpoint_format": version});
    let tensors: [Tensor<'_>; 3] = [
        ("q.qweight", "I32", &[1, 1], ints(&[0b11])),
        ("q.qzeros", "I32", &[1, 1], ints(&[0b11])),
        ("q.scales", "F32", &[1, 1], floats(&[1.0])),
    ];
    assert_eq!(dense(config("gptq"), &tensors)[..2], [-1.0, -4.0]);
    assert_eq!(dense(config("gptq_v2"), &tensors)[..2], [0.0, -3.0]);
}

#[test]
fn fp8_scales_may_be_one_number_or_powers_of_two() {
    let weight = || vec![0x38, 0xb8, 0x40, 0x00];
    let mut config = json!({"quant_method": "fp8"});
    let tensors: [Tensor<'_>; 2] = [
        ("q.weight", "F8_E4M3", &[2, 2], weight()),
        ("q.weight_scale", "F32", &[], floats(&[0.75])),
    ];
    assert_eq!(dense(config.clone(), &tensors), [0.75, -0.75, 1.5, 0.0]);
    config["weight_block_size"] = json!([1, 2]);
    let tensors: [Tensor<'_>; 2] = [
        ("q.weight", "F8_E4M3", &[2, 2], weight()),
        ("q.weight_scale_inv", "F8_E8M0", &[2, 1], vec![128, 126]),
    ];
    assert_eq!(dense(config.clone(), &tensors), [2.0, -2.0, 1.0, 0.0]);
    let tensors: [Tensor<'_>; 2] = [
        ("q.weight", "F8_E4M3", &[2, 2], weight()),
        ("q.weight_scale_inv", "F8_E8M0", &[2, 1], vec![128, 255]),
    ];
    let error = open(config, &tensors).unwrap().tensor("q.weight").unwrap_err().to_string();
    assert!(error.contains("expected finite values, found NaN at index 1"), "{error}");
}

#[test]
fn narrow_and_wide_floats_without_scales_are_read() {
    let wide = [1.5f64, -2.0f64.powi(-200)].map(f64::to_le_bytes).concat();
    let tensors: [Tensor<'_>; 3] = [
        ("a", "F8_E4M3", &[2], vec![0x7e, 0x81]),
        ("b", "F8_E5M2", &[2], vec![0x3c, 0xc0]),
        ("c", "F64", &[2], wide),
    ];
    let checkpoint = crate::safetensors::open(crate::quantized_errors::build(&tensors)).unwrap();
    assert_eq!(checkpoint.tensor("a").unwrap().data, [448.0, -2f32.powi(-9)]);
    assert_eq!(checkpoint.tensor("b").unwrap().data, [1.0, -2.0]);
    assert_eq!(checkpoint.tensor("c").unwrap().data, [1.5, -0.0]);
}

#[test]
fn an_ignored_module_stays_dense_beside_quantized_ones() {
    let config = json!({
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "config_groups": {
            "a": {"targets": ["Linear"], "weights": {"num_bits": 8, "strategy": "channel"}},
            "b": {"targets": ["re:.*q$"], "weights": {"num_bits": 8, "strategy": "tensor"}},
        },
        "ignore": ["lm_head"],
    });
    let tensors: [Tensor<'_>; 4] = [
        ("lm_head.weight", "F32", &[1, 1], floats(&[3.0])),
        ("q.weight", "I8", &[2, 1], vec![2, 0xff]),
        ("q.weight_scale", "F32", &[1], floats(&[0.5])),
        ("q.input_scale", "F32", &[1], floats(&[9.0])),
    ];
    let checkpoint = open(config, &tensors).unwrap();
    assert_eq!(
        checkpoint.tensor("q.weight").unwrap().data,
        [1.0, -0.5],
        "a pattern goes before a class"
    );
    assert_eq!(checkpoint.tensor("lm_head.weight").unwrap().data, [3.0]);
    assert_eq!(checkpoint.tensor_infos().count(), 2);
    assert_eq!(checkpoint.info("q.weight").unwrap().stored_bytes, 2 + 4 + 4);
}

/// Codes of eight 4-bit integers, the first lowest.
fn word(codes: [u32; 8]) -> i32 {
    codes.iter().rev().fold(0u32, |word, code| word << 4 | code).cast_signed()
}

#[test]
fn awq_of_the_gemv_layout_is_in_plain_order_with_padded_groups() {
    let config = json!({"quant_method": "awq", "version": "gemv", "bits": 4, "group_size": 8, "zero_point": true});
    let scales: Vec<f32> = [[1.0, 0.5], [2.0, 4.0]]
        .iter()
        .flat_map(|scales| [scales.as_slice(), &[9.0; 14]].concat())
        .collect();
    let tensors: [Tensor<'_>; 3] = [
        (
            "q.qweight",
            "I32",
            &[2, 2],
            ints(&[
                word([0, 1, 2, 3, 4, 5, 6, 7]),
                word([8; 8]),
                word([1; 8]),
                word([15, 0, 0, 0, 0, 0, 0, 0]),
            ]),
        ),
        (
            "q.qzeros",
            "I32",
            &[2, 2],
            ints(&[word([1, 8, 0, 0, 0, 0, 0, 0]), 0, word([0, 7, 0, 0, 0, 0, 0, 0]), 0]),
        ),
        ("q.scales", "F16", &[2, 16], halves(&scales)),
    ];
    let found = dense(config.clone(), &tensors);
    assert_eq!(found[..8], [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(found[8..16], [0.0; 8]);
    assert_eq!(found[16..24], [2.0; 8]);
    assert_eq!(found[24..26], [32.0, -28.0]);
    let checkpoint = open(config, &tensors).unwrap();
    assert_eq!(checkpoint.info("q.weight").unwrap().format, "awq int4 g8 gemv");
}

#[test]
fn auto_round_packs_as_gptq_or_awq_do() {
    let codes = ints(&[word([0, 1, 2, 3, 4, 5, 6, 15]); 8]);
    let gptq: [Tensor<'_>; 3] = [
        ("q.qweight", "I32", &[1, 8], codes),
        ("q.qzeros", "I32", &[1, 1], ints(&[word([7; 8])])),
        ("q.scales", "F16", &[1, 8], halves(&[0.5; 8])),
    ];
    let mut config = json!({
        "quant_method": "auto-round", "packing_format": "auto_round:auto_gptq", "bits": 4, "group_size": 8, "sym": true,
        "data_type": "int", "autoround_version": "0.5.1",
    });
    let expected = [-4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, 3.5];
    assert_eq!(dense(config.clone(), &gptq)[..8], expected);
    assert_eq!(open(config.clone(), &gptq).unwrap().unread_keys(), []);
    config["act_bits"] = json!(8);
    assert_eq!(open(config.clone(), &gptq).unwrap().weights_only(), ["input activations int8"]);
    config["packing_format"] = json!("auto_round:auto_awq");
    let awq: [Tensor<'_>; 3] = [
        ("q.qweight", "I32", &[8, 1], ints(&[word([8; 8]); 8])),
        ("q.qzeros", "I32", &[1, 1], ints(&[word([8; 8])])),
        ("q.scales", "F16", &[1, 8], halves(&[0.5; 8])),
    ];
    assert_eq!(dense(config.clone(), &awq), [0.0; 64]);
    config["packing_format"] = json!("auto_round:fp8_static");
    let error = open(config, &awq).err().unwrap().to_string();
    assert!(error.contains("packing_format: expected \"auto_round:auto_gptq\""), "{error}");
}

#[test]
fn llm_int8_needs_no_method() {
    let config =
        json!({"load_in_8bit": true, "llm_int8_threshold": 6.0, "llm_int8_skip_modules": null});
    let tensors: [Tensor<'_>; 2] =
        [("q.weight", "I8", &[1, 2], vec![127, 0x81]), ("q.SCB", "F32", &[1], floats(&[2.0]))];
    let found = dense(config.clone(), &tensors);
    assert!((found[0] - 2.0).abs() < 1e-6 && found[0] == -found[1], "{found:?}");
    let checkpoint = open(config, &tensors).unwrap();
    assert_eq!((checkpoint.unread_keys(), checkpoint.weights_only().len()), (&[][..], 1));
}

#[test]
fn torchao_names_the_parts_of_a_weight() {
    let config = |kind: &str| {
        json!({
            "quant_method": "torchao", "include_input_output_embeddings": false, "untie_embedding_weights": false,
            "quant_type": {"default": {
                "_type": kind, "_version": 2,
                "_data": {
                    "granularity": {"_data": {"dim": -1}, "_type": "PerRow", "_version": 1},
                    "group_size": null, "set_inductor_config": true,
                },
            }},
        })
    };
    let tensors: [Tensor<'_>; 2] = [
        ("q._weight_qdata", "I8", &[2, 2], vec![1, 0xff, 2, 3]),
        (
            "q._weight_scale",
            "BF16",
            &[2, 1],
            [1.5f32, 0.25].map(|v| half::bf16::from_f32(v).to_le_bytes()).concat(),
        ),
    ];
    let config_8 = config("Int8WeightOnlyConfig");
    assert_eq!(dense(config_8.clone(), &tensors), [1.5, -1.5, 0.5, 0.75]);
    let checkpoint = open(config_8, &tensors).unwrap();
    assert_eq!(checkpoint.unread_keys(), []);
    assert_eq!(checkpoint.info("q.weight").unwrap().format, "torchao int8 channel");
    let error = open(config("Int4WeightOnlyConfig"), &tensors).err().unwrap().to_string();
    assert!(
        error.contains("quant_type.default._type: expected Int8WeightOnlyConfig, Int8Dyn"),
        "{error}"
    );
}

#[test]
fn mlx_adds_a_bias_after_a_rounded_product() {
    let config = json!({"group_size": 32, "bits": 4, "mode": "affine", "lm_head": {"group_size": 32, "bits": 2}});
    let bf16 = |values: &[f32]| -> Vec<u8> {
        values.iter().flat_map(|value| half::bf16::from_f32(*value).to_le_bytes()).collect()
    };
    let mut codes = vec![word([0, 1, 2, 3, 4, 5, 6, 15])];
    codes.extend([0; 3]);
    let (scale, bias) = (0.100_097_656, -1.5);
    let tensors: [Tensor<'_>; 6] = [
        ("q.weight", "U32", &[1, 4], ints(&codes)),
        ("q.scales", "BF16", &[1, 1], bf16(&[scale])),
        ("q.biases", "BF16", &[1, 1], bf16(&[bias])),
        ("lm_head.weight", "U32", &[1, 2], ints(&[0b11_10_01_00, 0])),
        ("lm_head.scales", "BF16", &[1, 1], bf16(&[1.0])),
        ("lm_head.biases", "BF16", &[1, 1], bf16(&[0.5])),
    ];
    let round = |value: f32| half::bf16::from_f32(value).to_f32();
    let found = dense(config.clone(), &tensors);
    for (found, code) in found[..8].iter().zip([0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 15.0]) {
        assert_eq!(*found, round(round(code * round(scale)) + bias));
    }
    let checkpoint = open(config, &tensors).unwrap();
    assert_eq!(checkpoint.unread_keys(), []);
    assert_eq!(checkpoint.tensor("lm_head.weight").unwrap().data[..5], [0.5, 1.5, 2.5, 3.5, 0.5]);
    assert_eq!(checkpoint.info("q.weight").unwrap().format, "mlx int4 g32");
    assert_eq!(checkpoint.info("lm_head.weight").unwrap().format, "mlx int2 g32");
    let mx = json!({"group_size": 32, "bits": 4, "mode": "mxfp4"});
    let tensors: [Tensor<'_>; 2] =
        [("q.weight", "U32", &[1, 4], ints(&codes)), ("q.scales", "U8", &[1, 1], vec![128])];
    assert_eq!(dense(mx, &tensors)[..8], [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, -12.0]);
}

#[test]
fn what_is_done_to_inputs_is_folded_into_columns() {
    let config = json!({"quant_method": "modelopt", "quant_algo": "FP8"});
    let mut tensors: Vec<Tensor<'_>> = vec![
        ("q.weight", "F8_E4M3", &[1, 2], vec![0x38, 0x40]),
        ("q.weight_scale", "F32", &[], floats(&[1.0])),
        ("q.pre_quant_scale", "F16", &[2], halves(&[3.0, 0.5])),
    ];
    assert_eq!(dense(config.clone(), &tensors), [3.0, 1.0]);
    let checkpoint = open(config.clone(), &tensors).unwrap();
    assert_eq!(checkpoint.info("q.weight").unwrap().stored_bytes, 2 + 4 + 4);
    assert_eq!(checkpoint.weights_only(), ["input activations FP8"]);
    tensors[2] = ("q.pre_quant_scale", "F16", &[3], halves(&[1.0; 3]));
    let error = open(config, &tensors).err().unwrap().to_string();
    assert!(error.contains("q.pre_quant_scale\": expected 2 values, one an input"), "{error}");
}

fn rotated(location: &str, change: impl Fn(&mut Value)) -> Value {
    let mut group = json!({
        "type": "hadamard",
        "apply": [
            {"targets": ["re:.*q$"], "location": location, "inverse": false, "ignore": []},
            {"targets": ["re:.*q$"], "location": "weight_input", "inverse": true, "ignore": []},
        ],
        "randomize": false,
        "precision": "torch.float32",
    });
    change(&mut group);
    json!({
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "config_groups": {"a": {"targets": ["Linear"], "weights": {"num_bits": 8, "strategy": "channel"}}},
        "ignore": ["dense.q"],
        "transform_config": {"config_groups": {"R4": group}},
    })
}

#[test]
fn rotations_of_inputs_are_applied_or_refused() {
    let tensors: [Tensor<'_>; 3] = [
        ("q.weight", "I8", &[1, 4], vec![2, 0, 0, 4]),
        ("q.weight_scale", "F32", &[1, 1], floats(&[1.0])),
        ("dense.q.weight", "F32", &[1, 4], floats(&[2.0, 0.0, 0.0, 4.0])),
    ];
    let config = rotated("input", |_| {});
    assert_eq!(dense(config.clone(), &tensors), [3.0, -1.0, -1.0, 3.0]);
    let checkpoint = open(config, &tensors).unwrap();
    assert_eq!(checkpoint.unread_keys(), []);
    assert_eq!(checkpoint.tensor("dense.q.weight").unwrap().data, [3.0, -1.0, -1.0, 3.0]);
    let halves = rotated("input", |group| group["head_dim"] = json!(2));
    let root = 2f32.sqrt();
    assert_eq!(dense(halves, &tensors), [2.0 / root, 2.0 / root, 4.0 / root, -4.0 / root]);
    let ignored = rotated("input", |group| group["apply"][0]["ignore"] = json!(["q"]));
    assert_eq!(dense(ignored, &tensors), [2.0, 0.0, 0.0, 4.0]);

    let refused = |config: Value| open(config, &tensors).err().unwrap().to_string();
    for (config, expected) in [
        (rotated("output", |_| {}), "apply[0].location: expected input, weight_input"),
        (rotated("q_attn", |_| {}), "apply: expected both q_attn and k_cache, or neither"),
        (
            rotated("input", |group| group["type"] = json!("random-hadamard")),
            "R4.type: expected \"hadamard\"",
        ),
        (
            rotated("input", |group| group["randomize"] = json!(true)),
            "R4.randomize: expected false",
        ),
        (
            rotated("input", |group| group["head_dim"] = json!(3)),
            "R4.head_dim: expected a power of two",
        ),
        (rotated("input", |group| group["head_dim"] = json!(8)), "found blocks of 8 for 4 inputs"),
    ] {
        let error = refused(config);
        assert!(error.contains(expected), "{error}");
    }
    let odd = rotated("input", |group| group["apply"][0]["angle"] = json!(1));
    let unread = open(odd, &tensors).unwrap().unread_keys().to_vec();
    let place = "quantization_config.transform_config.config_groups.R4.apply[0].angle";
    assert_eq!((unread.len(), unread[0].name.as_str()), (1, place));
}

#[test]
fn gptq_of_one_version_under_the_name_of_the_other_is_refused() {
    let config = |version: &str, symmetric: Value| json!({"quant_method": "gptq", "bits": 4, "group_size": 8, "checkpoint_format": version, "sym": symmetric});
    let tensors = |zeros: [u32; 8]| -> [Tensor<'static>; 3] {
        [
            ("q.qweight", "I32", &[1, 8], ints(&[0; 8])),
            ("q.qzeros", "I32", &[1, 1], ints(&[word(zeros)])),
            ("q.scales", "F16", &[1, 8], halves(&[1.0; 8])),
        ]
    };
    let (first, second) = ([7; 8], [8; 8]);
    for symmetric in [json!(true), Value::Null] {
        assert_eq!(dense(config("gptq", symmetric.clone()), &tensors(first)), [-8.0; 64]);
        assert_eq!(dense(config("gptq_v2", symmetric.clone()), &tensors(second)), [-8.0; 64]);
        for (version, zeros) in [("gptq", second), ("gptq_v2", first)] {
            let checkpoint = open(config(version, symmetric.clone()), &tensors(zeros)).unwrap();
            let error = checkpoint.tensor("q.weight").unwrap_err().to_string();
            assert!(error.contains("the configuration names the wrong version"), "{error}");
        }
    }
    let mixed = [7, 7, 7, 7, 7, 7, 7, 6];
    let checkpoint = open(config("gptq", json!(true)), &tensors(mixed)).unwrap();
    let error = checkpoint.tensor("q.weight").unwrap_err().to_string();
    assert!(
        error.contains("zero points of 8, as the configuration says \"sym\", found 7"),
        "{error}"
    );
    assert_eq!(dense(config("gptq", json!(false)), &tensors(second))[0], -9.0);
}
