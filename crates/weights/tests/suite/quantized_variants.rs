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
