//! One 2048-token window through a model of SmolLM2-135M's shape with random weights, and its
//! parts: a layer, its attention block, the head.
//!
//! `cargo bench -p strait-model` for the CPU; set `STRAIT_BENCH_DEVICE` (`cpu:plain`, `cuda:0`) for
//! another device and `STRAIT_BENCH_DTYPE` for another type.
#![allow(clippy::unwrap_used, missing_docs)]

use std::error::Error;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use strait_model::{
    Ahead, Device, Dtype, Hidden, Model, RunInput, ScoreRange, SourceTensor, TensorSource,
    open_device,
};

const TOKENS: usize = 2048;
const SCORED: usize = 512;

/// Random weights of any shape that the configuration asks for.
struct Random {
    config: Value,
}

impl Random {
    fn new(layers: usize, intermediate: usize) -> Random {
        let config = json!({
            "model_type": "llama", "hidden_size": 576, "num_hidden_layers": layers,
            "num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": intermediate,
            "vocab_size": 49152, "rope_theta": 100_000.0, "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
        });
        Random { config }
    }

    fn load(&self, cuts: &[usize]) -> Model {
        Model::load(self, cuts, &[device()], dtype()).unwrap()
    }
}

impl TensorSource for Random {
    fn config(&self) -> &Value {
        &self.config
    }

    fn contains(&self, name: &str) -> bool {
        name != "lm_head.weight"
    }

    fn tensor(&self, name: &str) -> Result<SourceTensor, Box<dyn Error + Send + Sync>> {
        let inner = self.config["intermediate_size"].as_u64().unwrap() as usize;
        let shape: Vec<usize> = match name.rsplit('.').nth(1).unwrap_or_default() {
            "q_proj" | "o_proj" => vec![576, 576],
            "k_proj" | "v_proj" => vec![192, 576],
            "gate_proj" | "up_proj" => vec![inner, 576],
            "down_proj" => vec![576, inner],
            "embed_tokens" => vec![49152, 576],
            _ => vec![576],
        };
        let mut state = name.len() as u64;
        let data = (0..shape.iter().product::<usize>()).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.14
        });
        Ok(SourceTensor { data: data.collect(), shape })
    }
}

fn device() -> Device {
    open_device(&std::env::var("STRAIT_BENCH_DEVICE").unwrap_or("cpu".to_owned())).unwrap()
}

fn dtype() -> Dtype {
    match std::env::var("STRAIT_BENCH_DTYPE").as_deref() {
        Ok("f16") => Dtype::F16,
        Ok("bf16") => Dtype::Bf16,
        _ => Dtype::F32,
    }
}

fn tokens() -> Vec<u32> {
    (0..TOKENS as u32).map(|i| i * 7919 % 49152).collect()
}

fn hidden() -> Hidden {
    let values: Vec<f32> = (0..TOKENS * 576).map(|i| (i as f32 * 0.37).sin()).collect();
    Hidden::from_f32(&values, [1, TOKENS, 576], dtype()).unwrap()
}

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    group.sample_size(10).warm_up_time(Duration::from_secs(1));

    let state = hidden();
    let source = Random::new(2, 1536);
    let mut model = source.load(&[0, 1]);
    let stage = &mut model.stages()[1];
    group.bench_function("layer", |b| {
        b.iter(|| stage.run(RunInput::Hidden(&state), None).unwrap());
    });
    let source = Random::new(2, 8);
    let mut light = source.load(&[0, 1]);
    let stage = &mut light.stages()[1];
    group.bench_function("attention block (a layer with an MLP of 8)", |b| {
        b.iter(|| stage.run(RunInput::Hidden(&state), None).unwrap());
    });
    let range = ScoreRange {
        first_position: TOKENS - SCORED - 1,
        targets: tokens()[TOKENS - SCORED..].to_vec(),
    };
    let range = [range];
    let last = &mut model.stages()[2];
    group.bench_function("head, 512 positions, reference", |b| {
        b.iter(|| last.reference(&state, Ahead::Layers, &range).unwrap());
    });
    let (_, reference) = last.reference(&state, Ahead::Layers, &range).unwrap();
    group.bench_function("head, 512 positions, against a reference", |b| {
        b.iter(|| last.score(&state, Ahead::Layers, &range, &reference, &[0]).unwrap());
    });

    let mut whole = Random::new(30, 1536).load(&[]);
    let tokens = tokens();
    group.bench_function("window of 2048, 512 scored", |b| {
        b.iter(|| {
            let stage = &mut whole.stages()[0];
            let input = RunInput::Tokens { tokens: &tokens, batch: 1 };
            let state = stage.run(input, None).unwrap();
            stage.reference(&state, Ahead::Layers, &range).unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, forward);
criterion_main!(benches);
