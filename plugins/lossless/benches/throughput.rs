//! Throughput of `lossless` in bytes of input, one thread.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use strait_lossless::{Lossless, LosslessParams};
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{Value, json};

/// A name, the type of the values, and the parameters.
type Setting = (&'static str, Dtype, fn() -> Value);

const SETTINGS: &[Setting] = &[
    ("bf16 rans", Dtype::BF16, || json!({ "method": "rans" })),
    ("bf16 range", Dtype::BF16, || json!({ "method": "range" })),
    ("bf16 zstd 3", Dtype::BF16, || json!({ "method": "zstd" })),
    (
        "bf16 zstd 1 bytes",
        Dtype::BF16,
        || json!({ "method": "zstd", "level": 1, "split": "bytes" }),
    ),
    ("f32 rans", Dtype::F32, || json!({ "method": "rans" })),
];

fn throughput(criterion: &mut Criterion) {
    let mut state = 1_u32;
    // Normal values: the sum of four uniform ones.
    let values: Vec<f32> = (0..128 * 5120)
        .map(|_| {
            (0..4)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 8) as f32 / (1 << 23) as f32 - 1.0
                })
                .sum()
        })
        .collect();
    for (name, dtype, params) in SETTINGS {
        let shape = Shape { rows: 128, channels: 5120, dtype: *dtype };
        let mut input = vec![0; shape.bytes()];
        strait_sdk::narrow(*dtype, &values, &mut input);
        let params = LosslessParams::from_json(&params()).unwrap();
        let mut codec = Lossless::open(params).unwrap();
        let message = Message::new(shape, &input, &[]).unwrap();
        let mut payload = Vec::new();
        codec.encode(message, &mut payload).unwrap();
        let mut output = input.clone();
        let bits = payload.len() as f64 * 8.0 / shape.values() as f64;
        let mut group = criterion.benchmark_group(format!("{name}, {bits:.2} bits"));
        group.throughput(Throughput::Bytes(shape.bytes() as u64));
        group.bench_function("encode", |bencher| {
            let mut payload = Vec::new();
            bencher.iter(|| {
                payload.clear();
                codec.encode(black_box(message), &mut payload).unwrap();
                black_box(&payload);
            });
        });
        group.bench_function("decode", |bencher| {
            bencher.iter(|| {
                let mut message = MessageMut::new(shape, &mut output).unwrap();
                codec.decode(black_box(&payload), &mut message).unwrap();
            });
        });
        group.finish();
    }
}

criterion_group!(benches, throughput);
criterion_main!(benches);
