//! The 4-bit code tables of bitsandbytes.
//!
//! Source: `bitsandbytes/functional.py` (NF4: [QLoRA](https://arxiv.org/abs/2305.14314), appendix E). The digits are those
//! that the package prints; as f32 they are the package's values exactly.
#![allow(clippy::excessive_precision)]

/// Sixteen quantiles of the normal distribution, scaled to [-1, 1], in the order of their codes.
pub(crate) static NF4: [f32; 16] = [
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
];

/// Sign, two exponent bits and one mantissa bit, scaled to [-1, 1], in the order of their codes; both zeros are positive.
pub(crate) static FP4: [f32; 16] = [
    0.0,
    0.0052083334885537624,
    0.6666666865348816,
    1.0,
    0.3333333432674408,
    0.5,
    0.1666666716337204,
    0.25,
    0.0,
    -0.0052083334885537624,
    -0.6666666865348816,
    -1.0,
    -0.3333333432674408,
    -0.5,
    -0.1666666716337204,
    -0.25,
];
