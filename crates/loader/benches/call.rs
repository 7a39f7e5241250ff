//! What one call across the boundary costs: a message of 1 × 16 values and a codec that copies.

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::Map;
use strait_loader::{Dtype, HostServices, MatrixMut, MatrixRef, Plugin, Side};

fn calls(criterion: &mut Criterion) {
    let plugin = Plugin::open(&build(), None, HostServices::default()).unwrap();
    let codec = Arc::new(plugin).codec("hostile.error").unwrap();
    let mut encoder = codec.open(Side::Encoder, &Map::new(), None).unwrap();
    let mut decoder = codec.open(Side::Decoder, &Map::new(), None).unwrap();
    let bytes = [7; 64];
    let mut decoded = [0; 64];
    let mut payload = Vec::new();
    let message = MatrixRef { rows: 1, channels: 16, dtype: Dtype::F32, bytes: &bytes, side: &[] };

    criterion.bench_function("encode 1x16", |bencher| {
        bencher.iter(|| encoder.encode(black_box(message), &mut payload).unwrap());
    });
    criterion.bench_function("decode 1x16", |bencher| {
        bencher.iter(|| {
            let bytes = &mut decoded[..];
            let target = MatrixMut { rows: 1, channels: 16, dtype: Dtype::F32, bytes };
            decoder.decode(black_box(&payload), target).unwrap();
        });
    });
    criterion.bench_function("open and close", |bencher| {
        bencher.iter(|| codec.open(Side::Encoder, &Map::new(), None).unwrap());
    });
    criterion.bench_function("load a plugin that is mapped already", |bencher| {
        bencher
            .iter(|| Plugin::open(codec.plugin().path(), None, HostServices::default()).unwrap());
    });
}

/// Builds the plugin with the copying codec beside this benchmark.
fn build() -> std::path::PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().parent().unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins");
    let status = Command::new("cargo")
        .current_dir(repository)
        .args(["build", "--release", "--offline", "--package", "strait-hostile"])
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .unwrap();
    assert!(status.success());
    target.join("release/libstrait_hostile.so")
}

criterion_group!(benches, calls);
criterion_main!(benches);
