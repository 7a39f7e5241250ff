//! The same weights in one file, in several, under other names, and as GGUF are the same model: equal to the last bit.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::harness::{Bench, nll, root};

const INDEX: &str = "model.safetensors.index.json";

/// A tensor of the small model: F16.
#[derive(Clone)]
struct Tensor {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn read(folder: &Path) -> BTreeMap<String, Tensor> {
    let file = fs::read(folder.join("model.safetensors")).unwrap();
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Map<String, Value> = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let tensors = header.into_iter().filter(|(name, _)| name != "__metadata__");
    let tensors = tensors.map(|(name, entry)| {
        assert_eq!(entry["dtype"], "F16");
        let at = |i: usize| entry["data_offsets"][i].as_u64().unwrap() as usize + 8 + length;
        let shape = serde_json::from_value(entry["shape"].clone()).unwrap();
        (name, Tensor { shape, bytes: file[at(0)..at(1)].to_vec() })
    });
    tensors.collect()
}

/// Writes the tensors as safetensors of `shards` files with an index.
fn write_shards(folder: &Path, tensors: &BTreeMap<String, Tensor>, shards: usize) {
    let mut map = Map::new();
    for shard in 0..shards {
        let file = format!("model-{:05}-of-{shards:05}.safetensors", shard + 1);
        let (mut header, mut data) = (Map::new(), Vec::new());
        for (name, tensor) in tensors.iter().skip(shard).step_by(shards) {
            let start = data.len();
            data.extend_from_slice(&tensor.bytes);
            let entry = json!({
                "dtype": "F16", "shape": tensor.shape, "data_offsets": [start, data.len()],
            });
            header.insert(name.clone(), entry);
            map.insert(name.clone(), json!(file));
        }
        let header = serde_json::to_vec(&header).unwrap();
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_slice(), &data].concat();
        fs::write(folder.join(file), bytes).unwrap();
    }
    let index = json!({"metadata": {}, "weight_map": map}).to_string();
    fs::write(folder.join(INDEX), index).unwrap();
}

/// What a GGUF file says before its tensors.
#[derive(Default)]
struct Metadata {
    count: u64,
    bytes: Vec<u8>,
}

impl Metadata {
    fn add(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.count += 1;
        string(&mut self.bytes, key);
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(value);
    }

    fn number(&mut self, key: &str, value: u64) {
        self.add(key, 4, &u32::try_from(value).unwrap().to_le_bytes());
    }

    fn float(&mut self, key: &str, value: f64) {
        self.add(key, 6, &(value as f32).to_le_bytes());
    }

    fn text(&mut self, key: &str, value: &str) {
        let mut bytes = Vec::new();
        string(&mut bytes, value);
        self.add(key, 8, &bytes);
    }

    fn texts(&mut self, key: &str, values: &[String]) {
        let mut bytes = [&8_u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        values.iter().for_each(|value| string(&mut bytes, value));
        self.add(key, 9, &bytes);
    }

    fn integers(&mut self, key: &str, values: &[i32]) {
        let mut bytes = [&5_u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        self.add(key, 9, &bytes);
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn json_file(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn metadata(folder: &Path) -> Metadata {
    let config = json_file(&folder.join("config.json"));
    let number = |key: &str| config[key].as_u64().unwrap();
    let mut metadata = Metadata::default();
    metadata.text("general.architecture", "llama");
    for (key, of) in [
        ("block_count", "num_hidden_layers"),
        ("context_length", "max_position_embeddings"),
        ("embedding_length", "hidden_size"),
        ("feed_forward_length", "intermediate_size"),
        ("attention.head_count", "num_attention_heads"),
        ("attention.head_count_kv", "num_key_value_heads"),
        ("rope.dimension_count", "head_dim"),
        ("vocab_size", "vocab_size"),
    ] {
        metadata.number(&format!("llama.{key}"), number(of));
    }
    let eps = config["rms_norm_eps"].as_f64().unwrap();
    metadata.float("llama.attention.layer_norm_rms_epsilon", eps);
    metadata.float("llama.rope.freq_base", 10_000.0);

    let tokenizer = json_file(&folder.join("tokenizer.json"));
    let vocab = tokenizer["model"]["vocab"].as_object().unwrap();
    let mut tokens = vec![String::new(); number("vocab_size") as usize];
    for (token, id) in vocab {
        tokens[id.as_u64().unwrap() as usize].clone_from(token);
    }
    let mut kinds = vec![1; tokens.len()];
    for added in tokenizer["added_tokens"].as_array().unwrap() {
        let id = added["id"].as_u64().unwrap() as usize;
        tokens[id] = added["content"].as_str().unwrap().to_owned();
        kinds[id] = 3;
    }
    let merges = tokenizer["model"]["merges"].as_array().unwrap().iter();
    let merges =
        merges.map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
    metadata.text("tokenizer.ggml.model", "gpt2");
    metadata.text("tokenizer.ggml.pre", "gpt-2");
    metadata.texts("tokenizer.ggml.tokens", &tokens);
    metadata.integers("tokenizer.ggml.token_type", &kinds);
    metadata.texts("tokenizer.ggml.merges", &merges.collect::<Vec<_>>());
    metadata.number("tokenizer.ggml.bos_token_id", 0);
    metadata.number("tokenizer.ggml.eos_token_id", 0);
    metadata.add("tokenizer.ggml.add_bos_token", 7, &[0]);
    metadata
}

/// The name in GGUF.
fn gguf_name(name: &str) -> String {
    const NAMES: [(&str, &str); 12] = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("model.layers", "blk"),
        ("post_attention_layernorm", "ffn_norm"),
        ("input_layernorm", "attn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    NAMES.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// Rows of queries and keys in llama.cpp's order: the halves of a head in turns.
fn interleaved(tensor: &Tensor, head: usize) -> Vec<u8> {
    let row = tensor.shape[1] * 2;
    let rows = (0..tensor.shape[0]).map(|at| {
        let (first, within) = (at / head * head, at % head);
        first + within % 2 * (head / 2) + within / 2
    });
    rows.flat_map(|from| tensor.bytes[from * row..(from + 1) * row].iter().copied()).collect()
}

fn write_gguf(path: &Path, folder: &Path, tensors: &BTreeMap<String, Tensor>) {
    const F16: u32 = 1;
    let metadata = metadata(folder);
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend(metadata.count.to_le_bytes());
    out.extend(metadata.bytes);
    let mut data: Vec<u8> = Vec::new();
    for (name, tensor) in tensors {
        data.resize(data.len().next_multiple_of(32), 0);
        string(&mut out, &gguf_name(name));
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().rev().for_each(|&size| out.extend((size as u64).to_le_bytes()));
        out.extend(F16.to_le_bytes());
        out.extend((data.len() as u64).to_le_bytes());
        let turned = name.contains("q_proj") || name.contains("k_proj");
        data.extend(if turned { interleaved(tensor, 32) } else { tensor.bytes.clone() });
    }
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend(data);
    fs::write(path, out).unwrap();
}

/// A folder with the small model's tokenizer, this configuration, and these tensors in several files.
fn write_model(folder: &Path, config: &Value, tensors: &BTreeMap<String, Tensor>, shards: usize) {
    fs::create_dir(folder).unwrap();
    let small = root().join("assets/models/wiki-4m");
    fs::copy(small.join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    // No two folders have the same configuration to the byte, or they would be the same model.
    let name = folder.file_name().unwrap().to_str().unwrap();
    fs::write(folder.join("config.json"), format!("{config}{}", " ".repeat(name.len()))).unwrap();
    write_shards(folder, tensors, shards);
}

/// The tensors under other names.
fn renamed(
    tensors: &BTreeMap<String, Tensor>,
    rename: impl Fn(&str) -> String,
) -> BTreeMap<String, Tensor> {
    tensors.iter().map(|(name, tensor)| (rename(name), tensor.clone())).collect()
}

#[test]
fn every_way_to_store_a_model_gives_it_to_the_last_bit() {
    let bench = Bench::new(&[]);
    let small = root().join("assets/models/wiki-4m");
    let (tensors, config) = (read(&small), json_file(&small.join("config.json")));
    let place = |name: &str| bench.path().join(name);

    write_model(&place("sharded"), &config, &tensors, 3);
    write_model(&place("no-index"), &config, &tensors, 2);
    fs::remove_file(place("no-index").join(INDEX)).unwrap();
    write_model(&place("any-name"), &config, &tensors, 1);
    let only = place("any-name").join("model-00001-of-00001.safetensors");
    fs::rename(only, place("any-name").join("weights.safetensors")).unwrap();
    fs::remove_file(place("any-name").join(INDEX)).unwrap();
    write_model(&place("of-an-older-model"), &config, &tensors, 2);
    let index = place("of-an-older-model").join(INDEX);
    let mut stale = json_file(&index);
    stale["weight_map"]["model.layers.8.mlp.up_proj.weight"] =
        json!("model-00001-of-00002.safetensors");
    fs::write(index, stale.to_string()).unwrap();

    let bare = renamed(&tensors, |name| name.replacen("model.", "", 1));
    write_model(&place("without-prefix"), &config, &bare, 1);
    let mut inner = renamed(&tensors, |name| format!("language_model.{name}"));
    inner.insert("vision_tower.a.weight".to_owned(), tensors["model.norm.weight"].clone());
    let around = json!({"model_type": "llava", "text_config": config, "vision_config": {}});
    write_model(&place("text-of-a-model-that-sees"), &around, &inner, 2);
    write_gguf(&place("small.gguf"), &small, &tensors);

    let sources = [
        "sharded",
        "no-index",
        "any-name",
        "of-an-older-model",
        "without-prefix",
        "text-of-a-model-that-sees",
        "small.gguf",
    ];
    let mut text = "name = \"test\"\n".to_owned();
    for source in [small.to_str().unwrap()].iter().chain(&sources) {
        text += &format!("[[model]]\nsource = {source:?}\ndevice = \"cpu\"\n");
    }
    text += "[data]\nsource = \"wikitext-2-raw\"\nfirst_k_tokens = 1500\n\
             [protocol]\nwindow = 256\nstride = 128\n";
    bench.write("test.toml", &text);
    bench.run_ok(&["-o", "results"]);
    let expected = nll(&bench.record("results", "wiki-4m"));
    assert_eq!(expected.len(), 11);
    for source in sources {
        let record = bench.record("results", source.trim_end_matches(".gguf"));
        assert_eq!(nll(&record), expected, "{source}");
        assert_eq!(record["scores"]["kld"]["max"], 0.0, "{source}");
    }
}
