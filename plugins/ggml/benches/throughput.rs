//! Throughput of `ggml` in bytes of f32 input, one thread.

use strait_ggml::Ggml;

strait_conformance::bench!(
    Ggml: [
        ("q8_0", { "format": "q8_0" }),
        ("q4_0", { "format": "q4_0" }),
        ("q4_1", { "format": "q4_1" }),
        ("q5_0", { "format": "q5_0" }),
        ("q5_1", { "format": "q5_1" }),
        ("q4_k", { "format": "q4_k" }),
        ("q6_k", { "format": "q6_k" }),
        ("iq4_nl", { "format": "iq4_nl" }),
    ],
);
