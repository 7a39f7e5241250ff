//! Throughput of `hqq` in bytes of f32 input, one thread.

use strait_hqq::Hqq;

strait_conformance::bench!(
    Hqq: [
        ("4 bit group 64", {}),
        ("3 bit group 64", { "bits": 3 }),
        ("2 bit group 64", { "bits": 2 }),
        ("1 bit group 64", { "bits": 1 }),
        ("4 bit axis 0", { "axis": 0 }),
        ("4 bit no search", { "iterations": 0 }),
    ],
);
