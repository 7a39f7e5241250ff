//! The stated error of affine, computed from the values alone.

use strait_affine::{AffineParams, Granularity, Rounding, ScaleDtype, Scheme};
use strait_sdk::prelude::*;

/// Largest error of each value: half a step (a whole one with stochastic rounding), the rounding of the scale times the number of steps,
/// and the rounding of the minimum.
pub(crate) fn bound(params: &AffineParams, shape: Shape, values: &[f32]) -> Vec<f32> {
    let cell = |i: usize| {
        let (row, column) = (i / shape.channels, i % shape.channels);
        match params.granularity {
            Granularity::Tensor => 0,
            Granularity::Token => row,
            Granularity::Channel => column,
            Granularity::Group => {
                row * shape.channels.div_ceil(params.group) + column / params.group
            }
            Granularity::ChannelGroup => row / params.group * shape.channels + column,
        }
    };
    let mut extents = vec![(f32::INFINITY, f32::NEG_INFINITY); values.len().max(1)];
    for (i, value) in values.iter().enumerate() {
        let (low, high) = &mut extents[cell(i)];
        *low = low.min(*value);
        *high = high.max(*value);
    }
    (0..values.len())
        .map(|i| {
            let (low, high) = extents[cell(i)];
            cell_bound(params, low, high)
        })
        .collect()
}

fn cell_bound(params: &AffineParams, low: f32, high: f32) -> f32 {
    let levels = (1_u32 << params.bits) as f32 - 1.0;
    // Relative rounding of the stored type, and half its smallest step.
    let (unit, step) = match params.scale_dtype {
        ScaleDtype::F32 => (0.0, 0.0),
        ScaleDtype::F16 => (1.0 / 2048.0, 3e-8),
        ScaleDtype::Bf16 => (1.0 / 256.0, 0.0),
    };
    let (scale, base) = match params.scheme {
        Scheme::Symmetric => (low.abs().max(high.abs()) / (levels / 2.0).floor(), 0.0),
        Scheme::Asymmetric => ((high.max(0.0) - low.min(0.0)) / levels, 0.0),
        Scheme::Minimum => ((high - low) / levels, low.abs()),
    };
    let rounding = levels * (scale * unit + step) + base * unit + step;
    let steps = if params.rounding == Rounding::Stochastic { 1.0 } else { 0.5 };
    (scale * (1.0 + unit) * steps + rounding) * (1.0 + 1e-5) + base * 2e-7
}
