//! Throughput of `spectral` in bytes of f32 input, one thread.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use strait_sdk::prelude::*;
use strait_sdk::serde_json::{Value, json};
use strait_spectral::{Spectral, SpectralParams};

/// A name, and the parameters.
type Setting = (&'static str, fn() -> Value);

const SETTINGS: &[Setting] = &[
    ("fft block", || json!({ "transform": "fft" })),
    ("dct channels", || json!({ "transform": "dct_channels" })),
    ("dct tokens 4 bit", || json!({ "transform": "dct_tokens", "values": "int", "bits": 4 })),
];

fn throughput(criterion: &mut Criterion) {
    // 128 tokens of 5120 channels: 2.5 MiB, about the size of a second-level cache.
    let shape = Shape { rows: 128, channels: 5120, dtype: Dtype::F32 };
    let mut state = 1_u32;
    let input: Vec<u8> = (0..shape.values())
        .flat_map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as f32 / (1 << 23) as f32 - 1.0).to_le_bytes()
        })
        .collect();
    for (name, params) in SETTINGS {
        let params = SpectralParams::from_json(&params()).unwrap();
        let mut codec = Spectral::open(params).unwrap();
        let message = Message::new(shape, &input, &[]).unwrap();
        let mut payload = Vec::new();
        codec.encode(message, &mut payload).unwrap();
        let mut output = input.clone();
        let mut group = criterion.benchmark_group(*name);
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
