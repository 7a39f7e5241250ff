//! The end of a block: its last projection, and how the result joins the residual stream.

use std::ops::Range;

use pulp::Simd;
use strait_ops::Dtype;

use crate::blocks::Blocks;
use crate::norm::Norm;
use crate::panels::{Floats, Panels, grow};
use crate::product::{ROWS, Rights, Started};
use crate::ranks::Columns;
use crate::rules::Rules;

/// What a block does with its output, panel by panel of the stream that it read.
#[derive(Clone, Copy)]
pub(crate) enum Ending<'a> {
    /// Adds it to the stream, together with the output of another block in the same layout, if there is
    /// one.
    Added(Option<&'a Panels>),
    /// Writes it in place of the stream.
    Alone,
    /// Writes a rank's partial sums of the last projection there, neither rounded nor normed.
    Sums(Columns),
}

impl<'a> Ending<'a> {
    /// The same for the values `run` of the stream, and an output with this norm.
    pub(crate) fn of(self, norm: Option<&'a Norm>, run: Range<usize>) -> Join<'a> {
        match self {
            Ending::Added(other) => Join::Added { norm, other: other.map(|all| &all.data[run]) },
            Ending::Alone => Join::Alone { norm },
            Ending::Sums(columns) => Join::Sums(columns),
        }
    }

    /// The inputs of the last projection that are summed, out of `inputs`.
    pub(crate) fn columns(self, inputs: usize) -> Columns {
        match self {
            Ending::Sums(columns) => columns,
            Ending::Added(_) | Ending::Alone => Columns::all(inputs),
        }
    }

    pub(crate) fn is_sums(self) -> bool {
        matches!(self, Ending::Sums(_))
    }
}

/// How a block's output `y` joins panels `x`.
#[derive(Clone, Copy)]
pub(crate) enum Join<'a> {
    /// `x += norm(y) + other`.
    Added { norm: Option<&'a Norm>, other: Option<&'a [f32]> },
    /// `x = norm(y)`.
    Alone { norm: Option<&'a Norm> },
    /// `x = y`, where `y` are sums over these inputs.
    Sums(Columns),
}

/// A block's last projection, ready to be computed.
pub(crate) struct Projection<'a, const NR: usize> {
    pub(crate) unit: &'a Started,
    pub(crate) weights: &'a Blocks,
    pub(crate) rights: &'a Rights<'a, NR>,
    pub(crate) rules: Rules,
}

impl<const NR: usize> Projection<'_, NR> {
    /// Joins the result to panels `x`; `memory` is used if that takes more than one step.
    #[inline(always)]
    pub(crate) fn finish<S: Simd>(
        &self,
        simd: S,
        how: Join<'_>,
        x: &mut [[f32; NR]],
        memory: &mut Floats,
    ) {
        let Projection { unit, weights, rights, rules } = *self;
        match how {
            // The most frequent ending needs no memory between the product and the sum.
            Join::Added { norm: None, other: None } => {}
            Join::Sums(columns) => return self.write_sums(simd, columns, x),
            Join::Added { .. } | Join::Alone { .. } => {
                let y = grow(memory, x.len() * NR).as_chunks_mut::<NR>().0;
                self.write(simd, y);
                join(simd, y, how, x, weights.outputs, rules);
                return;
            }
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
        self.write_from(simd, 0, y);
    }

    /// Writes the outputs from block `first_block` on to panels `y`.
    #[inline(always)]
    pub(crate) fn write_from<S: Simd>(&self, simd: S, first_block: usize, y: &mut [[f32; NR]]) {
        let Projection { unit, weights, rights, rules } = *self;
        let mut sums = [[0.0; NR]; ROWS];
        for block in first_block..weights.count() {
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

    /// Writes the sums over `columns`, which are the inputs of `rights`, to panels `y` in f32, with the
    /// bias if they are rank 0's.
    #[inline(always)]
    pub(crate) fn write_sums<S: Simd>(&self, simd: S, columns: Columns, y: &mut [[f32; NR]]) {
        let Projection { unit, weights, rights, .. } = *self;
        let mut sums = [[0.0; NR]; ROWS];
        for block in 0..weights.count() {
            let first = block * ROWS;
            let left = weights.block(block).inputs(columns.first, columns.count);
            for (panel, y) in y.chunks_exact_mut(weights.outputs).enumerate() {
                unit.product::<S, NR, false>(simd, left, rights.panel(panel), &mut sums);
                let y = &mut y[first..first + weights.valid(block)];
                for (i, (y, sum)) in y.iter_mut().zip(&mut sums).enumerate() {
                    if columns.with_bias {
                        add_bias(sum, weights.bias(first + i), Dtype::F32);
                    }
                    *y = *sum;
                }
            }
        }
    }
}

/// Joins panels `y` of `channels` channels to panels `x`; `y` may be modified.
#[inline(always)]
pub(crate) fn join<S: Simd, const NR: usize>(
    simd: S,
    y: &mut [[f32; NR]],
    how: Join<'_>,
    x: &mut [[f32; NR]],
    channels: usize,
    rules: Rules,
) {
    let norm = match how {
        Join::Added { norm, .. } | Join::Alone { norm } => norm,
        Join::Sums(_) => None,
    };
    if let Some(norm) = norm {
        for y in y.chunks_exact_mut(channels) {
            norm.replace(simd, y, rules);
        }
    }
    let Join::Added { other, .. } = how else {
        x.copy_from_slice(y);
        return;
    };
    if let Some(other) = other {
        for (y, other) in y.iter_mut().zip(other.as_chunks::<NR>().0) {
            add(y, other, rules.dtype);
        }
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
