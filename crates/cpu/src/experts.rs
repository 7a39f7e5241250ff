//! The MLP block with experts: every token is routed to a few of many networks.
//!
//! A router chooses each token's experts. The tokens of every expert are then gathered into separate
//! panels and run through its network, and each token adds up its experts' results in the experts'
//! order. The lanes of a product are independent, so a token's result does not depend on which tokens
//! share its experts. An expert that all tokens share is one more, which the router chooses for everyone.

use pulp::Simd;
use rayon::prelude::*;
use strait_ops::{Dtype, LayerTap, LinearTensors, OpsError, Routing, Scoring};

use crate::CpuOps;
use crate::blocks::Blocks;
use crate::finish::{Ending, Join, Projection, add, join};
use crate::kernel::{Task, dispatch, panel_tokens};
use crate::math::exp;
use crate::mlp::{FeedForward, Mlp};
use crate::norm::Norm;
use crate::panels::{Floats, Panels, Scratch, grow, per_sequence, with_scratch};
use crate::product::{PanelMemory, Rights};
use crate::rules::Rules;

/// Chooses experts.
pub(crate) struct Router {
    weights: Blocks,
    routing: Routing,
    correction: Option<Vec<f32>>,
    /// How the router's own product is computed.
    rules: Rules,
    /// The expert that all tokens share, if there is one.
    shared: Option<SharedGate>,
}

/// Weighs the expert that all tokens share: by the sigmoid of a projection, or not at all.
struct SharedGate(Option<Blocks>);

impl Router {
    /// `gate` is that of the shared expert, if there is such an expert.
    pub(crate) fn new(
        (tensors, routing, correction): (LinearTensors, Routing, Option<Vec<f32>>),
        gate: Option<Option<LinearTensors>>,
        rules: Rules,
    ) -> Router {
        let blocks = |tensors, rules: Rules| Blocks::new(tensors, rules.unit, rules.dtype);
        let own = if routing.in_f32 { rules.in_f32() } else { rules };
        let shared = gate.map(|gate| SharedGate(gate.map(|gate| blocks(gate, rules))));
        Router { weights: blocks(tensors, own), routing, correction, rules: own, shared }
    }

    /// Number of experts that the router chooses for a token.
    fn chosen(&self) -> usize {
        self.routing.chosen.min(self.weights.outputs)
    }

    /// Number of routes of a token, that to the shared expert included.
    fn routes(&self) -> usize {
        self.chosen() + usize::from(self.shared.is_some())
    }

    /// Turns logits `[experts, NR]` into scores.
    #[inline(always)]
    fn score<const NR: usize>(&self, logits: &mut [[f32; NR]]) {
        match self.routing.scoring {
            Scoring::Softmax => softmax(logits),
            Scoring::Sigmoid => sigmoid(logits),
        }
    }
}

/// One of a token's experts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Route {
    expert: usize,
    /// Factor for the expert's result; 0 for lanes without a token.
    pub(crate) share: f32,
    /// Place of the token among the gathered ones: panel times `panel_tokens`, plus lane.
    pub(crate) place: usize,
}

/// The tokens of a mixture on their way to the experts and back.
pub(crate) struct Routed {
    /// The routes of every token, `[panels, routes, panel_tokens]`; the one to the shared expert is the last.
    pub(crate) routes: Vec<Route>,
    /// Every expert's tokens, as `panel * panel_tokens + lane`.
    pub(crate) groups: Vec<Vec<usize>>,
    /// Number of experts that the router chooses from; the shared expert follows them.
    pub(crate) experts: usize,
}

impl CpuOps {
    /// The counterpart of [`CpuOps::think`] with experts.
    pub(crate) fn consult(
        &mut self,
        x: &mut Panels,
        (weights, router): (&Mlp, &Router),
        wanted: usize,
        ending: Ending<'_>,
        tap: &mut LayerTap<'_>,
    ) -> Result<(), OpsError> {
        let routed = self.route(x, (weights, router), wanted);
        let sent = self.tap_dispatch(x, &routed, tap)?;
        self.run_experts(x, weights, &routed.groups, sent.as_deref(), ending);
        let combined = self.tap_combine(x, &routed, tap)?;

        let (nr, chosen) = (panel_tokens(), router.routes());
        let shared = usize::from(router.shared.is_some());
        let (rules, size) = (self.rules, x.channels * nr);
        let results = &self.context[..];
        x.wanted(wanted, 1).into_par_iter().with_max_len(1).for_each(|(panel, x)| {
            let run = panel * size..panel * size + x.len();
            let routes = &routed.routes[panel * chosen * nr..][..chosen * nr];
            // What a tap combined lacks the shared expert alone.
            let given = match &combined {
                Some(combined) => Given {
                    before: Some(&combined.data[run.clone()]),
                    results,
                    routes: &routes[(chosen - shared) * nr..],
                },
                None => Given { before: None, results, routes },
            };
            let how = ending.of(weights.norm_out.as_ref(), run);
            with_scratch(|scratch| {
                dispatch(GatherTask { x, given, how, scratch, rules });
            });
        });
        Ok(())
    }

    /// Writes the norm of `x` to `self.projected`, and finds every token's experts.
    fn route(&mut self, x: &Panels, (weights, router): (&Mlp, &Router), wanted: usize) -> Routed {
        let (nr, panels, rules) = (panel_tokens(), per_sequence(x.tokens), self.rules);
        let (size, count, chosen) = (x.channels * nr, x.count(), router.routes());
        let (tokens, norm) = (x.tokens, weights.norm_in.as_ref());
        let normed = grow(&mut self.projected, count * size);
        let mut routes = vec![Route::default(); count * chosen * nr];
        normed
            .par_chunks_mut(size)
            .zip(routes.par_chunks_mut(chosen * nr))
            .zip(x.data.par_chunks(size))
            .enumerate()
            .filter(|(panel, _)| panel % panels >= wanted)
            .for_each(|(panel, ((normed, routes), x))| {
                let tokens = nr.min(tokens - panel % panels * nr);
                with_scratch(|scratch| {
                    dispatch(RouteTask { x, norm, router, normed, routes, tokens, scratch, rules });
                });
            });
        let groups = gather(&mut routes, weights.networks.len(), chosen, nr);
        Routed { routes, groups, experts: router.weights.outputs }
    }

    /// Writes the experts' results to `self.context`, with the experts' panels concatenated. The
    /// inputs are those in `sent`, one per expert, or otherwise those in `self.projected`, as are the
    /// shared expert's.
    fn run_experts(
        &mut self,
        x: &Panels,
        weights: &Mlp,
        groups: &[Vec<usize>],
        sent: Option<&[Panels]>,
        ending: Ending<'_>,
    ) {
        let (nr, rules) = (panel_tokens(), self.rules);
        let size = x.channels * nr;
        let normed = &self.projected[..x.count() * size];
        let own: Vec<usize> = (0..groups.iter().map(Vec::len).max().unwrap_or(0)).collect();
        let total: usize = groups.iter().map(|tokens| tokens.len().div_ceil(nr)).sum();
        let mut rest = grow(&mut self.context, total * size);
        let mut tasks = Vec::new();
        for (expert, (network, tokens)) in weights.networks.iter().zip(groups).enumerate() {
            let (source, tokens) = match sent.and_then(|sent| sent.get(expert)) {
                Some(sent) => (&sent.data[..], &own[..tokens.len()]),
                None => (normed, &tokens[..]),
            };
            for tokens in tokens.chunks(rules.run_length(network.width()) * nr) {
                let (out, others) = rest.split_at_mut(tokens.len().div_ceil(nr) * size);
                tasks.push((network, source, tokens, out));
                rest = others;
            }
        }
        tasks.into_par_iter().with_max_len(1).for_each(|(network, normed, tokens, out)| {
            with_scratch(|scratch| {
                dispatch(ExpertTask { normed, tokens, network, ending, out, scratch, rules });
            });
        });
    }
}

/// Returns every expert's tokens in order, as `panel * nr + lane`, and sets the routes' places:
/// experts follow one another, each starting at a whole panel.
fn gather(routes: &mut [Route], experts: usize, chosen: usize, nr: usize) -> Vec<Vec<usize>> {
    let mut groups = vec![Vec::new(); experts];
    for (panel, routes) in routes.chunks_exact_mut(chosen * nr).enumerate() {
        for lane in 0..nr {
            for route in routes.iter_mut().skip(lane).step_by(nr) {
                if route.share > 0.0 {
                    let group = &mut groups[route.expert];
                    route.place = group.len();
                    group.push(panel * nr + lane);
                }
            }
        }
    }
    let mut first = 0;
    let mut starts = Vec::with_capacity(experts);
    for group in &groups {
        starts.push(first);
        first += group.len().next_multiple_of(nr);
    }
    for route in routes.iter_mut().filter(|route| route.share > 0.0) {
        route.place += starts[route.expert];
    }
    groups
}

/// Writes one panel's norm and its routes, `[routes, NR]`, with experts ascending.
struct RouteTask<'a> {
    x: &'a [f32],
    norm: Option<&'a Norm>,
    router: &'a Router,
    normed: &'a mut [f32],
    routes: &'a mut [Route],
    /// Number of lanes that hold a token.
    tokens: usize,
    scratch: &'a mut Scratch,
    rules: Rules,
}

impl Task for RouteTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let RouteTask { x, norm, router, normed, routes, tokens, scratch, rules } = self;
        let (x, normed) = (x.as_chunks::<NR>().0, normed.as_chunks_mut::<NR>().0);
        match norm {
            Some(norm) => norm.write(simd, x, normed, rules),
            None => normed.copy_from_slice(x),
        }
        let Scratch { first: memory, scores: logits, .. } = scratch;
        let (weights, experts) = (&router.weights, router.weights.outputs);
        let scores = logits_of(simd, weights, normed, (&mut *memory, &mut *logits), router.rules);
        router.score(scores);
        let correction = router.correction.as_deref();
        for lane in 0..tokens {
            let scores = scores.iter().map(|row| row[lane]).collect();
            let chosen = router.routing.choose(scores, correction).into_iter().enumerate();
            for (rank, (expert, mut share)) in chosen {
                if router.routing.rounded_shares {
                    rules.dtype.round(std::slice::from_mut(&mut share));
                }
                routes[rank * NR + lane] = Route { expert, share, place: 0 };
            }
        }
        let Some(SharedGate(gate)) = &router.shared else { return };
        let mut shares = [1.0; NR];
        if let Some(gate) = gate {
            let gates = logits_of(simd, gate, normed, (memory, logits), rules);
            sigmoid(gates);
            shares = gates[0];
            rules.dtype.round(&mut shares);
        }
        let last = &mut routes[router.chosen() * NR..];
        for (route, share) in last.iter_mut().zip(shares).take(tokens) {
            *route = Route { expert: experts, share, place: 0 };
        }
    }
}

/// The product of one panel with `weights`.
#[inline(always)]
fn logits_of<'m, S: Simd, const NR: usize>(
    simd: S,
    weights: &Blocks,
    x: &[[f32; NR]],
    (memory, logits): (&mut PanelMemory, &'m mut Floats),
    rules: Rules,
) -> &'m mut [[f32; NR]] {
    let ready = rules.unit.start();
    let mut right = Rights::<NR>::new(rules.unit, 1, x.len(), memory);
    right.staging(0).copy_from_slice(x);
    right.commit(0);
    let logits = grow(logits, weights.outputs * NR).as_chunks_mut::<NR>().0;
    Projection { unit: &ready, weights, rights: &right, rules }.write(simd, logits);
    logits
}

/// Replaces logits by `1 / (1 + e^-logit)`.
#[inline(always)]
fn sigmoid<const NR: usize>(logits: &mut [[f32; NR]]) {
    for row in logits {
        for value in row {
            *value = 1.0 / (1.0 + exp(-*value));
        }
    }
}

/// Replaces logits `[experts, NR]` by probabilities.
#[inline(always)]
fn softmax<const NR: usize>(logits: &mut [[f32; NR]]) {
    let (mut highest, mut sums) = ([f32::NEG_INFINITY; NR], [0.0f32; NR]);
    for row in logits.iter() {
        for (highest, logit) in highest.iter_mut().zip(row) {
            *highest = if *logit > *highest { *logit } else { *highest };
        }
    }
    for row in logits.iter_mut() {
        for ((logit, highest), sum) in row.iter_mut().zip(&highest).zip(&mut sums) {
            *logit = exp(*logit - highest);
            *sum += *logit;
        }
    }
    for row in logits.iter_mut() {
        for (value, sum) in row.iter_mut().zip(&sums) {
            *value /= sum;
        }
    }
}

/// Runs gathered tokens through an expert.
struct ExpertTask<'a> {
    normed: &'a [f32],
    tokens: &'a [usize],
    network: &'a FeedForward,
    ending: Ending<'a>,
    out: &'a mut [f32],
    scratch: &'a mut Scratch,
    rules: Rules,
}

impl Task for ExpertTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let ExpertTask { normed, tokens, network, ending, out, scratch, rules } = self;
        let ending = match ending {
            Ending::Sums(columns) => Ending::Sums(columns.within(network.inner())),
            Ending::Added(_) | Ending::Alone => ending,
        };
        let (hidden, columns) = (network.down.outputs, ending.columns(network.inner()));
        let ready = rules.unit.start();
        let panels = tokens.len().div_ceil(NR);
        let normed = normed.as_chunks::<NR>().0;
        let mut x = Rights::<NR>::new(rules.unit, panels, hidden, &mut scratch.first);
        for (panel, tokens) in tokens.chunks(NR).enumerate() {
            for (channel, row) in x.staging(panel).iter_mut().enumerate() {
                *row = [0.0; NR];
                for (value, token) in row.iter_mut().zip(tokens) {
                    *value = normed[token / NR * hidden + channel][token % NR];
                }
            }
            x.commit(panel);
        }
        let mut activated =
            Rights::<NR>::new(rules.unit, panels, columns.count, &mut scratch.second);
        network.activate(simd, &ready, panels, &x, (columns, &mut activated), rules);
        let out = out.as_chunks_mut::<NR>().0;
        let weights = &network.down;
        let last = Projection { unit: &ready, weights, rights: &activated, rules };
        match ending {
            Ending::Sums(columns) => last.write_sums(simd, columns, out),
            Ending::Added(_) | Ending::Alone => last.write(simd, out),
        }
    }
}

/// The experts' results for one panel.
struct Given<'a> {
    /// `[hidden, NR]`, what others are added to: the sum after a tap.
    before: Option<&'a [f32]>,
    /// Results `[panels, hidden, NR]` of all experts.
    results: &'a [f32],
    /// The panel's routes to them.
    routes: &'a [Route],
}

/// Adds up the experts' results for one panel and joins the sum to the panel.
struct GatherTask<'a> {
    x: &'a mut [f32],
    given: Given<'a>,
    how: Join<'a>,
    scratch: &'a mut Scratch,
    rules: Rules,
}

impl Task for GatherTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let GatherTask { x, given, how, scratch, rules } = self;
        let x = x.as_chunks_mut::<NR>().0;
        let hidden = x.len();
        let y = grow(&mut scratch.result, hidden * NR).as_chunks_mut::<NR>().0;
        // A rank's sums are rounded only after those of all ranks have been added up.
        let dtype = if matches!(how, Join::Sums(_)) { Dtype::F32 } else { rules.dtype };
        let Given { before, results, routes } = given;
        match before {
            Some(sum) => y.copy_from_slice(sum.as_chunks::<NR>().0),
            None => y.fill([0.0; NR]),
        }
        let results = results.as_chunks::<NR>().0;
        for (channel, y) in y.iter_mut().enumerate() {
            for routes in routes.as_chunks::<NR>().0 {
                let mut given = [0.0f32; NR];
                for (given, route) in given.iter_mut().zip(routes) {
                    let row = &results[route.place / NR * hidden + channel];
                    *given = row[route.place % NR] * route.share;
                }
                dtype.round(&mut given);
                add(y, &given, dtype);
            }
        }
        join(simd, y, how, x, hidden, rules);
    }
}
