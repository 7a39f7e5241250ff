//! The end of a block: its last projection, and how the result joins the residual stream.

use pulp::Simd;
use strait_ops::Dtype;

use crate::blocks::Blocks;
use crate::norm::Norm;
use crate::panels::{Floats, grow};
use crate::product::{ROWS, Rights, Started};
use crate::rules::Rules;

/// How a block's result `y` joins the stream `x`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Join<'a> {
    /// The norm of the result.
    pub(crate) norm: Option<&'a Norm>,
    /// Another block's result that is added to it, laid out as `x`.
    pub(crate) other: Option<&'a [f32]>,
    /// Whether it takes the place of `x` instead of being added.
    pub(crate) replace: bool,
}

/// A block's last projection, ready to be computed.
pub(crate) struct Projection<'a, const NR: usize> {
    pub(crate) unit: &'a Started,
    pub(crate) weights: &'a Blocks,
    pub(crate) rights: &'a Rights<'a, NR>,
    pub(crate) rules: Rules,
}

impl<const NR: usize> Projection<'_, NR> {
    /// Joins the result to panels `x`; `memory` is used where that takes more than one step.
    #[inline(always)]
    pub(crate) fn finish<S: Simd>(
        &self,
        simd: S,
        how: Join<'_>,
        x: &mut [[f32; NR]],
        memory: &mut Floats,
    ) {
        let Projection { unit, weights, rights, rules } = *self;
        if how.norm.is_some() || how.other.is_some() || how.replace {
            let y = grow(memory, x.len() * NR).as_chunks_mut::<NR>().0;
            self.write(simd, y);
            join(simd, y, how, x, weights.outputs, rules);
            return;
        }
        let mut sums = [[0.0; NR]; ROWS];
        for block in 0..weights.count() {
            let first = block * ROWS;
            for (panel, x) in x.chunks_exact_mut(weights.outputs).enumerate() {
                let right = rights.panel(panel);
                unit.product::<S, NR, false>(simd, weights.block(block), right, &mut sums);
                let x = &mut x[first..first + weights.valid(block)];
                for (i, (x, sum)) in x.iter_mut().zip(&mut sums).enumerate() {
                    add_bias(sum, weights.bias(first + i), rules.dtype);
                    add(x, sum, rules.dtype);
                }
            }
        }
    }

    /// Writes the result to panels `y`.
    #[inline(always)]
    pub(crate) fn write<S: Simd>(&self, simd: S, y: &mut [[f32; NR]]) {
        let Projection { unit, weights, rights, rules } = *self;
        let mut sums = [[0.0; NR]; ROWS];
        for block in 0..weights.count() {
            let first = block * ROWS;
            for (panel, y) in y.chunks_exact_mut(weights.outputs).enumerate() {
                let right = rights.panel(panel);
                unit.product::<S, NR, false>(simd, weights.block(block), right, &mut sums);
                let y = &mut y[first..first + weights.valid(block)];
                for (i, (y, sum)) in y.iter_mut().zip(&mut sums).enumerate() {
                    add_bias(sum, weights.bias(first + i), rules.dtype);
                    *y = *sum;
                }
            }
        }
    }
}

/// Joins panels `y` of `channels` channels, which it may change, to panels `x`.
#[inline(always)]
pub(crate) fn join<S: Simd, const NR: usize>(
    simd: S,
    y: &mut [[f32; NR]],
    how: Join<'_>,
    x: &mut [[f32; NR]],
    channels: usize,
    rules: Rules,
) {
    if let Some(norm) = how.norm {
        for y in y.chunks_exact_mut(channels) {
            norm.replace(simd, y, rules);
        }
    }
    if let Some(other) = how.other {
        for (y, other) in y.iter_mut().zip(other.as_chunks::<NR>().0) {
            add(y, other, rules.dtype);
        }
    }
    if how.replace {
        x.copy_from_slice(y);
        return;
    }
    for (x, y) in x.iter_mut().zip(y) {
        add(x, y, rules.dtype);
    }
}

/// `y += bias`, rounded.
#[inline(always)]
pub(crate) fn add_bias<const NR: usize>(y: &mut [f32; NR], bias: f32, dtype: Dtype) {
    for y in y.iter_mut() {
        *y += bias;
    }
    dtype.round(y);
}

/// `x += y`, rounded.
#[inline(always)]
pub(crate) fn add<const NR: usize>(x: &mut [f32; NR], y: &[f32; NR], dtype: Dtype) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += *y;
    }
    dtype.round(x);
}
