//! Throughput of `hadamard` and `exl3` in bytes of f32 input, one thread; `cast` to f32 inside measures the
//! rotation alone.

#![allow(missing_docs)]

use strait_affine::Affine;
use strait_cast::Cast;
use strait_hadamard::{Exl3, Hadamard};

strait_conformance::bench!(
    inner [Affine, Cast];
    Hadamard: [
        ("rotation 20x256", { "inner": { "codec": "cast", "to": "f32" } }),
        ("rotation blocks of 128", { "inner": { "codec": "cast", "to": "f32" }, "block": 128 }),
        ("4 bit group 64", { "inner": { "codec": "affine", "bits": 4, "granularity": "group" } }),
    ],
    Exl3: [("4 bit", {}), ("3 bit companded", { "bits": 3, "compander": 0.65 })],
);
