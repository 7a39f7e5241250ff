//! What a quantized checkpoint takes of the host's memory: never much more than its dense weights,
//! and with streaming little more than a layer.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::harness::{Bench, nll, root};

const HIDDEN: usize = 512;
const INNER: usize = 2048;
const LAYERS: usize = 32;
const VOCAB: usize = 4096;

/// Writes a checkpoint of LLM.int8 weights, made of numbers that follow a rule, and gives the number
/// of its parameters.
fn write_model(folder: &Path) -> usize {
    fs::create_dir(folder).unwrap();
    let config = json!({
        "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": 8, "num_key_value_heads": 8,
        "vocab_size": VOCAB, "rms_norm_eps": 1e-6, "max_position_embeddings": 512,
        "hidden_act": "silu", "tie_word_embeddings": true,
        "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": true},
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let tokenizer = root().join("assets/models/wiki-4m/tokenizer.json");
    fs::copy(tokenizer, folder.join("tokenizer.json")).unwrap();

    let (mut header, mut data, mut parameters) = (serde_json::Map::new(), Vec::new(), 0);
    let mut add =
        |name: String, dtype: &str, shape: &[usize], bytes: &mut dyn Iterator<Item = u8>| {
            let start = data.len();
            data.extend(bytes);
            let offsets = [start, data.len()];
            header.insert(name, json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}));
        };
    let mut seed = 1_u32;
    let mut random = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    let floats =
        |value: f32, count: usize| std::iter::repeat_n(value.to_le_bytes(), count).flatten();
    let halves = |byte: u8| [byte, 0x3c ^ (byte & 0x80)];
    add(
        "model.embed_tokens.weight".to_owned(),
        "BF16",
        &[VOCAB, HIDDEN],
        &mut (0..VOCAB * HIDDEN).flat_map(|_| halves(random())),
    );
    add("model.norm.weight".to_owned(), "F32", &[HIDDEN], &mut floats(1.0, HIDDEN));
    parameters += VOCAB * HIDDEN;
    for layer in 0..LAYERS {
        let prefix = format!("model.layers.{layer}");
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            let name = format!("{prefix}.{norm}.weight");
            add(name, "F32", &[HIDDEN], &mut floats(1.0, HIDDEN));
        }
        let attention =
            ["q", "k", "v", "o"].map(|name| (format!("self_attn.{name}_proj"), HIDDEN, HIDDEN));
        let mlp = [("gate", INNER, HIDDEN), ("up", INNER, HIDDEN), ("down", HIDDEN, INNER)];
        let mlp = mlp.map(|(name, rows, columns)| (format!("mlp.{name}_proj"), rows, columns));
        for (name, rows, columns) in attention.into_iter().chain(mlp) {
            let name = format!("{prefix}.{name}");
            let values = &mut (0..rows * columns).map(|_| random());
            add(format!("{name}.weight"), "I8", &[rows, columns], values);
            add(format!("{name}.SCB"), "F32", &[rows], &mut floats(0.05, rows));
            parameters += rows * columns;
        }
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    fs::write(folder.join("model.safetensors"), file).unwrap();
    parameters
}

#[cfg(target_os = "linux")]
#[test]
fn a_quantized_checkpoint_is_made_dense_layer_by_layer() {
    let bench = Bench::new(&[]);
    let parameters = write_model(&bench.path().join("model"));
    let prose = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    bench.write("text.txt", &prose);
    let run = |dtype: &str, more: &str, folder: &str| {
        bench.write("test.toml", &format!(
            "name = \"test\"\n[model]\nsource = \"model\"\ndevice = \"cpu\"\ndtype = {dtype:?}\n{more}\n\
             [data]\nsource = \"text.txt\"\nfirst_k_tokens = 129\n[protocol]\nwindow = 64\nstride = 64\n\
             [run]\nthreads = 1\n"
        ));
        let peak = bench.peak_kib(&["run", "test.toml", "-o", folder]) * 1024;
        (peak, nll(&bench.record(folder, "baseline")))
    };
    let (peak, expected) = run("f32", "", "resident");
    let dense = parameters * 4;
    println!("f32: {} MiB of dense weights, {} MiB at most", dense >> 20, peak >> 20);
    assert!(peak > dense && peak < dense / 5 * 6, "{peak} bytes for {dense} of weights");

    let (peak, streamed) = run("f32", "weights = { streaming = true }", "streamed");
    println!("f32, streamed: {} MiB at most", peak >> 20);
    assert_eq!(streamed, expected);
    assert!(peak < dense / 3, "{peak} bytes for {dense} of weights, one layer at a time");

    let (peak, _) = run("bf16", "", "bf16");
    // A CPU without a tile unit works in f32, and keeps weights of bf16 as such.
    let tiles = fs::read_to_string("/proc/cpuinfo").unwrap().contains("amx_bf16");
    let dense = parameters * if tiles { 2 } else { 4 };
    println!("bf16: {} MiB of dense weights, {} MiB at most", dense >> 20, peak >> 20);
    assert!(peak > dense && peak < dense / 5 * 6, "{peak} bytes for {dense} of weights");
}
