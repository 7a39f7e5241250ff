//! The MLP block with one network for all tokens.

use std::ops::Range;

use pulp::Simd;
use rayon::prelude::*;
use strait_ops::{
    Activation, Dtype, FeedForwardTensors, LayerTap, MlpTensors, Network, OpsError, Shared, Site,
};

use crate::CpuOps;
use crate::activation::activate;
use crate::blocks::Blocks;
use crate::experts::Router;
use crate::finish::{Ending, Join, Projection, add_bias};
use crate::kernel::{Task, dispatch, panel_tokens};
use crate::norm::Norm;
use crate::panels::{Panels, Scratch, with_scratch};
use crate::product::{ROWS, Rights, Started};
use crate::ranks::{Columns, check_degree};
use crate::rules::Rules;

/// An MLP block.
pub struct Mlp {
    pub(crate) norm_in: Option<Norm>,
    /// One network, or one for each expert and that of the shared expert, if there is one.
    pub(crate) networks: Vec<FeedForward>,
    pub(crate) router: Option<Router>,
    pub(crate) norm_out: Option<Norm>,
}

/// A feed-forward network.
pub struct FeedForward {
    pub(crate) activation: Activation,
    pub(crate) gate: Option<Blocks>,
    pub(crate) up: Blocks,
    pub(crate) down: Blocks,
}

impl Mlp {
    pub(crate) fn new(tensors: MlpTensors<FeedForward>, rules: Rules) -> Mlp {
        let MlpTensors { norm_in, network, norm_out } = tensors;
        let (networks, router) = match network {
            Network::Dense(network) => (vec![network], None),
            Network::Experts { router, routing, correction, mut experts, shared } => {
                let gate = shared.map(|shared| {
                    let Shared { network, gate } = *shared;
                    experts.push(network);
                    gate
                });
                (experts, Some(Router::new((router, routing, correction), gate, rules)))
            }
        };
        let norm = |tensors| Norm::new(tensors, rules);
        Mlp { norm_in: norm_in.map(norm), networks, router, norm_out: norm_out.map(norm) }
    }
}

impl FeedForward {
    pub(crate) fn new(tensors: FeedForwardTensors, rules: Rules) -> FeedForward {
        let blocks = |tensors| Blocks::new(tensors, rules.unit, rules.dtype);
        let FeedForwardTensors { activation, gate, up, down } = tensors;
        FeedForward { activation, gate: gate.map(blocks), up: blocks(up), down: blocks(down) }
    }

    /// Total number of channels in a task's right operands.
    pub(crate) fn width(&self) -> usize {
        self.up.inputs + self.up.outputs
    }

    /// Channels between the projections.
    pub(crate) fn inner(&self) -> usize {
        self.up.outputs
    }

    /// Writes `columns` of `act(gate(x)) * up(x)`, or of `act(up(x))`, for `panels` panels to
    /// `out`.
    #[inline(always)]
    pub(crate) fn activate<S: Simd, const NR: usize>(
        &self,
        simd: S,
        unit: &Started,
        panels: usize,
        x: &Rights<'_, NR>,
        (columns, out): (Columns, &mut Rights<'_, NR>),
        rules: Rules,
    ) {
        let (mut gates, mut ups) = ([[0.0; NR]; ROWS], [[0.0; NR]; ROWS]);
        let (up, dtype) = (&self.up, rules.dtype);
        let Range { start, end } = columns.steps();
        for block in start / ROWS..end.div_ceil(ROWS) {
            let (first, valid) = (block * ROWS, up.valid(block));
            for panel in 0..panels {
                let right = x.panel(panel);
                unit.product::<S, NR, false>(simd, up.block(block), right, &mut ups);
                for (i, ups) in ups.iter_mut().enumerate().take(valid) {
                    add_bias(ups, up.bias(first + i), dtype);
                }
                let Some(gate) = &self.gate else {
                    for ups in ups.iter_mut().take(valid) {
                        activate(self.activation, ups, dtype);
                    }
                    columns.keep_own(first, &mut ups[..valid]);
                    out.set(panel, first - start, &ups[..valid]);
                    continue;
                };
                unit.product::<S, NR, false>(simd, gate.block(block), right, &mut gates);
                for (i, (gates, ups)) in gates.iter_mut().zip(&ups).enumerate().take(valid) {
                    add_bias(gates, gate.bias(first + i), dtype);
                    activate(self.activation, gates, dtype);
                    for (gate, up) in gates.iter_mut().zip(ups) {
                        *gate *= *up;
                    }
                    dtype.round(gates);
                }
                columns.keep_own(first, &mut gates[..valid]);
                out.set(panel, first - start, &gates[..valid]);
            }
        }
    }
}

impl CpuOps {
    /// The block's contribution to `x`, from panel `wanted` of every sequence on.
    pub(crate) fn mlp_output(
        &mut self,
        x: &Panels,
        weights: &Mlp,
        wanted: usize,
        tap: &mut LayerTap<'_>,
    ) -> Result<Panels, OpsError> {
        let Some(ranks) = tap.ranks(Site::MlpOutput) else {
            let mut y = x.clone();
            self.think(&mut y, weights, wanted, Ending::Alone, tap)?;
            return Ok(y);
        };
        let inner = weights.networks.iter().map(FeedForward::inner).min().unwrap_or_default();
        check_degree(ranks, inner, "MLP channels")?;
        let mut sums = Vec::with_capacity(ranks);
        for rank in 0..ranks {
            let mut y = x.clone();
            // Each network has its own number of channels, whose share `Columns::within` finds.
            let columns = Columns::of_rank(rank, ranks, inner, 1);
            // Every rank reads the same stream, so its experts get the same inputs, too.
            let none = &mut LayerTap::none();
            self.think(&mut y, weights, wanted, Ending::Sums(columns), none)?;
            sums.push(y.to_hidden(Dtype::F32));
        }
        let sum = tap.sums(Site::MlpOutput, sums)?;
        Ok(self.end_of_sums(&sum, weights.norm_out.as_ref()))
    }

    /// Joins the MLP's result for panels from `wanted` on to `x` as `ending` specifies.
    pub(crate) fn think(
        &mut self,
        x: &mut Panels,
        weights: &Mlp,
        wanted: usize,
        ending: Ending<'_>,
        tap: &mut LayerTap<'_>,
    ) -> Result<(), OpsError> {
        if let Some(router) = &weights.router {
            return self.consult(x, (weights, router), wanted, ending, tap);
        }
        let [network] = weights.networks.as_slice() else { return Ok(()) };
        if x.tokens == 1 && !ending.is_sums() {
            self.think_single(x, (weights, network), ending);
            return Ok(());
        }
        let (rules, size) = (self.rules, x.channels * panel_tokens());
        let run = rules.run_length(network.width());
        let columns = ending.columns(network.inner());
        x.wanted(wanted, run).into_par_iter().with_max_len(1).for_each(|(first, x)| {
            let start = first * size;
            let how = ending.of(weights.norm_out.as_ref(), start..start + x.len());
            let norm = weights.norm_in.as_ref();
            with_scratch(|scratch| {
                dispatch(MlpTask { x, norm, network, columns, how, scratch, rules });
            });
        });
        Ok(())
    }
}

/// Joins `network(norm(x))` to a run of panels `x`.
struct MlpTask<'a> {
    x: &'a mut [f32],
    norm: Option<&'a Norm>,
    network: &'a FeedForward,
    columns: Columns,
    how: Join<'a>,
    scratch: &'a mut Scratch,
    rules: Rules,
}

impl Task for MlpTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let MlpTask { x, norm, network, columns, how, scratch, rules } = self;
        let hidden = network.down.outputs;
        let ready = rules.unit.start();
        let x = x.as_chunks_mut::<NR>().0;
        let panels = x.len() / hidden;
        let mut normed = Rights::<NR>::new(rules.unit, panels, hidden, &mut scratch.first);
        for (panel, x) in x.chunks_exact(hidden).enumerate() {
            match norm {
                Some(norm) => norm.write(simd, x, normed.staging(panel), rules),
                None => normed.staging(panel).copy_from_slice(x),
            }
            normed.commit(panel);
        }
        let mut activated =
            Rights::<NR>::new(rules.unit, panels, columns.count, &mut scratch.second);
        network.activate(simd, &ready, panels, &normed, (columns, &mut activated), rules);
        let weights = &network.down;
        let last = Projection { unit: &ready, weights, rights: &activated, rules };
        last.finish(simd, how, x, &mut scratch.result);
    }
}
