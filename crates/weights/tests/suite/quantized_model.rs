//! Quantized checkpoints as whole models: directories, shards, configuration beside the model's, summaries, documentation.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use strait_weights::Checkpoint;

use crate::golden;
use crate::quantized::{CHECKPOINTS, open, stored};
use crate::safetensors::file;

fn write_json(path: &Path, value: &Value) {
    fs::write(path, value.to_string()).unwrap();
}

fn assert_same(found: &Checkpoint, expected: &Checkpoint) {
    assert_eq!(found.tensor_infos().count(), expected.tensor_infos().count());
    for info in expected.tensor_infos() {
        assert_eq!(found.info(&info.name), Some(info));
        assert!(
            found.tensor(&info.name).unwrap() == expected.tensor(&info.name).unwrap(),
            "{}",
            info.name
        );
    }
}

#[test]
fn older_tools_keep_the_configuration_in_a_file_of_its_own() {
    let cases = [
        ("gptq_v1_order", "quantize_config.json"),
        ("awq", "quant_config.json"),
        ("modelopt", "hf_quant_config.json"),
    ];
    for (name, beside) in cases {
        let (mut config, bytes) = stored(name);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join("model.safetensors"), bytes).unwrap();
        let mut section = config["quantization_config"].take();
        section.as_object_mut().unwrap().remove("quant_method").unwrap();
        if name == "modelopt" {
            section = json!({"producer": {"name": "modelopt"}, "quantization": section});
        }
        write_json(&path.join("config.json"), &config);
        let error = Checkpoint::open(path).err().unwrap().to_string();
        assert!(error.contains("says what the quantized tensors mean, found none"), "{error}");
        write_json(&path.join(beside), &section);
        assert_same(&Checkpoint::open(path).unwrap(), &open(name));

        write_json(&path.join(beside), &json!([]));
        let error = Checkpoint::open(path).err().unwrap().to_string();
        assert!(error.contains("the quantization configuration is not valid JSON"), "{error}");
        write_json(&path.join("config.json"), &stored(name).0);
        assert_same(&Checkpoint::open(path).unwrap(), &open(name));
    }
}

#[test]
fn parts_of_a_weight_may_lie_in_different_shards() {
    for name in ["compressed_tensors", "bitsandbytes"] {
        let (config, bytes) = stored(name);
        let (header, data) =
            bytes[8..].split_at(u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize);
        let header: Map<String, Value> = serde_json::from_slice(header).unwrap();
        let mut shards = [(Map::new(), Vec::new()), (Map::new(), Vec::new())];
        let mut weight_map = Map::new();
        for (at, (tensor, entry)) in
            header.iter().filter(|(key, _)| *key != "__metadata__").enumerate()
        {
            let [start, end] =
                [0, 1].map(|end| entry["data_offsets"][end].as_u64().unwrap() as usize);
            let (part, content) = &mut shards[at % 2];
            let mut entry = entry.clone();
            entry["data_offsets"] = json!([content.len(), content.len() + end - start]);
            content.extend_from_slice(&data[start..end]);
            part.insert(tensor.clone(), entry);
            weight_map.insert(tensor.clone(), json!(format!("{}.safetensors", at % 2)));
        }
        let folder = tempfile::tempdir().unwrap();
        for (at, (header, content)) in shards.into_iter().enumerate() {
            let bytes = file(&Value::Object(header).to_string(), &content);
            fs::write(folder.path().join(format!("{at}.safetensors")), bytes).unwrap();
        }
        let index = folder.path().join("model.safetensors.index.json");
        write_json(&index, &json!({"weight_map": weight_map}));
        write_json(&folder.path().join("config.json"), &config);
        assert_same(&Checkpoint::open(folder.path()).unwrap(), &open(name));
    }
}

#[test]
fn a_summary_counts_every_part() {
    let summary = open("gptq_v1_int4").summary();
    // 128 x 32 and 64 x 64 codes of 4 bits; 4 and 2 groups of f16 scales and 4-bit zeros; 32-bit group indices.
    let bytes =
        (128 * 32 + 64 * 64) / 2 + (4 * 32 + 2 * 64) * 2 + (4 * 32 + 2 * 64) / 2 + (128 + 64) * 4;
    assert_eq!(summary.format, "gptq int4 g32");
    assert_eq!(summary.parameters, 128 * 32 + 64 * 64);
    assert_eq!(summary.bytes, bytes);
    let bits_per_weight = 8.0 * bytes as f64 / 8192.0;
    assert_eq!(summary.decoder_bits_per_weight, Some(bits_per_weight));
    assert_eq!(summary.head_bits_per_weight, None);
    assert_eq!(summary.layers.len(), 1);
    assert_eq!(summary.layers[0].bits_per_weight, Some(bits_per_weight));

    let json = serde_json::to_value(open("modelopt").summary()).unwrap();
    assert_eq!(json["head_bits_per_weight"], 16.0);
    assert_eq!(json["layers"][0]["formats"].as_array().unwrap().len(), 3);

    // Nothing that a file stores is left out.
    for name in CHECKPOINTS {
        let (_, bytes) = stored(name);
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert_eq!(open(name).summary().bytes, bytes.len() as u64 - 8 - header, "{name}");
    }
}

/// A documented format such as `gptq int4 g32`, without the numbers that differ from model to model.
fn kind(format: &str) -> String {
    let words = format.split(' ').map(|word| {
        let number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match word.split_at_checked(1) {
            Some(("g", rest)) if number(rest) => "gN".to_owned(),
            Some(("b", rest)) if number(rest) => "bN".to_owned(),
            _ if word.contains('x') && word.starts_with(|letter: char| letter.is_ascii_digit()) => {
                "NxN".to_owned()
            }
            _ => match word.strip_prefix("int") {
                Some(rest) if number(rest) => "intB".to_owned(),
                _ => word.to_owned(),
            },
        }
    });
    words.collect::<Vec<_>>().join(" ").replace("bnb intB", "bnb int8")
}

#[test]
fn the_documentation_names_every_format() {
    let root = golden("../../..");
    let text = fs::read_to_string(root.join("docs/formats.md")).unwrap();
    let mut kinds = BTreeSet::new();
    for name in CHECKPOINTS {
        for info in
            open(name).tensor_infos().filter(|info| info.format.to_uppercase() != info.format)
        {
            kinds.insert(kind(&info.format));
        }
    }
    let missing: Vec<_> =
        kinds.iter().filter(|kind| !text.contains(&format!("`{kind}`"))).collect();
    assert!(missing.is_empty(), "docs/formats.md lacks {missing:?}");
}
