//! Made-up checkpoints: the tiny ones of every family with a tokenizer, and shapes that no stored model
//! has.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::rows::{FAMILIES, Row};

/// The folder of the models within that of the check.
pub(super) const FOLDER: &str = "models";

/// The shape of a Llama with random weights.
struct Shape {
    name: &'static str,
    vocabulary: usize,
    positions: usize,
    hidden: usize,
    layers: usize,
}

const SHAPES: [Shape; 2] = [
    Shape { name: "vocabulary-262k", vocabulary: 262_144, positions: 64, hidden: 32, layers: 2 },
    Shape { name: "long-1024", vocabulary: 512, positions: 1024, hidden: 64, layers: 2 },
];

const HEADS: usize = 4;

/// Writes the models that rows name to `folder`.
pub(super) fn make(root: &Path, folder: &Path, rows: &[Row]) -> Result<()> {
    let wanted: BTreeSet<&str> = rows.iter().filter_map(|row| row.model).collect();
    for name in wanted {
        let target = folder.join(name);
        fs::create_dir_all(&target).with_context(|| target.display().to_string())?;
        if FAMILIES.contains(&name) {
            copy_family(root, name, &target)?;
        } else if let Some(shape) = SHAPES.iter().find(|shape| shape.name == name) {
            write_shape(root, shape, &target)?;
        }
    }
    Ok(())
}

/// Copies the tiny checkpoint of a family, with a tokenizer of single characters, to an existing folder.
pub(crate) fn copy_family(root: &Path, name: &str, target: &Path) -> Result<()> {
    let source = root.join("crates/model/tests/families").join(name);
    for file in ["config.json", "model.safetensors"] {
        let from = source.join(file);
        fs::copy(&from, target.join(file)).with_context(|| from.display().to_string())?;
    }
    write(target, "tokenizer.json", tokenizer(131).to_string().as_bytes())
}

/// A tokenizer whose tokens are single characters, so that it fits a vocabulary of any size.
fn tokenizer(vocabulary: usize) -> Value {
    let characters = ('\u{20}'..'\u{7f}').chain(['\n']).map(String::from);
    let others = (0..).map(|index| format!("<{index}>"));
    let tokens = ["<unk>".to_owned()].into_iter().chain(characters).chain(others);
    let ids: Map<String, Value> =
        tokens.take(vocabulary).enumerate().map(|(id, token)| (token, json!(id))).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false, "vocab": ids, "merges": [],
        },
    })
}

fn write_shape(root: &Path, shape: &Shape, target: &Path) -> Result<()> {
    let (hidden, inner) = (shape.hidden, 2 * shape.hidden);
    let config = json!({
        "model_type": "llama", "hidden_size": hidden, "intermediate_size": inner,
        "num_hidden_layers": shape.layers, "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS / 2, "vocab_size": shape.vocabulary, "rms_norm_eps": 1e-5,
        "max_position_embeddings": shape.positions, "hidden_act": "silu",
        "tie_word_embeddings": true,
    });
    write(target, "config.json", config.to_string().as_bytes())?;
    if shape.vocabulary < 4096 {
        write(target, "tokenizer.json", tokenizer(shape.vocabulary).to_string().as_bytes())?;
    } else {
        let from = root.join("assets/models/wiki-4m/tokenizer.json");
        fs::copy(&from, target.join("tokenizer.json"))
            .with_context(|| from.display().to_string())?;
    }

    let mut file = Tensors::default();
    // Wide enough that tokens differ, narrow enough that every token keeps some probability.
    file.random("model.embed_tokens.weight", &[shape.vocabulary, hidden], 0.5);
    file.ones("model.norm.weight", hidden);
    for layer in 0..shape.layers {
        let prefix = format!("model.layers.{layer}");
        file.ones(&format!("{prefix}.input_layernorm.weight"), hidden);
        file.ones(&format!("{prefix}.post_attention_layernorm.weight"), hidden);
        for (name, rows, columns) in [
            ("self_attn.q_proj", hidden, hidden),
            ("self_attn.k_proj", hidden / 2, hidden),
            ("self_attn.v_proj", hidden / 2, hidden),
            ("self_attn.o_proj", hidden, hidden),
            ("mlp.gate_proj", inner, hidden),
            ("mlp.up_proj", inner, hidden),
            ("mlp.down_proj", hidden, inner),
        ] {
            file.random(&format!("{prefix}.{name}.weight"), &[rows, columns], 0.3);
        }
    }
    write(target, "model.safetensors", &file.finish()?)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))
}

/// A safetensors file of bf16 values under construction.
#[derive(Debug, Default)]
struct Tensors {
    header: Map<String, Value>,
    data: Vec<u8>,
    seed: u32,
}

impl Tensors {
    /// Adds uniformly distributed values between `-largest` and `largest`, the same ones in every run.
    fn random(&mut self, name: &str, shape: &[usize], largest: f32) {
        let start = self.data.len();
        for _ in 0..shape.iter().product() {
            self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let unit = f32::from(u16::try_from(self.seed >> 16).unwrap_or(0)) / 32_768.0 - 1.0;
            self.push(unit * largest);
        }
        self.add(name, shape, start);
    }

    fn ones(&mut self, name: &str, count: usize) {
        let start = self.data.len();
        (0..count).for_each(|_| self.push(1.0));
        self.add(name, &[count], start);
    }

    /// The upper half of an f32 is a bf16.
    fn push(&mut self, value: f32) {
        let [_, _, low, high] = value.to_le_bytes();
        self.data.extend([low, high]);
    }

    fn add(&mut self, name: &str, shape: &[usize], start: usize) {
        let offsets = [start, self.data.len()];
        let entry = json!({"dtype": "BF16", "shape": shape, "data_offsets": offsets});
        self.header.insert(name.to_owned(), entry);
    }

    fn finish(self) -> Result<Vec<u8>> {
        let header = serde_json::to_vec(&self.header)?;
        let mut file = u64::try_from(header.len())?.to_le_bytes().to_vec();
        file.extend(header);
        file.extend(self.data);
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokenizer_has_as_many_tokens_as_the_model() {
        let ids = tokenizer(131)["model"]["vocab"].as_object().unwrap().clone();
        assert_eq!(ids.len(), 131);
        let mut sorted: Vec<u64> = ids.values().map(|id| id.as_u64().unwrap()).collect();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..131).collect::<Vec<_>>());
        assert!(ids.contains_key("a") && ids.contains_key(" ") && ids.contains_key("\n"));
    }

    #[test]
    fn offsets_cover_the_data() {
        let mut file = Tensors::default();
        file.random("a", &[3, 5], 0.5);
        file.ones("b", 4);
        let bytes = file.finish().unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        assert_eq!(header["a"]["data_offsets"], json!([0, 30]));
        assert_eq!(header["b"]["data_offsets"], json!([30, 38]));
        assert_eq!(bytes.len(), 8 + length + 38);
        assert_eq!(bytes[bytes.len() - 2..], [0x80, 0x3f]);
    }
}
