//! What all tasks of a model have in common.

use strait_ops::{Dtype, NormKind, Shape};

use crate::kernel::panel_tokens;
use crate::product::Unit;

/// Size in bytes of a run's right operands that should stay in a core's second-level cache.
const CACHED_BYTES: usize = 1280 * 1024;

/// How values are computed and rounded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) dtype: Dtype,
    /// The unit that computes products.
    pub(crate) unit: Unit,
    pub(crate) norm: NormKind,
    pub(crate) eps: f32,
}

impl Rules {
    pub(crate) fn new(shape: &Shape, dtype: Dtype) -> Rules {
        let eps = shape.norm.eps as f32;
        Rules { dtype, unit: Unit::of(dtype), norm: shape.norm.kind, eps }
    }

    /// The same with products in f32.
    pub(crate) fn in_f32(self) -> Rules {
        Rules { dtype: Dtype::F32, unit: Unit::of(Dtype::F32), ..self }
    }

    /// Number of panels that one task processes, so that weights are read once for all of them, if
    /// its right operands have `channels` channels.
    pub(crate) fn run_length(self, channels: usize) -> usize {
        (CACHED_BYTES / (channels * panel_tokens() * self.unit.size()).max(1)).clamp(1, 8)
    }
}
