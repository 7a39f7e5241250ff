//! Files that llama.cpp's converter wrote for a small model of each family: configuration, names and values come back.

use serde_json::Value;
use strait_weights::Checkpoint;

use crate::gguf_file::{F32, GgufFile};
use crate::{golden, message};

const FAMILIES: [&str; 16] = [
    "llama",
    "llama-fused",
    "llama3",
    "llama-linear",
    "llama-yarn",
    "mixtral",
    "qwen2",
    "qwen3",
    "qwen3-moe",
    "gemma3",
    "gemma3-linear",
    "phi3",
    "phi3-longrope",
    "gpt-neox",
    "gpt2",
    "olmo2",
];

/// Value `index` of the tensor `name`, as `golden/families.py` made it.
fn value(name: &str, index: usize) -> f32 {
    let seed = name
        .bytes()
        .fold(2_166_136_261u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
    ((u64::from(seed) + index as u64 * 7919) % 2003) as f32 - 1001.0
}

fn read(family: &str) -> (Checkpoint, Value) {
    let path = golden("families").join(family);
    let expected = std::fs::read_to_string(path.with_extension("json")).unwrap();
    (Checkpoint::open(&path.with_extension("gguf")).unwrap(), expected.parse().unwrap())
}

#[test]
fn configurations_are_those_of_transformers() {
    for family in FAMILIES {
        let (checkpoint, expected) = read(family);
        let found = checkpoint.config();
        for (key, value) in expected["config"].as_object().unwrap() {
            assert_eq!(found.get(key), Some(value), "{family}: {key}");
        }
        for key in found.as_object().unwrap().keys() {
            // What GGUF says beyond config.json: a head size that follows from others, and that nothing is scaled.
            let more = key == "head_dim" || key == "rope_scaling" && found[key].is_null();
            assert!(more || expected["config"].get(key).is_some(), "{family}: {key}");
        }
    }
}

#[test]
fn tensors_are_those_of_transformers() {
    for family in FAMILIES {
        let (checkpoint, expected) = read(family);
        let expected = expected["tensors"].as_object().unwrap();
        for info in checkpoint.tensor_infos() {
            let constant = info.name.starts_with("rope_f");
            assert!(constant || expected.contains_key(&info.name), "{family}: {}", info.name);
        }
        for (name, shape) in expected {
            let shape: Vec<usize> = serde_json::from_value(shape.clone()).unwrap();
            let tensor = checkpoint.tensor(name).unwrap();
            assert_eq!(tensor.shape, shape, "{family}: {name}");
            let info = checkpoint.info(name).unwrap();
            assert_eq!(info.shape, shape, "{family}: {name}");
            assert_eq!(info.values, tensor.data.len() as u64, "{family}: {name}");
            let width = if info.format == "F32" { 4 } else { 2 };
            assert_eq!(info.stored_bytes, width * info.values, "{family}: {name}");
            for (index, found) in tensor.data.iter().enumerate() {
                assert_eq!(*found, value(name, index), "{family}: {name}[{index}]");
            }
        }
    }
}

#[test]
fn bits_are_counted_in_every_family() {
    for family in FAMILIES {
        let (checkpoint, expected) = read(family);
        let values = expected["tensors"].as_object().unwrap().values().map(|shape| {
            shape.as_array().unwrap().iter().map(|size| size.as_u64().unwrap()).product::<u64>()
        });
        let summary = checkpoint.summary();
        assert_eq!(summary.parameters, values.sum::<u64>(), "{family}");
        assert_eq!(summary.head_bits_per_weight, Some(16.0), "{family}");
        // Routers stay in f32, and are left out.
        assert_eq!(summary.decoder_bits_per_weight, Some(16.0), "{family}");
    }
}

/// One stack of experts and nothing else.
fn qwen3_moe(experts: u32) -> GgufFile {
    GgufFile::new("qwen3moe")
        .u32("qwen3moe.block_count", 1)
        .u32("qwen3moe.embedding_length", 2)
        .u32("qwen3moe.attention.head_count", 1)
        .u32("qwen3moe.expert_count", experts)
        .counting("blk.0.ffn_up_exps.weight", &[3, 2, 2])
}

fn factors(file: GgufFile, name: &str, factors: &[f32]) -> GgufFile {
    let data = factors.iter().flat_map(|factor| factor.to_le_bytes()).collect();
    file.tensor(name, &[factors.len() as u64], F32, data)
}

#[test]
fn factors_beside_a_tensor_are_multiplied_in() {
    let expert = |file: &GgufFile, number: usize| {
        let name = format!("model.layers.0.mlp.experts.{number}.up_proj.weight");
        file.open().unwrap().tensor(&name).unwrap().data
    };
    assert_eq!(expert(&qwen3_moe(3), 1), [4.0, 5.0, 6.0, 7.0]);
    let name = "blk.0.ffn_up_exps.scale";
    let each = factors(qwen3_moe(3), name, &[1.0, 0.5, 2.0]);
    assert_eq!(expert(&each, 1), [2.0, 2.5, 3.0, 3.5]);
    assert_eq!(expert(&each, 2), [16.0, 18.0, 20.0, 22.0]);
    assert_eq!(expert(&factors(qwen3_moe(3), name, &[0.25]), 1), [1.0, 1.25, 1.5, 1.75]);

    let query = factors(GgufFile::tiny_llama(), "blk.0.attn_v.scale", &[2.0]);
    let query = query.open().unwrap().tensor("model.layers.0.self_attn.v_proj.weight").unwrap();
    assert_eq!(query.data[..3], [0.0, 2.0, 4.0]);
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let stack = "tensor \"blk.0.ffn_up_exps.weight\"";
    let name = "blk.0.ffn_up_exps.scale";
    let fused = |rows| GgufFile::tiny_llama().counting("blk.0.attn_qkv.weight", &[rows, 8]);
    let gpt_neox = GgufFile::new("gptneox")
        .u32("gptneox.block_count", 1)
        .u32("gptneox.embedding_length", 4)
        .u32("gptneox.attention.head_count", 2)
        .counting("blk.0.attn_qkv.bias", &[8]);
    let cases = [
        (
            qwen3_moe(4),
            format!("{stack}: expected a stack of 4 experts, at most 4096, found shape [3, 2, 2]"),
        ),
        (
            factors(qwen3_moe(3), name, &[1.0, 2.0]),
            format!(
                "{stack}: expected one finite factor, or one for each of 3 parts, found 2 factors"
            ),
        ),
        (
            factors(qwen3_moe(3), name, &[1.0, f32::NAN, 2.0]),
            format!(
                "{stack}: expected one finite factor, or one for each of 3 parts, found 3 factors, \
                 not all finite"
            ),
        ),
        (
            fused(15),
            "tensor \"blk.0.attn_qkv.weight\": expected rows for all heads' queries, keys and values, \
             found 15 rows"
                .to_owned(),
        ),
        (
            fused(16),
            "tensor \"model.layers.0.self_attn.q_proj.weight\": expected one source, found \
             \"blk.0.attn_q.weight\" and \"blk.0.attn_qkv.weight\""
                .to_owned(),
        ),
        (
            gpt_neox,
            "tensor \"blk.0.attn_qkv.bias\": expected rows that num_attention_heads = 2 divides into \
             heads of queries, keys and values, found 8 rows"
                .to_owned(),
        ),
    ];
    for (file, expected) in cases {
        assert_eq!(message(file.open()), format!("x.gguf: {expected}"));
    }
}
