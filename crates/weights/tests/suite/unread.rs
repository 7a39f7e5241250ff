//! Nothing stored goes unread: a tensor or a key more than the model reads is an error that names it.

use std::path::Path;

use serde_json::{Value, json};
use strait_weights::{Checkpoint, Reading, Unread};

use crate::gguf_file::{F32, GgufFile};
use crate::quantized::{CHECKPOINTS, open, stored};
use crate::quantized_errors::{self, build, floats};
use crate::safetensors::file;

/// A model that reads all weights that a checkpoint lists now.
fn reading(checkpoint: &Checkpoint) -> Reading {
    let tensors = checkpoint.tensor_infos().map(|info| info.name.clone()).collect();
    Reading { tensors, layers: 1, ..Reading::default() }
}

fn refusal(checkpoint: &Checkpoint, reading: &Reading) -> String {
    checkpoint.check_unread(reading, &[]).unwrap_err().to_string()
}

/// The file `bytes` with one more tensor, of four values that are not zero.
fn with_tensor(bytes: &[u8], name: &str) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut data = bytes[8 + length..].to_vec();
    let offsets = [data.len(), data.len() + 16];
    header[name] = json!({"dtype": "F32", "shape": [4], "data_offsets": offsets});
    data.extend(floats(&[0.5; 4]));
    file(&header.to_string(), &data)
}

#[test]
fn a_tensor_more_is_named_in_every_format() {
    let ends =
        ["pre_scale", "weight_offset", "act.scales", "bias", "rotation.weight", "lora_A.weight"];
    for (at, name) in CHECKPOINTS.into_iter().enumerate() {
        let plain = open(name);
        let reading = reading(&plain);
        plain.check_unread(&reading, &[]).unwrap();
        let (config, bytes) = stored(name);
        let mut weights: Vec<&String> = reading.tensors.iter().collect();
        weights.sort();
        for (turn, end) in ends.into_iter().enumerate() {
            let names = weights.iter().cycle().skip(7 * at + turn).map(|weight| {
                format!("{}.{end}", weight.strip_suffix(".weight").unwrap_or(weight))
            });
            let added =
                names.take(weights.len()).find(|name| !reading.tensors.contains(name)).unwrap();
            let bytes = with_tensor(&bytes, &added);
            let checkpoint =
                Checkpoint::from_safetensors_bytes(Path::new(name), config.clone(), bytes).unwrap();
            let error = refusal(&checkpoint, &reading);
            assert!(error.contains(&format!("{added} (F32 [4])")), "{name}: {error}");
            let pattern = format!("*.{end}");
            checkpoint.check_unread(&reading, &[pattern]).unwrap();
        }
    }
}

#[test]
fn a_key_more_is_named_at_every_place_of_every_configuration() {
    let mut places = 0;
    for name in CHECKPOINTS {
        let (config, bytes) = stored(name);
        for pointer in objects(&config["quantization_config"], "/quantization_config".to_owned()) {
            // An object of groups, each of which is an object; and one that may go unread as a whole.
            if pointer.ends_with("/config_groups") || pointer.ends_with("/observer_kwargs") {
                continue;
            }
            let mut config = config.clone();
            config.pointer_mut(&pointer).unwrap()["surprise"] = json!(1);
            let checkpoint =
                Checkpoint::from_safetensors_bytes(Path::new(name), config, bytes.clone()).unwrap();
            let place = format!("{}.surprise", pointer.replace('/', ".").trim_start_matches('.'));
            assert_eq!(
                checkpoint.unread_keys(),
                [Unread { name: place.clone(), about: "1".to_owned() }],
                "{name}"
            );
            let error = refusal(&checkpoint, &reading(&checkpoint));
            // Long names are shown by their beginning.
            let shown = place.get(..100).map_or(format!("{place} (1)"), str::to_owned);
            assert!(error.contains(&shown), "{name}: {error}");
            places += 1;
        }
    }
    assert!(places > 60, "{places}");
}

/// Pointers to all objects within `value`.
fn objects(value: &Value, pointer: String) -> Vec<String> {
    let Some(object) = value.as_object() else { return Vec::new() };
    let inner = object.iter().flat_map(|(key, value)| objects(value, format!("{pointer}/{key}")));
    std::iter::once(pointer.clone()).chain(inner).collect()
}

#[test]
fn known_keys_and_what_says_nothing_are_no_surprise() {
    let (mut config, bytes) = stored("gptq_v1_int4");
    let section = config["quantization_config"].as_object_mut().unwrap();
    for (key, value) in [
        ("damp_percent", json!(0.01)),
        ("meta", json!({"quantizer": ["gptqmodel:7.7"]})),
        ("use_exllama", json!(true)),
        ("new_key", Value::Null),
        ("new_list", json!([])),
        ("new_object", json!({})),
    ] {
        section.insert(key.to_owned(), value);
    }
    let checkpoint = Checkpoint::from_safetensors_bytes(Path::new("m"), config, bytes).unwrap();
    assert_eq!(checkpoint.unread_keys(), []);
}

#[test]
fn patterns_that_name_nothing_unread_are_mistakes() {
    let checkpoint = open("awq");
    let reading = reading(&checkpoint);
    let error = checkpoint.check_unread(&reading, &["*.bais".to_owned()]).unwrap_err().to_string();
    assert_eq!(
        error,
        "awq: `ignore` in [model] has the pattern \"*.bais\": expected the name of an unread tensor or key, with `*` for any \
         letters; nothing unread has such a name"
    );
}

/// A checkpoint of these tensors, each of four values.
fn of(tensors: &[(&str, f32)]) -> Checkpoint {
    let shape: &[usize] = &[4];
    let tensors: Vec<quantized_errors::Tensor<'_>> =
        tensors.iter().map(|(name, value)| (*name, "F32", shape, floats(&[*value; 4]))).collect();
    let config = json!({"num_hidden_layers": 2});
    Checkpoint::from_safetensors_bytes(Path::new("m"), config, build(&tensors)).unwrap()
}

#[test]
fn what_changes_nothing_may_go_unread() {
    let checkpoint = of(&[
        ("model.layers.0.self_attn.rotary_emb.inv_freq", 1.0),
        ("h.0.attn.bias", 1.0),
        ("gpt_neox.layers.1.attention.masked_bias", 1.0),
        ("model.vision_tower.layers.9.weight", 1.0),
        ("visual.blocks.40.mlp.weight", 1.0),
        ("mtp.layers.0.weight", 1.0),
        ("model.layers.0.self_attn.k_proj.k_scale", 1.0),
        // AutoGPTQ's zeros.
        ("model.layers.1.mlp.up_proj.bias", 0.0),
    ]);
    checkpoint.check_unread(&Reading { layers: 2, ..Reading::default() }, &[]).unwrap();
    let biased = of(&[("model.layers.0.self_attn.q_proj.bias", 0.25)]);
    let error = refusal(&biased, &Reading { layers: 2, ..Reading::default() });
    assert_eq!(
        error,
        "m: stored and read by nobody: model.layers.0.self_attn.q_proj.bias (F32 [4]); without it this would be another \
         model. If it may be left out, `ignore = [\"model.layers.0.self_attn.q_proj.bias\"]` in [model] says so, and the \
         record then says it too"
    );
}

#[test]
fn layers_that_predict_further_tokens_may_go_unread() {
    let checkpoint = of(&[("model.layers.2.w", 1.0), ("model.layers.3.w", 1.0)]);
    let mut reading = Reading { layers: 2, further: 2, ..Reading::default() };
    checkpoint.check_unread(&reading, &[]).unwrap();
    reading.further = 1;
    let error = refusal(&checkpoint, &reading);
    assert!(error.contains("read by nobody: model.layers.3.w (F32 [4])"), "{error}");
}

#[test]
fn layers_beyond_those_of_the_configuration_are_counted() {
    let names: Vec<String> = (0..8).map(|layer| format!("model.layers.{layer}.w")).collect();
    let tensors: Vec<(&str, f32)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    let checkpoint = of(&tensors);
    checkpoint.check_layers().unwrap();
    let tensors = names[..4].iter().cloned().collect();
    let error = refusal(&checkpoint, &Reading { tensors, layers: 4, ..Reading::default() });
    assert!(
        error.starts_with(
            "m: stored and read by nobody: 4 model.layers.*.w (F32 [4]); the configuration says 4 layers, the checkpoint \
             has 8; "
        ),
        "{error}"
    );
    for said in [json!(9), json!(1_000_000_000), json!(u64::MAX)] {
        let bytes = build(&[("model.layers.7.w", "F32", &[1], floats(&[1.0]))]);
        let config = json!({"text_config": {"num_hidden_layers": said}});
        let checkpoint = Checkpoint::from_safetensors_bytes(Path::new("m"), config, bytes).unwrap();
        assert_eq!(
            checkpoint.check_layers().unwrap_err().to_string(),
            format!(
                "m: num_hidden_layers of the configuration: expected 8, as many layers as the checkpoint has, found {said}"
            )
        );
    }
}

#[test]
fn metadata_of_gguf_is_read_too() {
    let unread = |file: GgufFile| -> Vec<String> {
        let checkpoint = file.open().unwrap();
        checkpoint.unread_keys().iter().map(|unread| unread.name.clone()).collect()
    };
    assert_eq!(unread(GgufFile::tiny_llama()), [""; 0]);
    let odd = GgufFile::tiny_llama()
        .f32("llama.logit_scale", 0.5)
        .u32("llama.expert_shared_count", 2)
        .f32("llama.residual_scale", 1.0)
        .u32("llama.leading_dense_block_count", 0)
        .u32("general.file_type", 1);
    assert_eq!(unread(odd), ["llama.expert_shared_count", "llama.logit_scale"]);

    let factor = [2.0f32].map(f32::to_le_bytes).concat();
    let scaled = GgufFile::tiny_llama()
        .tensor("blk.0.attn_v.scale", &[1], F32, factor.clone())
        .tensor("blk.0.attn_q.scale_of_nothing", &[1], F32, factor)
        .open()
        .unwrap();
    let known = GgufFile::tiny_llama().open().unwrap();
    let error = refusal(&scaled, &reading(&known));
    assert!(
        error.contains("nobody: model.layers.0.self_attn.q_proj.scale_of_nothing (F32 [1]);"),
        "{error}"
    );
}

#[test]
fn what_else_is_quantized_is_told() {
    let mut config = stored("compressed_tensors").0;
    let bytes = stored("compressed_tensors").1;
    let section = &mut config["quantization_config"];
    section["kv_cache_scheme"] = json!({"num_bits": 8, "type": "float", "strategy": "tensor"});
    section["config_groups"]["group_0"]["input_activations"] =
        json!({"num_bits": 8, "type": "int", "strategy": "token", "dynamic": true});
    let checkpoint = Checkpoint::from_safetensors_bytes(Path::new("m"), config, bytes).unwrap();
    assert_eq!(
        checkpoint.weights_only(),
        ["KV cache fp8 by tensor", "input activations int8 by token"]
    );
    assert_eq!(open("bitsandbytes").weights_only(), ["input activations int8"]);
    assert_eq!(open("fp8_block").weights_only(), ["input activations fp8"]);
    assert_eq!(open("awq").weights_only(), [""; 0]);
}
