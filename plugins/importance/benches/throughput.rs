//! Throughput of `mixed` and `channels` in bytes of f32 input, one thread.

#![allow(missing_docs)]

use strait_affine::Affine;
use strait_cast::Cast;
use strait_importance::{Channels, Mixed};

strait_conformance::bench!(
    inner [Affine, Cast];
    Mixed: [
        ("half", {}),
        ("8 bits", { "rule": "bits" }),
        ("causal share", { "rule": "share", "causal": true }),
    ],
    Channels: [
        ("channel_8", {}),
        ("channel_4, 90 percent", { "method": "channel_4", "fraction": 0.9 }),
        ("channel_1_mean", { "method": "channel_1_mean" }),
    ],
);
