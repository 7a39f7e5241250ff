//! Throughput of the `outlier` codecs in bytes of f32 input, one thread.

#![allow(missing_docs)]

use strait_affine::Affine;
use strait_outlier::{Columns, Tokens, Values};

strait_conformance::bench!(
    inner [Affine];
    Columns: [("8 bit token", {}), ("1 percent", { "fraction": 0.01 })],
    Tokens: [("first", {}), ("8 times the median", { "ratio": 8.0 })],
    Values: [("1 of a token", {}), ("2 of 128", { "k": 2, "group": 128 })],
);
