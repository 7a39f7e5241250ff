//! Throughput of `delta` in bytes of f32 input, one thread.

#![allow(missing_docs)]

use strait_affine::Affine;
use strait_delta::Delta;

strait_conformance::bench!(
    inner [Affine];
    Delta: [
        ("previous", {}),
        ("adaptive", { "predict": "adaptive" }),
        ("previous, chunks of 16", { "chunk": 16 }),
    ],
);
