//! What it costs to ask about attention: four layers of a small model on 512 tokens, passed through, run with
//! caches, and probed.
//!
//! `cargo bench -p strait-model --bench probe`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use strait_model::{
    CacheVisitor, CachedLayer, CachedRun, Device, Dtype, Model, ProbeRequest, RunInput,
};
use strait_weights::Checkpoint;

const TOKENS: usize = 512;

/// Looks at some layers.
struct Prober {
    layers: std::ops::Range<usize>,
    request: ProbeRequest,
}

impl CacheVisitor for Prober {
    fn probes(&self, layer: usize) -> bool {
        self.layers.contains(&layer)
    }

    fn visit(&mut self, layer: &mut dyn CachedLayer) -> Result<(), Box<dyn Error + Send + Sync>> {
        if self.probes(layer.number()) {
            std::hint::black_box(layer.probe(&self.request)?);
        }
        Ok(())
    }
}

fn probe(criterion: &mut Criterion) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/models/wiki-4m");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let mut model = Model::load(&checkpoint, &[3], &[Device::Cpu], Dtype::F32).unwrap();
    let stage = &mut *model.stages()[0];
    let tokens: Vec<u32> = (0..TOKENS as u32).map(|i| i * 7919 % 4096).collect();
    let input = RunInput::Tokens { tokens: &tokens, batch: 1 };
    let mut group = criterion.benchmark_group("probe");
    group.sample_size(20).warm_up_time(Duration::from_secs(1));
    group.bench_function("nobody asks", |b| b.iter(|| stage.run(input, None).unwrap()));
    let all = 0..TOKENS;
    let sums = ProbeRequest { sums: true, ..ProbeRequest::at(all.clone()) };
    let entropy = ProbeRequest { entropy: true, ..ProbeRequest::at(all.clone()) };
    let last = ProbeRequest { each: true, ..ProbeRequest::at(TOKENS - 1..TOKENS) };
    let cases = [
        ("with caches, nobody asks", 0..0, &sums),
        ("column mean of one layer", 3..4, &sums),
        ("last row of one layer", 3..4, &last),
        ("entropy of one layer", 3..4, &entropy),
        ("column mean of four layers", 0..4, &sums),
    ];
    for (name, layers, request) in cases {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut caches = stage.open_caches(1, true);
                let mut visitor = Prober { layers: layers.clone(), request: request.clone() };
                let cached = CachedRun {
                    caches: &mut caches,
                    first_position: 0,
                    visitor: Some(&mut visitor),
                };
                stage.run(input, Some(cached)).unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, probe);
criterion_main!(benches);
