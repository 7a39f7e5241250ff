//! Throughput of `lowrank` and `pca` in bytes of f32 input, one thread.

#![allow(missing_docs)]

use strait_affine::Affine;
use strait_cast::Cast;
use strait_lowrank::{Lowrank, Pca};

strait_conformance::bench!(
    inner [Affine, Cast];
    Lowrank: [("svd 1/8", {}), ("id 1/8", { "method": "id" })],
    Pca: [("64 directions", { "rank": 64 })],
);
