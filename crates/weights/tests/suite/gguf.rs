//! GGUF files: names, configuration, interleaved rows, and files that lie.

use serde_json::json;
use strait_weights::{Format, WeightsError};

use crate::gguf_file::{F32, GgufFile, Q8_0, open};
use crate::message;

#[test]
fn a_llama_gets_hugging_face_names_and_configuration() {
    let checkpoint = GgufFile::tiny_llama().open().unwrap();
    let expected = json!({
        "model_type": "llama",
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 4,
        "intermediate_size": 12,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 100000.0,
        "rope_scaling": null,
        "vocab_size": 6,
        "max_position_embeddings": 64,
        "tie_word_embeddings": true,
        "attention_bias": false,
        "mlp_bias": false,
    });
    assert_eq!(checkpoint.config(), &expected);
    let layer = "model.layers.0";
    let names: Vec<_> = checkpoint.tensor_infos().map(|info| info.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "model.embed_tokens.weight".to_owned(),
            "model.norm.weight".to_owned(),
            format!("{layer}.input_layernorm.weight"),
            format!("{layer}.self_attn.q_proj.weight"),
            format!("{layer}.self_attn.k_proj.weight"),
            format!("{layer}.self_attn.v_proj.weight"),
            format!("{layer}.self_attn.o_proj.weight"),
            format!("{layer}.post_attention_layernorm.weight"),
            format!("{layer}.mlp.gate_proj.weight"),
            format!("{layer}.mlp.up_proj.weight"),
            format!("{layer}.mlp.down_proj.weight"),
        ]
    );
    let down = checkpoint.info("model.layers.0.mlp.down_proj.weight").unwrap();
    assert_eq!((down.shape.as_slice(), down.format.as_str()), (&[8, 12][..], "F32"));
    let summary = checkpoint.summary();
    assert_eq!(summary.parameters, 6 * 8 + 3 * 8 + 2 * 64 + 2 * 32 + 3 * 96);
    assert_eq!(summary.bytes, 4 * summary.parameters);
    assert_eq!(summary.decoder_bits_per_weight, Some(32.0));
    assert_eq!(summary.head_bits_per_weight, Some(32.0));
}

#[test]
fn optional_parts_reach_the_configuration() {
    let checkpoint = GgufFile::tiny_llama()
        .text("llama.rope.scaling.type", "yarn")
        .f32("llama.rope.scaling.factor", 4.0)
        .u32("llama.rope.scaling.original_context_length", 16)
        .u32("llama.attention.key_length", 8)
        .u32("tokenizer.ggml.bos_token_id", 3)
        .counting("output.weight", &[6, 8])
        .counting("blk.0.attn_q.bias", &[8])
        .counting("rope_freqs.weight", &[2])
        .open()
        .unwrap();
    let config = checkpoint.config();
    let scaling =
        json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16});
    assert_eq!(config["rope_scaling"], scaling);
    assert_eq!(config["head_dim"], 8);
    assert_eq!(config["partial_rotary_factor"], 0.5);
    assert_eq!(config["bos_token_id"], 3);
    assert_eq!(config["tie_word_embeddings"], false);
    assert_eq!(config["attention_bias"], true);
    assert_eq!(checkpoint.tensor("rope_freqs.weight").unwrap().data, [0.0, 1.0]);
    assert!(checkpoint.info("lm_head.weight").is_some());
}

#[test]
fn position_factors_are_never_dropped_silently() {
    let scaling = |factors: [f32; 2]| {
        let data = factors.iter().flat_map(|factor| factor.to_le_bytes()).collect();
        let file = GgufFile::tiny_llama().tensor("rope_freqs.weight", &[2], F32, data);
        file.open().unwrap().config()["rope_scaling"].clone()
    };
    assert_eq!(scaling([1.0, 1.0]), json!(null));
    let factors = [1.0, 7.0];
    let long = json!({
        "rope_type": "longrope",
        "long_factor": factors,
        "short_factor": factors,
        "attention_factor": 1.0,
    });
    assert_eq!(scaling(factors.map(|factor| factor as f32)), long);
}

#[test]
fn query_and_key_rows_come_back_in_order_for_llama_alone() {
    let first_of_rows = |file: GgufFile, name: &str| -> Vec<usize> {
        let tensor = file.open().unwrap().tensor(name).unwrap();
        tensor.data.chunks(8).map(|row| row[0] as usize / 8).collect()
    };
    let query = "model.layers.0.self_attn.q_proj.weight";
    let key = "model.layers.0.self_attn.k_proj.weight";
    let value = "model.layers.0.self_attn.v_proj.weight";
    assert_eq!(first_of_rows(GgufFile::tiny_llama(), query), [0, 2, 1, 3, 4, 6, 5, 7]);
    assert_eq!(first_of_rows(GgufFile::tiny_llama(), key), [0, 2, 1, 3]);
    assert_eq!(first_of_rows(GgufFile::tiny_llama(), value), [0, 1, 2, 3]);

    let mut qwen = GgufFile::tiny_llama();
    for (key, _) in &mut qwen.metadata {
        *key = key.replace("llama.", "qwen2.");
    }
    let qwen = qwen.text("general.architecture", "qwen2");
    assert_eq!(qwen.open().unwrap().config()["model_type"], "qwen2");
    assert_eq!(first_of_rows(qwen, query), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn version_2_and_other_alignments_read_alike() {
    let mut file = GgufFile::tiny_llama().u32("general.alignment", 128);
    file.version = 2;
    file.alignment = 128;
    let norm = file.open().unwrap().tensor("model.norm.weight").unwrap();
    assert_eq!(norm.data, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    let checkpoint = GgufFile::tiny_llama().open().unwrap();
    let error = checkpoint.tensor("model.layers.0.self_attn.q_prj.weight").unwrap_err();
    assert_eq!(
        error.to_string(),
        "x.gguf: no tensor named \"model.layers.0.self_attn.q_prj.weight\"; \
         the nearest name is \"model.layers.0.self_attn.q_proj.weight\""
    );
    let error = checkpoint.tensor("x").unwrap_err().to_string();
    assert_eq!(error, "x.gguf: no tensor named \"x\"");
}

#[test]
fn formats_that_cannot_be_made_dense_are_named() {
    let name = "model.layers.0.self_attn.k_norm.weight";
    for (kind, format, values, bytes) in [
        (9, "Q8_1", 32, 36),
        (24, "I8", 32, 32),
        (25, "I16", 32, 64),
        (26, "I32", 32, 128),
        (27, "I64", 32, 256),
        (28, "F64", 32, 256),
        (41, "Q1_0", 128, 18),
        (42, "Q2_0", 64, 18),
    ] {
        let stored = "blk.0.attn_k_norm.weight";
        let file = GgufFile::tiny_llama().tensor(stored, &[1, values], kind, vec![0; bytes]);
        let checkpoint = file.open().unwrap();
        assert_eq!(checkpoint.info(name).unwrap().stored_bytes, bytes as u64);
        let supported: Vec<_> = Format::ALL.iter().map(|format| format.name()).collect();
        let supported = supported.join(", ");
        assert_eq!(
            checkpoint.tensor(name).unwrap_err().to_string(),
            format!(
                "x.gguf: tensor \"{name}\" is stored as {format}, which is not supported; supported are {supported}"
            )
        );
    }
    let error = message(GgufFile::tiny_llama().tensor("odd", &[1], 77, vec![0]).open());
    assert!(
        error.starts_with("x.gguf: tensor \"odd\" is stored as GGML type 77, which"),
        "{error}"
    );
}

/// A row that is no whole number of blocks, and a tensor that is a byte short, for every blocked format.
#[test]
fn damaged_sizes_of_every_format_are_refused() {
    for format in Format::ALL.into_iter().filter(|format| format.block_values() > 1) {
        let (kind, values) = (ggml_id(format), format.block_values() as u64);
        let name = format.name();
        let data = vec![0; format.block_bytes()];
        let odd = GgufFile::new("llama")
            .u32("llama.block_count", 1)
            .u32("llama.embedding_length", 8)
            .u32("llama.attention.head_count", 2)
            .tensor("odd", &[1, values + 1], kind, data.clone());
        assert_eq!(
            message(odd.open()),
            format!(
                "x.gguf: tensor \"odd\": expected rows of whole {name} blocks of {values}, found rows of {}",
                values + 1
            )
        );
        let mut whole = odd;
        whole.tensors[0].shape = vec![1, values];
        let bytes = whole.bytes();
        assert!(open(bytes[..bytes.len() - 1].to_vec()).is_err(), "{name}");
        let dense = open(bytes).unwrap().tensor("odd").unwrap().data;
        assert_eq!(dense.len(), format.block_values(), "{name}");
    }
}

#[test]
fn scales_that_are_not_finite_are_refused() {
    let mut data = vec![1; 68];
    data[34..36].copy_from_slice(&[0, 0x7c]);
    let name = "blk.0.attn_k_norm.weight";
    let file = GgufFile::tiny_llama().tensor(name, &[1, 64], Q8_0, data);
    let error = file.open().unwrap().tensor("model.layers.0.self_attn.k_norm.weight").unwrap_err();
    assert_eq!(
        error.to_string(),
        "x.gguf: tensor \"model.layers.0.self_attn.k_norm.weight\": expected Q8_0 blocks with finite \
         scales, found inf as value 32"
    );
}

/// The number of a format in GGUF files, from the gguf package.
fn ggml_id(format: Format) -> u32 {
    match format.name() {
        "F32" => 0,
        "F16" => 1,
        "Q4_0" => 2,
        "Q4_1" => 3,
        "Q5_0" => 6,
        "Q5_1" => 7,
        "Q8_0" => 8,
        "Q2_K" => 10,
        "Q3_K" => 11,
        "Q4_K" => 12,
        "Q5_K" => 13,
        "Q6_K" => 14,
        "Q8_K" => 15,
        "IQ2_XXS" => 16,
        "IQ2_XS" => 17,
        "IQ3_XXS" => 18,
        "IQ1_S" => 19,
        "IQ4_NL" => 20,
        "IQ3_S" => 21,
        "IQ2_S" => 22,
        "IQ4_XS" => 23,
        "IQ1_M" => 29,
        "BF16" => 30,
        "TQ1_0" => 34,
        "TQ2_0" => 35,
        "MXFP4" => 39,
        "NVFP4" => 40,
        other => panic!("{other} has no number"),
    }
}

/// Each lie with the message it earns.
#[test]
fn lies_are_refused() {
    let tiny = GgufFile::tiny_llama;
    let with_offset = |offset| {
        let mut file = tiny();
        file.tensors[1].offset = Some(offset);
        file
    };
    let mut version_1 = tiny();
    version_1.version = 1;
    let mut big_endian = tiny();
    big_endian.version = 3u32.swap_bytes();
    let mut twice = tiny();
    twice.metadata.push(twice.metadata[1].clone());
    let name_0xff = [&8u64.to_le_bytes()[..], &[0xff; 8]].concat();
    let cases = [
        (version_1, "GGUF version: expected 2 or 3, little-endian, found version 1"),
        (
            big_endian,
            "GGUF version: expected 2 or 3, little-endian, found version 3 in big-endian byte order",
        ),
        (twice, "metadata key \"llama.block_count\": expected one entry, found two"),
        (
            tiny().without("general.architecture"),
            "metadata key \"general.architecture\": expected a text, found no such key",
        ),
        (
            tiny().without("llama.embedding_length"),
            "metadata key \"llama.embedding_length\": expected a non-negative integer, found no such key",
        ),
        (
            tiny().text("llama.block_count", "one"),
            "metadata key \"llama.block_count\": expected an integer, found a text",
        ),
        (
            tiny().entry("llama.block_count", 5, &(-1i32).to_le_bytes()),
            "metadata key \"llama.block_count\": expected a non-negative integer, found the integer -1",
        ),
        (
            tiny().f32("llama.rope.freq_base", f32::NAN),
            "metadata key \"llama.rope.freq_base\": expected a finite number, found the number NaN",
        ),
        (
            tiny().entry("general.name", 8, &name_0xff),
            "general.name: expected UTF-8 text, found a wrong byte at 0",
        ),
        (
            tiny().entry("odd", 13, &[]),
            "metadata key \"odd\": expected a value of type 0 to 12, found 13",
        ),
        (
            tiny().array("odd", 9, &[]),
            "array \"odd\": expected elements of type 0 to 8 or 10 to 12, found type 9",
        ),
        (
            tiny().u32("general.alignment", 24),
            "general.alignment: expected a power of two up to 2^32, found 24",
        ),
        (
            tiny().u32("llama.attention.head_count", 3),
            "metadata key \"llama.attention.head_count\": expected a divisor of the embedding length 8, found 3",
        ),
        (
            tiny().u32("llama.attention.head_count_kv", 3),
            "tensor \"blk.0.attn_k.weight\": expected rows that num_key_value_heads = 3 divides into heads of even \
             size, found 4 rows",
        ),
        (
            tiny().counting("output_norm.weight", &[8]),
            "tensor \"output_norm.weight\": expected one description, found two",
        ),
        (
            tiny().counting("model.norm.weight", &[8]),
            "tensor \"model.norm.weight\": expected one source, found \"output_norm.weight\" and \"model.norm.weight\"",
        ),
        (
            with_offset(8),
            "tensor \"output_norm.weight\": expected an offset that is a multiple of 32, found 8",
        ),
        (
            with_offset(160),
            "tensor \"output_norm.weight\": expected an offset of at least 192, after the tensor before it, found 160",
        ),
        (tiny().counting("odd", &[1, 1, 1, 1, 1]), "tensor \"odd\": expected 1 to 4 axes, found 5"),
        (
            tiny().tensor("odd", &[4, 33], Q8_0, vec![0; 136]),
            "tensor \"odd\": expected rows of whole Q8_0 blocks of 32, found rows of 33",
        ),
        (
            tiny().tensor("odd", &[1 << 40, 1 << 40], F32, vec![]),
            "tensor \"odd\": expected a size below 2^64 bytes, found shape [1099511627776, 1099511627776]",
        ),
    ];
    for (file, expected) in cases {
        assert_eq!(message(file.open()), format!("x.gguf: {expected}"));
    }
    assert_eq!(
        message(open(b"GGML3456".to_vec())),
        "x.gguf: magic bytes: expected \"GGUF\", found [47, 47, 4d, 4c]"
    );
}

#[test]
fn counts_and_lengths_beyond_the_file_allocate_nothing() {
    let mut array = 5u32.to_le_bytes().to_vec();
    array.extend(u64::MAX.to_le_bytes());
    let mut bytes = GgufFile::tiny_llama().bytes();
    bytes[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    let cases = [
        (bytes, "18446744073709551615 tensor descriptions"),
        (
            GgufFile::tiny_llama().entry("long", 9, &array).bytes(),
            "18446744073709551615 elements of \"long\"",
        ),
        (GgufFile::tiny_llama().tensor("long", &[1 << 50], F32, vec![]).bytes(), "tensor \"long\""),
        (GgufFile::tiny_llama().entry("long", 8, &u64::MAX.to_le_bytes()).bytes(), "long"),
    ];
    for (bytes, expected) in cases {
        match open(bytes) {
            Err(WeightsError::Truncated { what, .. }) => assert_eq!(what, expected),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{expected}: opened"),
        }
    }
}

#[test]
fn empty_tensors_are_read_as_empty() {
    let checkpoint = GgufFile::tiny_llama().counting("none", &[3, 0]).open().unwrap();
    let none = checkpoint.tensor("none").unwrap();
    assert_eq!((none.shape.as_slice(), none.data.len()), (&[3, 0][..], 0));
}
