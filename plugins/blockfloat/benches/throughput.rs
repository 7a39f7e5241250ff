//! Throughput of `blockfloat`, `mx` and `nvfp4` in bytes of f32 input, one thread.

use strait_blockfloat::{Blockfloat, Mx, Nvfp4};

strait_conformance::bench!(
    Blockfloat: [
        ("nf4 f32", {}),
        ("nf4 nested8", { "absmax": "nested8" }),
        ("fp4 f16", { "code": "fp4", "absmax": "f16" }),
    ],
    Mx: [
        ("mxfp4", { "format": "mxfp4" }),
        ("mxfp4 even", { "format": "mxfp4", "scale": "even" }),
        ("mxfp6 e2m3", { "format": "mxfp6_e2m3" }),
        ("mxfp6 e3m2", { "format": "mxfp6_e3m2" }),
        ("mxfp8 e4m3", { "format": "mxfp8_e4m3" }),
        ("mxfp8 e5m2", { "format": "mxfp8_e5m2" }),
        ("mxint8", { "format": "mxint8" }),
    ],
    Nvfp4: [("nvfp4", {})],
);
