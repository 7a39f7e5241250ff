//! One 2048-token window through the parts of a layer of SmolLM2-135M's shape with random weights:
//! attention block, MLP block, head, in every element type.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use strait_cpu::CpuOps;
use strait_ops::{
    Activation, AttentionShape, AttentionTensors, Dtype, FeedForwardTensors, Hidden, LayerTap,
    LinearTensors, MlpTensors, Network, Norm, NormKind, NormTensors, Ops, Projections, RopeConfig,
    RopeScaling, ScoreRange, Shape,
};

const TOKENS: usize = 2048;
const SCORED: usize = 512;

fn shape() -> Shape {
    let norm = Norm { kind: NormKind::Rms, eps: 1e-5 };
    Shape { vocab: 49152, hidden: 576, norm, embedding_scale: 1.0, logit_cap: None }
}

fn attention() -> AttentionTensors {
    let rope = RopeConfig {
        theta: 100_000.0,
        rotated: 64,
        scaling: RopeScaling::None,
        attention_factor: 1.0,
        rounded_once: false,
    };
    let (scale, window) = (0.125, None);
    AttentionTensors {
        shape: AttentionShape {
            heads: 9,
            kv_heads: 3,
            head_dim: 64,
            value_dim: 64,
            scale,
            cap: None,
            window,
            rope: Some(rope),
        },
        norm_in: norm(1),
        projections: Projections::Direct {
            query: linear(576, 576),
            key: linear(192, 576),
            value: linear(192, 576),
        },
        head_norms: None,
        output: linear(576, 576),
        norm_out: None,
    }
}

fn norm(seed: u64) -> Option<NormTensors> {
    Some(NormTensors { weight: random(576, seed), bias: None, eps: None })
}

fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.14
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn linear(outputs: usize, inputs: usize) -> LinearTensors {
    let weight = random(outputs * inputs, (outputs + inputs) as u64);
    LinearTensors { weight, bias: None, outputs, inputs }
}

fn parts(criterion: &mut Criterion) {
    for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
        let mut group = criterion.benchmark_group(dtype.name());
        group.sample_size(10).warm_up_time(Duration::from_millis(500));
        group.measurement_time(Duration::from_secs(2));
        let mut ops = CpuOps::new(&shape(), dtype);
        let hidden = Hidden::from_f32(&random(TOKENS * 576, 7), [1, TOKENS, 576], dtype).unwrap();
        let x = ops.upload(&hidden);
        let attention = ops.prepare_attention(attention());
        group.bench_function("attention", |b| {
            let run = |x| ops.add_attention(x, &attention, 0, None, &mut LayerTap::none()).unwrap();
            b.iter_batched(|| x.clone(), run, BatchSize::LargeInput);
        });
        let network = ops.prepare_feed_forward(FeedForwardTensors {
            activation: Activation::Silu,
            gate: Some(linear(1536, 576)),
            up: linear(1536, 576),
            down: linear(576, 1536),
        });
        let network = Network::Dense(network);
        let mlp = ops.prepare_mlp(MlpTensors { norm_in: norm(2), network, norm_out: None });
        group.bench_function("mlp", |b| {
            let run = |x| ops.add_mlp(x, &mlp, 0, &mut LayerTap::none()).unwrap();
            b.iter_batched(|| x.clone(), run, BatchSize::LargeInput);
        });
        let norm = ops.prepare_norm(NormTensors { weight: random(576, 3), bias: None, eps: None });
        let table = ops.prepare_table(random(49152 * 576, 4), None);
        let targets = (0..SCORED as u32).map(|i| i * 7919 % 49152).collect();
        let range = ScoreRange { first_position: TOKENS - SCORED - 1, targets };
        group.bench_function("head, 512 positions, reference", |b| {
            b.iter(|| ops.score(&x, 0, (&norm, &table), &range, None).unwrap());
        });
        let (_, reference) = ops.score(&x, 0, (&norm, &table), &range, None).unwrap();
        group.bench_function("head, 512 positions, against a reference", |b| {
            b.iter(|| ops.score(&x, 0, (&norm, &table), &range, reference.as_ref()).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, parts);
criterion_main!(benches);
