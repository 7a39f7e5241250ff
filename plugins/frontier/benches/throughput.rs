//! Throughput of `frontier` in bytes of f32 input, one thread.

#![allow(missing_docs)]

use strait_frontier::Frontier;

strait_conformance::bench!(
    Frontier: [
        ("2 bits", { "bits": 2.0 }),
        ("4 bits", { "bits": 4.0 }),
        ("8 bits", { "bits": 8.0 }),
        ("4 bits, no history", { "bits": 4.0, "history": 0 }),
    ]
);
