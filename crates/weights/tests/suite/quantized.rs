//! Quantized checkpoints against the formats' own libraries, bit for bit.

use std::path::Path;

use serde_json::Value;
use strait_weights::Checkpoint;
use strait_weights::load_in::{self, LoadIn};

use crate::golden;

/// Every checkpoint of `golden/quantized`.
pub(crate) const CHECKPOINTS: [&str; 25] = [
    "aqlm",
    "awq",
    "bitnet",
    "bitsandbytes",
    "compressed_tensors",
    "compressed_tensors_old",
    "fp8_block",
    "gptq_column",
    "gptq_v1_int2",
    "gptq_v1_int3",
    "gptq_v1_int4",
    "gptq_v1_int8",
    "gptq_v1_order",
    "gptq_v2_int2",
    "gptq_v2_int3",
    "gptq_v2_int4",
    "gptq_v2_int8",
    "hqq",
    "mlx",
    "modelopt",
    "mxfp4",
    "quanto",
    "quark",
    "torchao",
    "vptq",
];

/// Bytes of the numbers and texts that an HQQ module stores beside its codes, scales and zero points.
const HQQ: usize = 3 * 4 + 16 + "4bit_u8".len() + "torch.uint8".len() + "torch.bfloat16".len() + 9;

/// A golden checkpoint's configuration and file.
pub(crate) fn stored(name: &str) -> (Value, Vec<u8>) {
    let folder = golden("quantized");
    let config = std::fs::read(folder.join(format!("{name}.config.json"))).unwrap();
    let bytes = std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap();
    (serde_json::from_slice(&config).unwrap(), bytes)
}

pub(crate) fn open(name: &str) -> Checkpoint {
    let (config, bytes) = stored(name);
    Checkpoint::from_safetensors_bytes(Path::new(name), config, bytes).unwrap()
}

fn plain(name: &str) -> Checkpoint {
    let bytes = std::fs::read(golden("quantized").join(name)).unwrap();
    Checkpoint::from_safetensors_bytes(Path::new(name), Value::Null, bytes).unwrap()
}

fn bits(data: &[f32]) -> Vec<u32> {
    data.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn every_format_gives_the_bits_of_its_library() {
    let mut weights = 0;
    for name in CHECKPOINTS {
        let found = open(name);
        let expected = plain(&format!("{name}.dense.safetensors"));
        assert_eq!(found.tensor_infos().count(), expected.tensor_infos().count(), "{name}");
        for info in expected.tensor_infos() {
            let place = format!("{name}: {}", info.name);
            let (found, expected) =
                (found.tensor(&info.name).unwrap(), expected.tensor(&info.name).unwrap());
            assert_eq!(found.shape, expected.shape, "{place}");
            let first = found.data.iter().zip(&expected.data).position(|(a, b)| a != b);
            assert_eq!(first, None, "{place}: first index that differs");
            let differs = bits(&found.data) != bits(&expected.data);
            assert!(!differs, "{place}: only the sign of a zero differs");
            weights += 1;
        }
    }
    assert_eq!(weights, 163);
}

#[test]
fn the_folder_holds_no_checkpoint_that_is_not_tested() {
    let mut names: Vec<String> = std::fs::read_dir(golden("quantized"))
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".config.json").map(str::to_owned)
        })
        .collect();
    names.sort_unstable();
    assert_eq!(names, CHECKPOINTS);
}

/// Formats and bits per weight, worked out by hand from the stored parts.
#[test]
fn formats_and_bits_are_those_of_the_parts() {
    let layer = "model.layers.0.";
    // Rows, columns, and bytes of: codes, scales, zero points, and what else is stored.
    let cases: [(&str, &str, &str, usize); 53] = [
        ("compressed_tensors", "nvfp4", "nvfp4", 24 * 48 + 24 * 6 + 4),
        ("compressed_tensors", "mxfp4", "mxfp4", 24 * 48 + 24 * 3),
        ("compressed_tensors", "mxfp8", "mxfp8", 24 * 96 + 24 * 3),
        ("compressed_tensors", "int3_group", "packed int3 g32", 24 * 36 + 24 * 3 * 2 + 16),
        (
            "compressed_tensors",
            "int5_asym",
            "packed int5 g32 asym",
            44 * 40 + 44 * 2 * 2 + 7 * 2 * 4 + 16,
        ),
        ("compressed_tensors", "int4_channel", "packed int4 channel", 24 * 48 + 24 * 2 + 16),
        ("compressed_tensors", "fp8_tensor", "fp8 tensor", 24 * 96 + 4),
        ("compressed_tensors", "fp8_block", "fp8 block 16x32", 40 * 96 + 3 * 3 * 4),
        ("compressed_tensors", "fp8_ragged", "fp8 block 16x32", 20 * 50 + 2 * 2 * 2),
        ("compressed_tensors", "int8_channel_asym", "int8 channel asym", 24 * 96 + 24 * 3),
        ("compressed_tensors", "int4_naive", "int4 g32", 24 * 96 + 24 * 3 * 2),
        ("compressed_tensors_old", "int3", "packed int3 g32", 12 * 28 + 12 * 2 * 2 + 16),
        (
            "compressed_tensors_old",
            "int4_order",
            "packed int4 g32 act-order",
            12 * 48 + 12 * 3 * 2 + 96 * 4 + 16,
        ),
        ("fp8_block", "even", "fp8 block 16x32", 48 * 96 + 3 * 3 * 4),
        ("modelopt", "nvfp4", "modelopt nvfp4", 24 * 32 + 24 * 4 + 4 + 4),
        ("modelopt", "fp8_channel", "modelopt fp8 channel", 24 * 64 + 24 * 4),
        ("gptq_v1_int3", "a", "gptq int3 g32", 32 * 48 + 4 * 32 * 2 + 4 * 12 + 128 * 4),
        ("gptq_v2_int4", "b", "gptq int4 g32 act-order", 64 * 32 + 2 * 64 * 2 + 2 * 32 + 64 * 4),
        ("gptq_column", "a", "gptq int4 channel", 32 * 64 + 32 * 2 + 16),
        ("awq", "a", "awq int4 g32", 24 * 48 + 3 * 24 * 2 + 3 * 12),
        ("bitsandbytes", "nf4_bf16", "bnb nf4", 24 * 48 + 36 * 4 + 64),
        ("bitsandbytes", "nf4_b128", "bnb nf4 b128", 24 * 48 + 18 * 4 + 64),
        ("bitsandbytes", "fp4_nested", "bnb fp4 nested", 24 * 48 + 36 + 64 + 1024 + 4),
        ("bitsandbytes", "int8", "bnb int8", 24 * 96 + 24 * 4 + 1),
        ("mlx", "int3", "mlx int3 g64", 12 * 96 + 12 * 4 * 4),
        ("mlx", "int5", "mlx int5 g128", 12 * 160 + 12 * 2 * 4),
        ("mlx", "int3_f32", "mlx int3 g32", 12 * 96 + 12 * 8 * 8),
        ("mlx", "mlp.experts.1.up_proj", "mlx int4 g64", 12 * 32 + 12 * 4),
        ("mlx", "mxfp4", "mlx mxfp4", 12 * 64 + 12 * 4),
        ("mlx", "mxfp8", "mlx mxfp8", 12 * 128 + 12 * 4),
        ("mlx", "nvfp4", "mlx nvfp4", 12 * 64 + 12 * 8),
        ("torchao", "int8", "torchao int8 channel", 24 * 96 + 24 * 4 + 24),
        ("torchao", "int8_tensor", "torchao int8 tensor", 24 * 96 + 4 + 1),
        ("torchao", "intx_dynamic", "torchao int8 g16", 24 * 96 + 24 * 6 * 3),
        ("torchao", "fp8_block", "torchao fp8 block 8x32", 24 * 96 + 9 * 4),
        ("torchao", "fp8_e5m2", "torchao fp8 e5m2 channel", 24 * 96 + 24 * 4),
        // Codes, codebooks and scales.
        ("aqlm", "two", "aqlm 2x8 g8", 12 * 6 * 2 + 2 * 256 * 8 * 2 + 12 * 2),
        ("aqlm", "four", "aqlm 4x5 g8", 12 * 6 * 4 + 4 * 32 * 8 * 2 + 12 * 2),
        // Indices, codebooks, the order of inputs, and their scales and biases.
        (
            "vptq",
            "residual",
            "vptq b7 b4 g8",
            2 * 3 * 9 * 4 + 2 * 128 * 8 * 2 + 2 * 16 * 8 * 2 + 48 * 6,
        ),
        ("vptq", "bare", "vptq b4 g8", 2 * 4 * 4 + 16 * 8 * 2),
        // With the scales of inputs and outputs.
        ("quanto", "int8_f32", "quanto int8 channel", 20 * 48 + 20 * 4 + 8),
        ("quanto", "fp8_e5m2", "quanto fp8 e5m2 channel", 20 * 48 + 20 * 2 + 4),
        ("quark", "fp8", "quark fp8 tensor", 24 * 96 + 2 + 4),
        ("quark", "int8_channel", "quark int8 channel", 24 * 96 + 24 * 4 + 24),
        ("quark", "uint4", "quark int4 g32", 24 * 48 + 3 * 24 * 2 + 3 * 12),
        ("quark", "mxfp4", "quark mxfp4", 24 * 48 + 24 * 3),
        ("bitnet", "a", "bitnet ternary", 24 * 10 + 2),
        ("hqq", "int1_axis1", "hqq int1 g32", 16 * 12 + 48 * 4 + HQQ),
        ("hqq", "int3_axis0", "hqq int3 g32 axis0", 4 * 48 * 4 + 48 * 4 + HQQ),
        ("hqq", "int5_axis1", "hqq int5 g32", 16 * 96 + 48 * 4 + HQQ),
        ("hqq", "int8_rows", "hqq int8 g96", 16 * 96 + 16 * 4 + HQQ),
        ("hqq", "int4_view", "hqq int4 g32", 16 * 48 + 48 * 4 + HQQ),
        ("hqq", "int4_f32", "hqq int4 g32 axis0", 12 * 32 + 24 * 8 + HQQ - 1),
    ];
    for (name, module, format, bytes) in cases {
        let checkpoint = open(name);
        let info = checkpoint.info(&format!("{layer}{module}.weight")).unwrap();
        assert_eq!(info.format, format, "{name} {module}");
        // The JSON of a four-bit state is counted as stored; its length varies.
        let state =
            if format.starts_with("bnb") && !format.ends_with("int8") { 70..=240 } else { 0..=0 };
        let extra = info.stored_bytes as i64 - bytes as i64;
        assert!(state.contains(&extra), "{name} {module}: {} bytes", info.stored_bytes);
        assert_eq!(info.values, info.shape.iter().product::<usize>() as u64);
    }
}

#[test]
fn quantizing_on_load_gives_the_bits_of_bitsandbytes() {
    let file = plain("load_in.safetensors");
    for dtype in ["f32", "f16", "bf16"] {
        let weight = file.tensor(&format!("{dtype}.weight")).unwrap();
        for kind in [LoadIn::Int8, LoadIn::Nf4, LoadIn::Fp4] {
            let mut found = weight.clone();
            load_in::apply(kind, &mut found).unwrap();
            // The library's four-bit result has the weight's dtype, its int8 result f32.
            let round = |value: f32| match (kind, dtype) {
                (LoadIn::Nf4 | LoadIn::Fp4, "f16") => half::f16::from_f32(value).to_f32(),
                (LoadIn::Nf4 | LoadIn::Fp4, "bf16") => half::bf16::from_f32(value).to_f32(),
                _ => value,
            };
            found.data.iter_mut().for_each(|value| *value = round(*value));
            let expected = file.tensor(&format!("{dtype}.{kind}")).unwrap();
            let first =
                bits(&found.data).iter().zip(bits(&expected.data)).position(|(a, b)| *a != b);
            assert_eq!(first, None, "{dtype} {kind}: first index that differs");
        }
    }
}
