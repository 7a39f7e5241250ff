//! The gated MLP block on a run of panels.

use pulp::Simd;
use strait_ops::Dtype;

use crate::blocks::Blocks;
use crate::kernel::Task;
use crate::math::silu;
use crate::norm::{add_bias, add_residual, norm};
use crate::panels::Scratch;
use crate::product::{ROWS, Rights, Started, Unit};

/// Weights of an MLP block.
pub struct Mlp {
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
    pub(crate) unit: Unit,
    pub(crate) dtype: Dtype,
}

impl Task for MlpTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let MlpTask { x, weights, scratch, eps, unit, dtype } = self;
        let Mlp { norm: norm_weight, gate, up, down } = weights;
        let (hidden, inner) = (gate.inputs, gate.outputs);
        let ready = unit.start();
        let x = x.as_chunks_mut::<NR>().0;
        let panels = x.len() / hidden;
        let mut normed = Rights::<NR>::new(unit, panels, hidden, &mut scratch.first);
        let mut gated = Rights::<NR>::new(unit, panels, inner, &mut scratch.second);
        for (panel, x) in x.chunks_exact(hidden).enumerate() {
            norm(simd, x, norm_weight, eps, dtype, normed.staging(panel));
            normed.commit(panel);
        }
        let (mut gates, mut ups) = ([[0.0; NR]; ROWS], [[0.0; NR]; ROWS]);
        for block in 0..gate.count() {
            let (first, valid) = (block * ROWS, gate.valid(block));
            for panel in 0..panels {
                let right = normed.panel(panel);
                ready.product::<S, NR, false>(simd, gate.block(block), right, &mut gates);
                ready.product::<S, NR, false>(simd, up.block(block), right, &mut ups);
                for (i, (gates, ups)) in gates.iter_mut().zip(&mut ups).enumerate().take(valid) {
                    add_bias(gates, gate.bias(first + i), dtype);
                    add_bias(ups, up.bias(first + i), dtype);
                    for gate in gates.iter_mut() {
                        *gate = silu(*gate);
                    }
                    dtype.round(gates);
                    for (gate, up) in gates.iter_mut().zip(ups) {
                        *gate *= *up;
                    }
                    dtype.round(gates);
                }
                gated.set(panel, first, &gates[..valid]);
            }
        }
        add_products(simd, &ready, &gated, down, x, dtype);
    }
}

/// `x += weights · rights` for panels `x`.
#[inline(always)]
pub(crate) fn add_products<S: Simd, const NR: usize>(
    simd: S,
    unit: &Started,
    rights: &Rights<'_, NR>,
    weights: &Blocks,
    x: &mut [[f32; NR]],
    dtype: Dtype,
) {
    let mut sums = [[0.0; NR]; ROWS];
    for block in 0..weights.count() {
        let first = block * ROWS;
        for (panel, x) in x.chunks_exact_mut(weights.outputs).enumerate() {
            let right = rights.panel(panel);
            unit.product::<S, NR, false>(simd, weights.block(block), right, &mut sums);
            let x = &mut x[first..first + weights.valid(block)];
            for (i, (x, sum)) in x.iter_mut().zip(&mut sums).enumerate() {
                add_residual(x, sum, weights.bias(first + i), dtype);
            }
        }
    }
}
