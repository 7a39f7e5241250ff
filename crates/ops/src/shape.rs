//! The sizes that a backend has to know.

use crate::rope::RopeConfig;

/// Sizes of a decoder and constants of its operations.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Size of the vocabulary.
    pub vocab: usize,
    /// Hidden size.
    pub hidden: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Channels of one head; even.
    pub head_dim: usize,
    /// Hidden size of the MLP.
    pub intermediate: usize,
    /// Added to the mean square in RMSNorm.
    pub norm_eps: f64,
    /// Rotary positions.
    pub rope: RopeConfig,
}
