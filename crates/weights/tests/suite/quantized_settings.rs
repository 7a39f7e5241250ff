//! What the configurations of MLX, torchao, HQQ, VPTQ, Quanto, Quark, FBGEMM, BitNet and gpt-oss may say about tensors, and
//! what is refused.

use std::path::Path;

use serde_json::{Value, json};
use strait_weights::Checkpoint;

use crate::message;
use crate::quantized::stored;
use crate::quantized_errors::{Tensor, build, floats, ints, open};

/// Makes a configuration wrong in one place.
type Change = fn(&mut Value);

fn refused(config: Value, tensors: &[Tensor<'_>]) -> String {
    match open(config, tensors) {
        Err(error) => error.to_string(),
        Ok(checkpoint) => checkpoint.tensor("q.weight").unwrap_err().to_string(),
    }
}

/// A weight of one row of 64 inputs, as MLX stores it with 4 bits.
fn mlx() -> Vec<Tensor<'static>> {
    vec![
        ("q.weight", "U32", &[1, 8][..], ints(&[0x7654_3210; 8])),
        ("q.scales", "F32", &[1, 1][..], floats(&[0.5])),
        ("q.biases", "F32", &[1, 1][..], floats(&[-1.0])),
    ]
}

#[test]
fn mlx_settings_of_a_module_do_not_mix_with_those_of_the_others() {
    let usual = json!({"group_size": 64, "bits": 4});
    let whole = open(usual.clone(), &mlx()).unwrap();
    assert_eq!(whole.tensor("q.weight").unwrap().data[..3], [-1.0, -0.5, 0.0]);
    // The module's own settings begin with MLX's defaults: affine, 4 bits, groups of 64.
    for own in [json!({"bits": 4}), json!({"group_size": 64}), json!(true)] {
        let config = json!({"group_size": 32, "bits": 8, "mode": "mxfp8", "q": own});
        if own == json!(true) {
            let error = refused(config, &mlx());
            assert!(error.contains("q.scales\": expected U8 [1, 1], found F32"), "{error}");
            continue;
        }
        let checkpoint = open(config, &mlx()).unwrap();
        assert_eq!(checkpoint.unread_keys(), []);
        assert_eq!(checkpoint.tensor("q.weight").unwrap(), whole.tensor("q.weight").unwrap());
    }
    let cases = [
        (json!({"group_size": 64, "bits": 7}), "bits: expected 2, 3, 4, 5, 6 or 8, found 7"),
        (json!({"group_size": 48, "bits": 4}), "group_size: expected 32, 64 or 128, found 48"),
        (
            json!({"group_size": 64, "bits": 4, "mode": "nf4"}),
            "mode: expected \"affine\", \"mxfp4\", \"mxfp8\" or \"nvfp4\", found \"nf4\"",
        ),
        (
            json!({"group_size": 32, "bits": 4, "mode": "nvfp4"}),
            "group_size: expected 16, the only number of this mode, found 32",
        ),
        (
            json!({"group_size": 64, "bits": 8}),
            "q.weight\": expected words for 64 inputs of 8 bits, found U32 [1, 8]",
        ),
        (
            json!({"group_size": 64, "bits": 4, "q": false}),
            "q.weight\": expected a dense weight, as the configuration says false for the module",
        ),
    ];
    for (config, expected) in cases {
        let error = refused(config, &mlx());
        assert!(error.contains(expected), "{error}");
    }
    // What is no module's name is no setting.
    let unread = open(json!({"group_size": 64, "bits": 4, "rotated": true}), &mlx()).unwrap();
    assert_eq!(unread.unread_keys()[0].name, "quantization_config.rotated");
}

#[test]
fn mlx_says_the_same_twice_and_quantizes_activations_apart() {
    let settings = json!({"group_size": 64, "bits": 4});
    let checkpoint = |config: Value| {
        Checkpoint::from_safetensors_bytes(Path::new("m"), config, build(&mlx())).unwrap()
    };
    let mut config = json!({"quantization_config": settings, "quantization": settings});
    assert_eq!(checkpoint(config.clone()).unread_keys(), []);
    config["quantize_activations"] = json!(true);
    assert_eq!(checkpoint(config.clone()).weights_only(), ["input activations"]);
    config["quantization"]["bits"] = json!(8);
    assert_eq!(checkpoint(config).unread_keys()[0].name, "quantization");
    let alone = checkpoint(json!({"quantization": settings}));
    assert_eq!(alone.info("q.weight").unwrap().format, "mlx int4 g64");
}

fn torchao(kind: &str, data: Value) -> Value {
    json!({"quant_method": "torchao", "quant_type": {"default": {"_type": kind, "_version": 2, "_data": data}}})
}

#[test]
fn torchao_integers_have_the_width_and_zero_points_that_the_configuration_names() {
    let data = json!({"weight_dtype": {"_type": "torch.dtype", "_data": "int4"}});
    let config = torchao("IntxWeightOnlyConfig", data);
    let mut tensors: Vec<Tensor<'_>> = vec![
        ("q._weight_qdata", "I8", &[2, 4], vec![1, 0xff, 2, 3, 7, 0xf8, 0, 1]),
        ("q._weight_scale", "F32", &[2, 2], floats(&[1.0, 2.0, 0.5, 1.0])),
        ("q._weight_zero_point", "I8", &[2, 2], vec![1, 0, 0, 0xff]),
        ("q._weight_act_pre_scale", "F32", &[4], floats(&[1.0, 1.0, 1.0, 3.0])),
    ];
    let checkpoint = open(config.clone(), &tensors).unwrap();
    assert_eq!(checkpoint.unread_keys(), []);
    let info = checkpoint.info("q.weight").unwrap();
    assert_eq!((info.format.as_str(), info.stored_bytes), ("torchao int4 g2", 8 + 16 + 4 + 16));
    let weight = checkpoint.tensor("q.weight").unwrap();
    assert_eq!(weight.data, [0.0, -2.0, 4.0, 18.0, 3.5, -4.0, 1.0, 6.0]);
    tensors[1] = ("q._weight_scale", "F32", &[2, 3], floats(&[1.0; 6]));
    let error = refused(config.clone(), &tensors);
    assert!(error.contains("expected as many rows and columns as divide [2, 4]"), "{error}");
    tensors[1] = ("q._weight_scale", "F32", &[2, 2], floats(&[1.0; 4]));
    tensors.remove(2);
    let error = refused(config, &tensors);
    assert!(error.contains("expected q._weight_zero_point, as torchao stores it"), "{error}");
    // The grid of activations is not simulated; its stored scale belongs to the weight all the same.
    let dynamic = torchao("Int8StaticActivationInt8WeightConfig", json!({"version": null}));
    tensors[2] = ("q._weight_act_quant_scale", "F32", &[1, 1], floats(&[0.1]));
    let checkpoint = open(dynamic, &tensors).unwrap();
    assert_eq!(checkpoint.weights_only(), ["input activations int8"]);
    assert_eq!(checkpoint.tensor_infos().count(), 1);
    let wide = torchao("IntxWeightOnlyConfig", json!({"weight_dtype": {"_data": "uint4"}}));
    let error = message(open(wide, &tensors));
    assert!(
        error.contains("weight_dtype._data: expected int1 to int8, found \"uint4\""),
        "{error}"
    );
}

/// What is wrong with a golden checkpoint, some bytes of whose tensor `name` are replaced.
fn replaced(checkpoint: &str, name: &str, bytes: &[u8]) -> String {
    let (config, mut file) = stored(checkpoint);
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let entries: Value = serde_json::from_slice(&file[8..8 + header]).unwrap();
    let name = format!("model.layers.0.{name}");
    let start = 8 + header + entries[&name]["data_offsets"][0].as_u64().unwrap() as usize;
    file[start..start + bytes.len()].copy_from_slice(bytes);
    match Checkpoint::from_safetensors_bytes(Path::new("m"), config, file) {
        Err(error) => error.to_string(),
        Ok(checkpoint) => {
            let module = name.split('.').take(4).collect::<Vec<_>>().join(".");
            checkpoint.tensor(&format!("{module}.weight")).unwrap_err().to_string()
        }
    }
}

#[test]
fn hqq_numbers_must_agree_with_the_codes() {
    let cases: [(&str, &[u8], &str); 9] = [
        ("nbits", &[3, 0, 0, 0], "packing\": expected a packing of 3 bits"),
        ("nbits", &[4, 0, 0, 0x80], "packing\": expected a packing of -2147483644 bits"),
        ("packing", b"4bit_u9", "expected a packing of 4 bits, one of 8bit_u8, 4bit_u8"),
        ("group_size", &[0; 4], "expected a group size above 0 that divides the weight, found 0"),
        ("group_size", &[7, 0, 0, 0], "codes of 4 bits for [16, 96] in groups of 7"),
        ("axis", &[2, 0, 0, 0], "expected groups along axis 0 or 1, found 2"),
        ("shape", &[255; 8], "shape\": expected two sizes above 0, found [-1, 96]"),
        ("quant_zero", &[1], "expected 0: scales and zero points that are not quantized"),
        ("compute_dtype", b"torch.bfloat32", "expected a compute_dtype of torch.float32"),
    ];
    for (tensor, bytes, expected) in cases {
        let error = replaced("hqq", &format!("int4_axis1.{tensor}"), bytes);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn vptq_names_every_input_once_and_only_vectors_that_exist() {
    let error = replaced("vptq", "plain.perm", &[5, 0, 5, 0]);
    assert!(
        error.contains("perm\": expected every input from 0 to 39 once, found 5 at"),
        "{error}"
    );
    let error = replaced("vptq", "plain.perm", &[40, 0]);
    assert!(error.contains("every input from 0 to 39 once, found 40 at place 0"), "{error}");
    let error = replaced("vptq", "outliers.outlier_indices", &[32, 0]);
    assert!(
        error.contains("outlier_indices\": expected indices below 32, found 32 at 0"),
        "{error}"
    );

    let (config, file) = stored("vptq");
    let cases: [(Change, &str); 8] = [
        (
            |layer| layer["num_centroids"] = json!([-1, 48]),
            "num_centroids: expected a power of two",
        ),
        (
            |layer| layer["num_res_centroids"] = json!([-1, 128]),
            "expected no more residual centroids",
        ),
        (
            |layer| layer["vector_lens"] = json!([-1, -1]),
            "vector_lens: expected a second number above 0",
        ),
        (
            |layer| layer["vector_lens"] = json!(8),
            "vector_lens: expected two whole numbers, found 8",
        ),
        (
            |layer| layer["group_size"] = json!(0),
            "group_size: expected a number of 1 or more, found 0",
        ),
        (
            |layer| layer["in_features"] = json!(41),
            "in_features: expected 40 inputs, as the groups have",
        ),
        (
            |layer| layer["is_indice_packed"] = json!(false),
            "is_indice_packed: expected true, found false",
        ),
        (|layer| layer["out_features"] = json!(40), "plain.indices\": expected I32 [1, 5, 8]"),
    ];
    for (change, expected) in cases {
        let mut config = config.clone();
        let layers = &mut config["quantization_config"]["config_for_layers"];
        change(&mut layers["model.layers.0.plain"]);
        let error =
            message(Checkpoint::from_safetensors_bytes(Path::new("m"), config, file.clone()));
        assert!(error.contains(expected), "{error}");
    }
    let mut config = config;
    config["quantization_config"]["config_for_layers"]
        .as_object_mut()
        .unwrap()
        .remove("model.layers.0.bare");
    let error = message(Checkpoint::from_safetensors_bytes(Path::new("m"), config, file));
    assert!(
        error.contains("bare.indices\": expected an entry for the module in config_for_layers"),
        "{error}"
    );
}

#[test]
fn bitnet_divides_or_multiplies_by_its_scale() {
    let config = |class: &str| json!({"quant_method": "bitnet", "linear_class": class});
    let tensors = |byte: u8, scale: f32| -> Vec<Tensor<'static>> {
        vec![
            ("q.weight", "U8", &[1, 1][..], vec![byte]),
            ("q.weight_scale", "F32", &[1][..], floats(&[scale])),
        ]
    };
    let dense = |class: &str| {
        let checkpoint = open(config(class), &tensors(0b10_01_00_10, 4.0)).unwrap();
        assert_eq!(checkpoint.weights_only(), ["input activations int8"]);
        checkpoint.tensor("q.weight").unwrap().data
    };
    assert_eq!(dense("bitlinear"), [0.25, -0.25, 0.0, 0.25]);
    assert_eq!(dense("autobitlinear"), [4.0, -4.0, 0.0, 4.0]);
    let mut normed = config("bitlinear");
    normed["use_rms_norm"] = json!(true);
    let mut online = config("autobitlinear");
    online["quantization_mode"] = json!("online");
    let cases = [
        (
            config("bitlinear"),
            tensors(0b11, 1.0),
            "expected fields of 0, 1 or 2, found 3 in byte 0",
        ),
        (config("bitlinear"), tensors(0, 0.0), "expected a number other than 0, found 0"),
        (config("linear"), tensors(0, 1.0), "linear_class: expected \"bitlinear\""),
        (normed, tensors(0, 1.0), "use_rms_norm: expected false"),
        (online, tensors(0, 1.0), "quantization_mode: expected \"offline\""),
    ];
    for (config, tensors, expected) in cases {
        let error = refused(config, &tensors);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn blocks_of_experts_must_agree_with_their_scales() {
    let config = json!({"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]});
    let tensors = |scales: Vec<usize>, blocks: usize| -> String {
        let name = "model.layers.0.mlp.experts.down_proj";
        let count = scales.iter().product();
        message(open(
            config.clone(),
            &[
                (&format!("{name}_blocks"), "U8", &[2, 1, 1, blocks], vec![0; 2 * blocks]),
                (&format!("{name}_scales"), "U8", &scales, vec![127; count]),
            ],
        ))
    };
    let error = tensors(vec![2, 1, 2], 16);
    assert!(
        error.contains("down_proj_scales\": expected U8 [2, 1, 1], found U8 [2, 1, 2]"),
        "{error}"
    );
    let error = tensors(vec![2, 1, 1], 8);
    assert!(error.contains("down_proj_blocks\": expected U8 [2, 1, 1, 16]"), "{error}");
}

#[test]
fn quanto_needs_no_configuration_and_has_weights_of_eight_bits() {
    let tensors = |input: f32| -> Vec<Tensor<'static>> {
        vec![
            ("q.weight._data", "I8", &[2, 1][..], vec![3, 0xff]),
            ("q.weight._scale", "F32", &[2, 1][..], floats(&[0.5, 2.0])),
            ("q.input_scale", "F32", &[][..], floats(&[input])),
        ]
    };
    let bare = |tensors: &[Tensor<'_>]| {
        Checkpoint::from_safetensors_bytes(Path::new("m"), json!({}), build(tensors))
    };
    assert_eq!(bare(&tensors(1.0)).unwrap().tensor("q.weight").unwrap().data, [1.5, -2.0]);
    let config = json!({"quant_method": "quanto", "weights": "int8", "activations": "int8"});
    let checkpoint = open(config, &tensors(1.0)).unwrap();
    assert_eq!(checkpoint.weights_only(), ["input activations int8"]);
    assert_eq!(checkpoint.unread_keys(), []);
    let error = message(bare(&tensors(0.5)));
    assert!(
        error.contains("q.input_scale\": expected 1, the mark of activations that stay"),
        "{error}"
    );
    let narrow: [Tensor<'_>; 2] = [
        ("q.weight._data", "I8", &[1, 1], vec![3]),
        ("k.weight._data._data", "U8", &[1, 1], vec![3]),
    ];
    let error = message(bare(&narrow));
    assert!(error.contains("k.weight._data._data\": expected weights of 8 bits"), "{error}");
}

#[test]
fn fbgemm_has_a_scale_for_each_row() {
    let config = json!({
        "quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0, "modules_to_not_convert": ["lm_head"],
    });
    let mut tensors: Vec<Tensor<'_>> = vec![
        ("q.weight", "F8_E4M3", &[2, 2], vec![0x38, 0x40, 0xb8, 0x30]),
        ("q.weight_scale", "F32", &[2, 1], floats(&[0.25, 1.001])),
    ];
    let checkpoint = open(config.clone(), &tensors).unwrap();
    assert_eq!(checkpoint.unread_keys(), []);
    assert_eq!(checkpoint.weights_only(), ["input activations FP8"]);
    // 1.001 is rounded to bf16 with the product.
    assert_eq!(checkpoint.tensor("q.weight").unwrap().data, [0.25, 0.5, -1.0, 0.5]);
    assert_eq!(checkpoint.info("q.weight").unwrap().format, "fbgemm fp8 channel");
    tensors[1] = ("q.weight_scale", "F32", &[2], floats(&[0.25, 1.0]));
    let error = refused(config.clone(), &tensors);
    assert!(error.contains("q.weight_scale\": expected F32 or F16 or BF16 [2, 1]"), "{error}");
    tensors.remove(1);
    let error = refused(config, &tensors);
    assert!(error.contains("expected q.weight_scale, as fbgemm_fp8 stores it"), "{error}");
}

/// A Quark configuration with these settings of weights.
fn quark(weight: Value) -> Value {
    json!({
        "quant_method": "quark",
        "global_quant_config": {"weight": weight, "input_tensors": null, "bias": null},
        "export": {"pack_method": "reorder", "weight_format": "real_quantized"},
    })
}

/// One input of eight outputs; the nibbles are 0 to 7 from the lowest on.
fn quark_words() -> Vec<Tensor<'static>> {
    vec![
        ("q.weight", "I32", &[1, 1][..], ints(&[0x7654_3210])),
        ("q.weight_scale", "F32", &[1, 8][..], floats(&[2.0; 8])),
        ("q.weight_zero_point", "I32", &[1, 1][..], ints(&[0xf])),
    ]
}

#[test]
fn quark_packs_in_two_orders_with_and_without_signs() {
    let group = |dtype: &str| json!({"dtype": dtype, "qscheme": "per_group", "ch_axis": -1, "group_size": 1});
    let dense = |config: Value| {
        let checkpoint = open(config, &quark_words()).unwrap();
        assert_eq!(checkpoint.unread_keys(), []);
        assert_eq!(checkpoint.info("q.weight").unwrap().format, "quark int4 g1");
        checkpoint.tensor("q.weight").unwrap().data
    };
    assert_eq!(dense(quark(group("uint4"))), [-30.0, 8.0, 2.0, 10.0, 4.0, 12.0, 6.0, 14.0]);
    assert_eq!(dense(quark(group("int4"))), [2.0, 8.0, 2.0, 10.0, 4.0, 12.0, 6.0, 14.0]);
    let mut plain = quark(group("int4"));
    plain["export"]["pack_method"] = json!("order");
    assert_eq!(dense(plain), [2.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0]);

    let changed = |change: fn(&mut Value)| {
        let mut config = quark(group("int4"));
        change(&mut config);
        refused(config, &quark_words())
    };
    let cases: [(Change, &str); 7] = [
        (
            |config| config["global_quant_config"]["weight"]["dtype"] = json!("int3"),
            "weight.dtype: expected fp8_e4m3",
        ),
        (
            |config| config["global_quant_config"]["weight"]["qscheme"] = json!("per_channel"),
            "found int4 per_channel",
        ),
        (
            |config| config["global_quant_config"]["weight"]["ch_axis"] = json!(0),
            "ch_axis: expected outputs",
        ),
        (
            |config| config["global_quant_config"]["bias"] = json!({"dtype": "int8"}),
            "bias: expected nothing",
        ),
        (
            |config| config["export"]["weight_format"] = json!("fake_quantized"),
            "expected \"real_quantized\"",
        ),
        (
            |config| config["algo_config"] = json!([{"name": "rotation", "r4": true}]),
            "algo_config[0].name: expected",
        ),
        (
            |config| {
                config["layer_quant_config"] =
                    json!({"*k": {"weight": {"dtype": "uint4", "qscheme": "per_group"}}});
            },
            "integers of 4 bits that are all signed or all unsigned",
        ),
    ];
    for (change, expected) in cases {
        let error = changed(change);
        assert!(error.contains(expected), "{error}");
    }
    let mut more = quark(group("int4"));
    more["global_quant_config"]["input_tensors"] =
        json!({"dtype": "int8", "qscheme": "per_tensor"});
    more["kv_cache_quant_config"] = json!({"*k_proj": {"output_tensors": {"dtype": "fp8_e4m3"}}});
    more["algo_config"] = json!([{"name": "awq", "scaling_layers": []}]);
    let checkpoint = open(more, &quark_words()).unwrap();
    assert_eq!(checkpoint.weights_only(), ["KV cache", "input activations int8"]);
    assert_eq!(
        checkpoint.unread_keys(),
        [],
        "what says nothing about values is no reason to refuse a file"
    );
}
