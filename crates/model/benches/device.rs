//! What a device does: `xtask/gpu/run.py` calls this and collects the JSON line that each job prints.
//!
//! * `agree`: perplexity of the embedded model on the device and on the CPU.
//! * `window`: windows of 2048 tokens, the last 512 scored, through a model of a given shape with
//!   random weights; seconds of each window.
//! * `product`: the product of two square matrices; seconds of each.
//!
//! `cargo bench -p strait-model --bench device -- window --device cuda:0 --shape 8b --dtype bf16`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::print_stdout, reason = "the figures are for a program that reads them")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use strait_model::{
    Ahead, Device, Dtype, Hidden, Model, RunInput, ScoreRange, SourceTensor, TensorSource,
    open_device,
};
use strait_weights::Checkpoint;

/// Windows and products before the measured ones: kernels are chosen and compiled in them.
const UNMEASURED: usize = 3;

/// A decoder of Llama's kind.
struct Shape {
    name: &'static str,
    hidden: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    intermediate: usize,
    vocab: usize,
    tied: bool,
}

/// Llama 3.2 1B, Llama 3.1 8B and Qwen2.5 32B without its biases, by their `config.json`; `tiny` to
/// try the programs out.
const SHAPES: [Shape; 4] = [
    Shape {
        name: "tiny",
        hidden: 64,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        intermediate: 160,
        vocab: 512,
        tied: false,
    },
    Shape {
        name: "1b",
        hidden: 2048,
        layers: 16,
        heads: 32,
        kv_heads: 8,
        intermediate: 8192,
        vocab: 128_256,
        tied: true,
    },
    Shape {
        name: "8b",
        hidden: 4096,
        layers: 32,
        heads: 32,
        kv_heads: 8,
        intermediate: 14_336,
        vocab: 128_256,
        tied: false,
    },
    Shape {
        name: "32b",
        hidden: 5120,
        layers: 64,
        heads: 40,
        kv_heads: 8,
        intermediate: 27_648,
        vocab: 152_064,
        tied: false,
    },
];

fn main() {
    // Before there is a second thread: it may set CUDA_PATH.
    strait_nvidia::prepare();
    let arguments = Arguments::read();
    let line = match arguments.job.as_str() {
        "agree" => agree(&arguments),
        "window" => window(&arguments),
        "product" => product(&arguments),
        // `cargo bench` runs every benchmark; this one needs a job.
        _ => return,
    };
    println!("{line}");
}

struct Arguments {
    job: String,
    values: Vec<String>,
}

impl Arguments {
    fn read() -> Arguments {
        let mut values: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
        let job = if values.is_empty() { String::new() } else { values.remove(0) };
        Arguments { job, values }
    }

    fn get(&self, name: &str, otherwise: &str) -> String {
        let at = self.values.iter().position(|value| value == &format!("--{name}"));
        at.and_then(|at| self.values.get(at + 1)).map_or(otherwise.to_owned(), Clone::clone)
    }

    fn number(&self, name: &str, otherwise: usize) -> usize {
        self.get(name, &otherwise.to_string()).parse().expect("a number")
    }

    fn device(&self) -> Device {
        open_device(&self.get("device", "cuda:0")).unwrap_or_else(|error| panic!("{error}"))
    }

    fn dtype(&self) -> Dtype {
        match self.get("dtype", "bf16").as_str() {
            "f32" => Dtype::F32,
            "f16" => Dtype::F16,
            "bf16" => Dtype::Bf16,
            other => panic!("--dtype {other}: expected f32, f16 or bf16"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time; no result depends on it")]
fn seconds<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let begin = Instant::now();
    let made = work();
    (made, begin.elapsed().as_secs_f64())
}

/// The embedded model on the committed tokens, windows of 512 every 256, on the device and the CPU.
fn agree(arguments: &Arguments) -> Value {
    let root = arguments.get("root", concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let root = Path::new(&root);
    let checkpoint = Checkpoint::open(&root.join("assets/models/wiki-4m")).unwrap();
    let bytes = std::fs::read(root.join("crates/model/tests/data/wiki-4m-tokens.bin")).unwrap();
    let tokens: Vec<u32> =
        bytes.as_chunks().0.iter().map(|&id| u32::from(u16::from_le_bytes(id))).collect();
    let (device, dtype) = (arguments.device(), arguments.dtype());
    let perplexity = |device| {
        let mut model = Model::load(&checkpoint, &[], &[device], dtype).unwrap();
        let (mut sum, mut count) = (0.0, 0);
        for window in tokens.windows(513).step_by(256) {
            let range = ScoreRange { first_position: 256, targets: window[257..].to_vec() };
            let stage = &mut model.stages()[0];
            let input = RunInput::Tokens { tokens: &window[..512], batch: 1 };
            let state = stage.run(input, None).unwrap();
            let (scores, _) = stage.reference(&state, Ahead::Layers, &[range]).unwrap();
            sum += scores[0].nll.iter().sum::<f64>();
            count += scores[0].nll.len();
        }
        (sum / count as f64).exp()
    };
    let (on_device, on_cpu) = (perplexity(device), perplexity(Device::Cpu));
    json!({
        "job": "agree", "device": device.to_string(), "dtype": dtype.name(),
        "perplexity": on_device, "perplexity_cpu": on_cpu,
        "relative_difference": (on_device / on_cpu - 1.0).abs(),
    })
}

/// Seconds of whole windows: tokens in, figures of the scored positions out.
fn window(arguments: &Arguments) -> Value {
    let name = arguments.get("shape", "1b");
    let shape =
        SHAPES.iter().find(|shape| shape.name == name).expect("--shape tiny, 1b, 8b or 32b");
    let tokens = arguments.number("tokens", 2048);
    let scored = arguments.number("scored", 512).min(tokens - 1);
    let count = arguments.number("count", 10);
    let (device, dtype) = (arguments.device(), arguments.dtype());
    let source = Random { shape, config: shape.config(tokens), on_device: device != Device::Cpu };
    let (model, load_s) = seconds(|| Model::load(&source, &[], &[device], dtype).unwrap());
    let parameters = model.parameters();
    let mut stages = model.into_stages();
    let stage = &mut stages[0];
    let mut times = Vec::new();
    let mut moved = 0;
    for index in 0..UNMEASURED + count {
        let id = |i: usize| ((i * 7919 + index * 104_729) % shape.vocab) as u32;
        let ids: Vec<u32> = (0..tokens).map(id).collect();
        let range = ScoreRange {
            first_position: tokens - scored - 1,
            targets: ids[tokens - scored..].to_vec(),
        };
        let (state, time_s) = seconds(|| {
            let input = RunInput::Tokens { tokens: &ids, batch: 1 };
            let state = stage.run(input, None).unwrap();
            let (scores, _) = stage.reference(&state, Ahead::Layers, &[range]).unwrap();
            assert!(scores[0].nll.iter().all(|nll| nll.is_finite()));
            state
        });
        moved = moved_bytes(&state, tokens, scored);
        times.push(time_s);
    }
    json!({
        "job": "window", "device": device.to_string(), "dtype": dtype.name(), "shape": name,
        "tokens": tokens, "scored": scored, "parameters": parameters,
        "flops": shape.flops(tokens, scored), "moved_bytes": moved, "load_s": load_s,
        "first_s": times[0], "window_s": times[UNMEASURED..],
    })
}

/// What crosses between host and device in a window: tokens and targets in, embedded tokens out and
/// in again (stages exchange hidden states through the host), a figure for each scored position out.
fn moved_bytes(state: &Hidden, tokens: usize, scored: usize) -> usize {
    4 * tokens + 2 * state.data.len() + 4 * scored + 4 * scored
}

/// Seconds of large matrix products, one after the other.
fn product(arguments: &Arguments) -> Value {
    let (device, dtype) = (arguments.device(), arguments.dtype());
    let (size, count) = (arguments.number("size", 8192), arguments.number("count", 20));
    device.multiply(size, dtype, UNMEASURED).unwrap();
    let times: Vec<f64> = (0..5)
        .map(|_| seconds(|| device.multiply(size, dtype, count).unwrap()).1 / count as f64)
        .collect();
    json!({
        "job": "product", "device": device.to_string(), "dtype": dtype.name(), "size": size,
        "flops": 2 * (size as u64).pow(3), "product_s": times,
    })
}

impl Shape {
    fn config(&self, tokens: usize) -> Value {
        json!({
            "model_type": "llama", "hidden_size": self.hidden, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim(), "intermediate_size": self.intermediate,
            "vocab_size": self.vocab, "rope_theta": 500_000.0, "rms_norm_eps": 1e-5,
            "max_position_embeddings": tokens.max(8192), "tie_word_embeddings": self.tied,
        })
    }

    /// All but `tiny` have heads of 128 or, the 1B, of 64.
    fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }

    /// Multiplications and additions of a window: every weight of the layers meets every token,
    /// the head the scored ones, and attention the keys up to each query.
    fn flops(&self, tokens: usize, scored: usize) -> u64 {
        let (hidden, kv) = (self.hidden, self.kv_heads * self.head_dim());
        let layer = 2 * hidden * (hidden + kv) + 3 * hidden * self.intermediate;
        let attention = tokens * (tokens + 1) * hidden;
        let weights = tokens * layer * self.layers + scored * hidden * self.vocab;
        2 * (weights + attention * self.layers) as u64
    }

    fn tensor(&self, name: &str) -> Vec<usize> {
        let kv = self.kv_heads * self.head_dim();
        match name.rsplit('.').nth(1).unwrap_or_default() {
            "q_proj" | "o_proj" => vec![self.hidden, self.hidden],
            "k_proj" | "v_proj" => vec![kv, self.hidden],
            "gate_proj" | "up_proj" => vec![self.intermediate, self.hidden],
            "down_proj" => vec![self.hidden, self.intermediate],
            "embed_tokens" | "lm_head" => vec![self.vocab, self.hidden],
            _ => vec![self.hidden],
        }
    }
}

/// A checkpoint of random matrices. A burn device makes its own; zeroed memory that nobody reads
/// stands for them here and costs nothing.
struct Random<'a> {
    shape: &'a Shape,
    config: Value,
    on_device: bool,
}

impl TensorSource for Random<'_> {
    fn config(&self) -> &Value {
        &self.config
    }

    fn contains(&self, name: &str) -> bool {
        name.starts_with("model.") || name == "lm_head.weight"
    }

    fn tensor(&self, name: &str) -> Result<SourceTensor, Box<dyn Error + Send + Sync>> {
        let shape = self.shape.tensor(name);
        let count = shape.iter().product::<usize>();
        let mut state = name.len() as u64;
        let mut random = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.07
        };
        let data = match shape.len() {
            1 => vec![1.0; count],
            _ if self.on_device => vec![0.0; count],
            _ => (0..count).map(&mut random).collect(),
        };
        Ok(SourceTensor { shape, data })
    }

    fn any_values(&self) -> bool {
        self.on_device
    }
}
