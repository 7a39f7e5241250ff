//! Throughput of the entropy coders in symbols (of one byte) a second, one thread.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use strait_codec_kit::entropy::{Bit, Bytes, Integers, RangeDecoder, RangeEncoder, rans};
use strait_sdk::simd::vectorize;

const COUNT: usize = 1 << 18;

/// Numbers with a two-sided geometric distribution of about 3 bits.
fn numbers() -> Vec<i32> {
    let mut state = 1_u64;
    (0..COUNT)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let bits = (state >> 32) as u32;
            let uniform = f64::from((bits >> 1) + 1) / f64::from(1_u32 << 31);
            let magnitude = (-uniform.ln() * 2.0) as i32;
            if bits & 1 == 1 { magnitude } else { -magnitude }
        })
        .collect()
}

/// Measures one coder: `encode` appends, `decode` reads all.
fn measure(
    criterion: &mut Criterion,
    name: &str,
    encode: impl Fn(&mut Vec<u8>),
    mut decode: impl FnMut(&[u8]),
) {
    let mut coded = Vec::new();
    encode(&mut coded);
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(COUNT as u64));
    group.bench_function("encode", |bencher| {
        let mut bytes = Vec::new();
        bencher.iter(|| {
            bytes.clear();
            vectorize(
                #[inline(always)]
                || encode(&mut bytes),
            );
            black_box(&bytes);
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            vectorize(
                #[inline(always)]
                || decode(black_box(&coded)),
            );
        });
    });
    group.finish();
}

fn entropy(criterion: &mut Criterion) {
    let numbers = numbers();
    let bytes: Vec<u8> = numbers.iter().map(|number| (number + 128) as u8).collect();
    let mut back = vec![0; COUNT];
    measure(
        criterion,
        "rans",
        #[inline(always)]
        |out| {
            let frequencies = rans::Frequencies::of(&rans::count(&bytes)).unwrap();
            frequencies.write(out);
            rans::encode(&frequencies, &bytes, out);
        },
        #[inline(always)]
        |coded| {
            let (frequencies, rest) = rans::Frequencies::read(coded).unwrap();
            rans::decode(&frequencies, rest, &mut back).unwrap();
        },
    );
    measure(
        criterion,
        "adaptive bytes",
        #[inline(always)]
        |out| {
            let mut encoder = RangeEncoder::new(out);
            let mut model = Bytes::default();
            for byte in &bytes {
                model.encode(&mut encoder, *byte);
            }
            encoder.finish();
        },
        #[inline(always)]
        |coded| {
            let mut decoder = RangeDecoder::new(coded);
            let mut model = Bytes::default();
            for _ in 0..COUNT {
                black_box(model.decode(&mut decoder));
            }
            decoder.finish().unwrap();
        },
    );
    measure(
        criterion,
        "adaptive integers",
        #[inline(always)]
        |out| {
            let mut encoder = RangeEncoder::new(out);
            let mut model = Integers::default();
            for number in &numbers {
                model.encode(&mut encoder, *number);
            }
            encoder.finish();
        },
        #[inline(always)]
        |coded| {
            let mut decoder = RangeDecoder::new(coded);
            let mut model = Integers::default();
            for _ in 0..COUNT {
                black_box(model.decode(&mut decoder));
            }
            decoder.finish().unwrap();
        },
    );
    measure(
        criterion,
        "adaptive bits",
        #[inline(always)]
        |out| {
            let mut encoder = RangeEncoder::new(out);
            let mut model = Bit::default();
            for number in &numbers {
                model.encode(&mut encoder, *number == 0);
            }
            encoder.finish();
        },
        #[inline(always)]
        |coded| {
            let mut decoder = RangeDecoder::new(coded);
            let mut model = Bit::default();
            for _ in 0..COUNT {
                black_box(model.decode(&mut decoder));
            }
            decoder.finish().unwrap();
        },
    );
}

criterion_group!(benches, entropy);
criterion_main!(benches);
