//! A message as a product of thin matrices: `lowrank` decomposes each message, `pca` projects tokens on
//! directions that were fitted beforehand. The factors go to any other codec.
//!
//! Sources: the truncated singular value decomposition by subspace iteration ([Halko, Martinsson and
//! Tropp](https://arxiv.org/abs/0909.4061)), the interpolative decomposition by pivoted QR, and principal
//! components. For a message X of T tokens and C channels, and rank r:
//!
//! - `lowrank`, `method = "svd"`: X' = A B, the rows of B the r leading right singular vectors times √C, A =
//!   X Bᵀ / C. The inner codec gets Aᵀ [r, T], a row for each direction, and B [r, C].
//! - `lowrank`, `method = "id"`: r channels J are kept and the others are X[:, J] Z. Stored: J
//!   (`strait_codec_kit::subset`), X[:, J]ᵀ [r, T] and Zᵀ [C - r, r].
//! - `pca`: y = V (x - μ) / σ^w with μ, V and the deviations σ from the artifact; the inner codec gets y
//!   [T, r]; x' = μ + Vᵀ (σ^w y'). w = `whiten`: with 1/2 an even grid for all directions has steps
//!   proportional to √σ.
//!
//! r is `rank`, or `fraction` of the smaller of T and C (`pca`: of C), at least 1. Where the factors of
//! `lowrank` would hold as many values as the message, the message itself goes to the inner codec.
//!
//! Stored: the payloads of `inner`, the first behind its length unless that is exact. Static, for `pca`: 4
//! bytes for each value of μ, V and σ, for every number of channels among the samples.
//!
//! ```
//! # strait_sdk::offer::<strait_affine::Affine>();
//! # strait_conformance::check_example::<strait_lowrank::Lowrank>(r#"
//! [[compressor]]
//! codec = "lowrank"
//! params = { fraction = 0.25, inner = { codec = "affine", bits = 8 } }
//! # "#);
//! ```
//!
//! Error: the part of a message outside the directions, and that of `inner`. Limits: NaN counts as 0;
//! magnitudes above 2^126 / C saturate and those below 1e-30 may count as 0. A message of one token has no
//! low rank: `lowrank` passes it on whole.

mod algebra;
mod message;
mod pca;

pub use message::{Lowrank, LowrankParams, Method};
pub use pca::{Pca, PcaParams};

strait_sdk::export!(Lowrank, Pca);
