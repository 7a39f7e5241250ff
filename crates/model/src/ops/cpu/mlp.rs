//! The gated MLP block on a run of panels.

use pulp::Simd;

use super::kernel::{MR, Task, tile};
use super::math::silu;
use super::norm::{add_residual, norm};
use super::panels::{Blocks, Scratch, grow};
use crate::dtype::Dtype;

/// Weights of an MLP block.
pub(crate) struct Mlp {
    pub(crate) norm: Vec<f32>,
    pub(crate) gate: Blocks,
    pub(crate) up: Blocks,
    pub(crate) down: Blocks,
}

/// `x += down(silu(gate(norm(x))) * up(norm(x)))` for panels `x`.
pub(crate) struct MlpTask<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) weights: &'a Mlp,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) eps: f32,
    pub(crate) dtype: Dtype,
}

impl Task for MlpTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let MlpTask { x, weights, scratch, eps, dtype } = self;
        let Mlp { norm: norm_weight, gate, up, down } = weights;
        let (hidden, inner) = (gate.inputs, gate.outputs);
        let x = x.as_chunks_mut::<NR>().0;
        let panels = x.len() / hidden;
        let normed = grow(&mut scratch.first, panels * hidden * NR).as_chunks_mut::<NR>().0;
        let inner_values = grow(&mut scratch.second, panels * inner * NR).as_chunks_mut::<NR>().0;
        for (x, out) in x.chunks_exact(hidden).zip(normed.chunks_exact_mut(hidden)) {
            norm(simd, x, norm_weight, eps, dtype, out);
        }
        let mut sums = [[0.0; NR]; MR];
        for block in 0..gate.blocks() {
            let (first, valid) = (block * MR, gate.valid(block));
            for (panel, b) in normed.chunks_exact(hidden).enumerate() {
                tile::<S, NR, false>(simd, gate.block(block), b, &mut sums);
                let out = &mut inner_values[panel * inner + first..][..valid];
                for (i, (out, sum)) in out.iter_mut().zip(&mut sums).enumerate() {
                    let bias = gate.bias(first + i);
                    sum.iter_mut().for_each(|sum| *sum += bias);
                    dtype.round(sum);
                    for (out, sum) in out.iter_mut().zip(sum) {
                        *out = silu(*sum);
                    }
                    dtype.round(out);
                }
            }
            for (panel, b) in normed.chunks_exact(hidden).enumerate() {
                tile::<S, NR, false>(simd, up.block(block), b, &mut sums);
                let out = &mut inner_values[panel * inner + first..][..valid];
                for (i, (out, sum)) in out.iter_mut().zip(&mut sums).enumerate() {
                    let bias = up.bias(first + i);
                    sum.iter_mut().for_each(|sum| *sum += bias);
                    dtype.round(sum);
                    for (out, sum) in out.iter_mut().zip(sum) {
                        *out *= *sum;
                    }
                    dtype.round(out);
                }
            }
        }
        for block in 0..down.blocks() {
            let (first, valid) = (block * MR, down.valid(block));
            for (panel, b) in inner_values.chunks_exact(inner).enumerate() {
                tile::<S, NR, false>(simd, down.block(block), b, &mut sums);
                let x = &mut x[panel * hidden + first..][..valid];
                for (i, (x, sum)) in x.iter_mut().zip(&sums).enumerate() {
                    add_residual(x, sum, down.bias(first + i), dtype);
                }
            }
        }
    }
}
