//! Files damaged in every place: an error or a checkpoint, never a panic, and no memory beyond the file's size.

use crate::gguf_file::{self, GgufFile};
use std::path::Path;

use strait_weights::Checkpoint;

use crate::{quantized, read_everything, safetensors, tokenizer};

/// Opens `bytes` cut at every length and with every byte changed in several ways.
fn damage(bytes: &[u8], open: impl Fn(Vec<u8>) -> bool) {
    for length in 0..bytes.len() {
        assert!(!open(bytes[..length].to_vec()), "a file cut to {length} bytes was opened");
    }
    for at in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff, bytes[at], bytes[at] ^ 0x7f] {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= change;
            open(damaged);
        }
    }
    assert!(open(bytes.to_vec()));
}

#[test]
fn gguf() {
    let file = tokenizer::with_byte_level(
        GgufFile::new("llama")
            .u32("llama.block_count", 1)
            .u32("llama.embedding_length", 4)
            .u32("llama.attention.head_count", 1)
            .counting("blk.0.attn_q.weight", &[4, 4])
            .counting("output_norm.weight", &[4]),
        &["a", "b", "ab"],
        &["a b"],
    );
    damage(&file.bytes(), |bytes| match gguf_file::open(bytes) {
        Ok(checkpoint) => {
            read_everything(&checkpoint);
            true
        }
        Err(_) => false,
    });
}

/// Files whose tensors are split, moved or multiplied when they are read.
#[test]
fn gguf_of_other_families() {
    let small = |name: &str| {
        GgufFile::new(name)
            .u32(&format!("{name}.block_count"), 1)
            .u32(&format!("{name}.embedding_length"), 4)
            .u32(&format!("{name}.attention.head_count"), 2)
    };
    let files = [
        small("gptneox")
            .counting("blk.0.attn_qkv.weight", &[12, 4])
            .counting("blk.0.attn_qkv.bias", &[12]),
        small("gpt2").counting("blk.0.ffn_up.weight", &[3, 4]),
        small("gemma3")
            .u32("gemma3.attention.sliding_window", 2)
            .counting("blk.0.attn_q_norm.weight", &[2]),
        small("llama").counting("blk.0.attn_qkv.weight", &[12, 4]),
        small("llama")
            .u32("llama.expert_count", 2)
            .counting("blk.0.ffn_up_exps.weight", &[2, 1, 2])
            .counting("blk.0.ffn_up_exps.scale", &[2]),
        small("phi3")
            .u32("phi3.rope.scaling.original_context_length", 4)
            .counting("rope_factors_long.weight", &[1])
            .counting("rope_factors_short.weight", &[1]),
    ];
    for file in files {
        damage(&file.bytes(), |bytes| match gguf_file::open(bytes) {
            Ok(checkpoint) => {
                read_everything(&checkpoint);
                true
            }
            Err(_) => false,
        });
    }
}

#[test]
fn safetensors_file() {
    let header = r#"{"a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}"#;
    let bytes = safetensors::file(header, &[1; 16]);
    damage(&bytes, |bytes| match safetensors::open(bytes) {
        Ok(checkpoint) => {
            read_everything(&checkpoint);
            true
        }
        Err(_) => false,
    });
}

#[test]
fn quantized_checkpoints() {
    for name in ["awq", "fp8_block", "gptq_v1_order", "modelopt"] {
        let (config, bytes) = quantized::stored(name);
        damage(&bytes, |bytes| {
            match Checkpoint::from_safetensors_bytes(Path::new(name), config.clone(), bytes) {
                Ok(checkpoint) => {
                    read_everything(&checkpoint);
                    true
                }
                Err(_) => false,
            }
        });
    }
}

/// The larger files, whose headers are damaged in every place and whose data in some: opened or refused, and
/// refused wherever they are cut.
#[test]
fn larger_quantized_checkpoints() {
    for name in ["aqlm", "bitnet", "hqq", "mlx", "mxfp4", "quanto", "quark", "torchao", "vptq"] {
        let (config, bytes) = quantized::stored(name);
        let open = |bytes: Vec<u8>| {
            let opened = Checkpoint::from_safetensors_bytes(Path::new(name), config.clone(), bytes);
            opened.is_ok_and(|checkpoint| {
                read_everything(&checkpoint);
                true
            })
        };
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        for at in (0..header).step_by(5).chain((header..bytes.len()).step_by(41)) {
            assert!(!open(bytes[..at].to_vec()), "{name}: cut to {at} bytes it was opened");
            for change in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= change;
                open(damaged);
            }
        }
        assert!(open(bytes));
    }
}

#[test]
fn quantization_configurations() {
    for name in quantized::CHECKPOINTS {
        let (config, bytes) = quantized::stored(name);
        let text = config.to_string().into_bytes();
        // Long configurations repeat their keys for every module.
        for at in (0..text.len()).step_by(text.len().div_ceil(1500)) {
            for change in [b'9', b'-', b'x'] {
                let mut damaged = text.clone();
                damaged[at] = change;
                let Ok(config) = serde_json::from_slice(&damaged) else { continue };
                let name = Path::new(name);
                if let Ok(checkpoint) =
                    Checkpoint::from_safetensors_bytes(name, config, bytes.clone())
                {
                    read_everything(&checkpoint);
                }
            }
        }
    }
}
