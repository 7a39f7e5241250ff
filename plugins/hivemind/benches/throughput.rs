//! Throughput of `hivemind` in bytes of f32 input, one thread.

use strait_hivemind::Hivemind;

strait_conformance::bench!(
    Hivemind: [
        ("float16", { "method": "float16" }),
        ("meanstd16", { "method": "meanstd16" }),
        ("uniform8", { "method": "uniform8" }),
        ("quantile8", { "method": "quantile8" }),
        ("blockwise8", { "method": "blockwise8" }),
    ],
);
