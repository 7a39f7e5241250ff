//! The MLP block with experts: every token goes to a few of many networks.
//!
//! A router chooses each token's experts. Then the tokens of every expert are gathered into panels of
//! their own and run through its network, and each token adds what its experts gave, in the experts'
//! order. A lane of a product does not depend on the others, so that neither does a token's result
//! depend on which tokens share its experts.

use pulp::Simd;
use rayon::prelude::*;
use strait_ops::{LinearTensors, Routing};

use crate::CpuOps;
use crate::blocks::Blocks;
use crate::finish::{Join, Projection, add, join};
use crate::kernel::{Task, dispatch, panel_tokens};
use crate::math::exp;
use crate::mlp::{FeedForward, Mlp};
use crate::norm::Norm;
use crate::panels::{Panels, Scratch, grow, per_sequence, with_scratch};
use crate::product::Rights;
use crate::rules::Rules;

/// Chooses experts.
pub(crate) struct Router {
    weights: Blocks,
    routing: Routing,
}

impl Router {
    pub(crate) fn new(tensors: LinearTensors, routing: Routing, rules: Rules) -> Router {
        Router { weights: Blocks::new(tensors, rules.unit, rules.dtype), routing }
    }

    /// Experts of one token.
    fn chosen(&self) -> usize {
        self.routing.chosen.min(self.weights.outputs)
    }
}

/// One of a token's experts.
#[derive(Debug, Clone, Copy, Default)]
struct Route {
    expert: usize,
    /// What the expert's result is multiplied by; 0 for lanes without a token.
    share: f32,
    /// Where the token lies among the gathered ones: panel times `panel_tokens`, plus lane.
    place: usize,
}

impl CpuOps {
    /// [`CpuOps::think`] with experts.
    pub(crate) fn consult(
        &mut self,
        x: &mut Panels,
        weights: &Mlp,
        router: &Router,
        wanted: usize,
        other: Option<&Panels>,
    ) {
        let (nr, panels, rules) = (panel_tokens(), per_sequence(x.tokens), self.rules);
        let (size, count, chosen) = (x.channels * nr, x.count(), router.chosen());
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
        let normed = &*normed;
        let groups = gather(&mut routes, weights.networks.len(), chosen, nr);

        let total: usize = groups.iter().map(|tokens| tokens.len().div_ceil(nr)).sum();
        let mut rest = grow(&mut self.context, total * size);
        let mut tasks = Vec::new();
        for (network, tokens) in weights.networks.iter().zip(&groups) {
            for tokens in tokens.chunks(rules.run_length(network.width()) * nr) {
                let (out, others) = rest.split_at_mut(tokens.len().div_ceil(nr) * size);
                tasks.push((network, tokens, out));
                rest = others;
            }
        }
        tasks.into_par_iter().with_max_len(1).for_each(|(network, tokens, out)| {
            with_scratch(|scratch| {
                dispatch(ExpertTask { normed, tokens, network, out, scratch, rules });
            });
        });

        let results = &self.context[..total * size];
        x.wanted(wanted, 1).into_par_iter().with_max_len(1).for_each(|(panel, x)| {
            let other = other.map(|other| &other.data[panel * size..][..x.len()]);
            let how = Join { norm: weights.norm_out.as_ref(), other, replace: false };
            let routes = &routes[panel * chosen * nr..][..chosen * nr];
            with_scratch(|scratch| {
                dispatch(GatherTask { x, results, routes, how, scratch, rules });
            });
        });
    }
}

/// Gives every expert's tokens, `panel * nr + lane`, and sets the routes' places: experts follow one
/// another, each from a whole panel on.
fn gather(routes: &mut [Route], experts: usize, chosen: usize, nr: usize) -> Vec<Vec<usize>> {
    let mut groups = vec![Vec::new(); experts];
    for (at, route) in routes.iter_mut().enumerate().filter(|(_, route)| route.share > 0.0) {
        let group = &mut groups[route.expert];
        route.place = group.len();
        group.push(at / (chosen * nr) * nr + at % nr);
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

/// Writes one panel's norm and its routes, `[chosen, NR]`, experts rising.
struct RouteTask<'a> {
    x: &'a [f32],
    norm: Option<&'a Norm>,
    router: &'a Router,
    normed: &'a mut [f32],
    routes: &'a mut [Route],
    /// Lanes that hold a token.
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
        let ready = rules.unit.start();
        let mut right = Rights::<NR>::new(rules.unit, 1, x.len(), &mut scratch.first);
        right.staging(0).copy_from_slice(normed);
        right.commit(0);
        let experts = router.weights.outputs;
        let logits = grow(&mut scratch.scores, experts * NR).as_chunks_mut::<NR>().0;
        let weights = &router.weights;
        Projection { unit: &ready, weights, rights: &right, rules }.write(simd, logits);
        softmax(logits);
        for lane in 0..tokens {
            let probabilities = logits.iter().map(|row| row[lane]).collect();
            let chosen = router.routing.choose(probabilities).into_iter().enumerate();
            for (rank, (expert, mut share)) in chosen {
                if router.routing.rounded_shares {
                    rules.dtype.round(std::slice::from_mut(&mut share));
                }
                routes[rank * NR + lane] = Route { expert, share, place: 0 };
            }
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
    out: &'a mut [f32],
    scratch: &'a mut Scratch,
    rules: Rules,
}

impl Task for ExpertTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let ExpertTask { normed, tokens, network, out, scratch, rules } = self;
        let (hidden, inner) = (network.down.outputs, network.inner());
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
        let mut activated = Rights::<NR>::new(rules.unit, panels, inner, &mut scratch.second);
        network.activate(simd, &ready, panels, &x, &mut activated, rules);
        let out = out.as_chunks_mut::<NR>().0;
        let weights = &network.down;
        Projection { unit: &ready, weights, rights: &activated, rules }.write(simd, out);
    }
}

/// Adds up what one panel's experts gave, and joins it to the panel.
struct GatherTask<'a> {
    x: &'a mut [f32],
    /// `[panels, hidden, NR]`.
    results: &'a [f32],
    routes: &'a [Route],
    how: Join<'a>,
    scratch: &'a mut Scratch,
    rules: Rules,
}

impl Task for GatherTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const NR: usize>(self, simd: S) {
        let GatherTask { x, results, routes, how, scratch, rules } = self;
        let (x, results) = (x.as_chunks_mut::<NR>().0, results.as_chunks::<NR>().0);
        let hidden = x.len();
        let y = grow(&mut scratch.result, hidden * NR).as_chunks_mut::<NR>().0;
        for (channel, y) in y.iter_mut().enumerate() {
            *y = [0.0; NR];
            for routes in routes.as_chunks::<NR>().0 {
                let mut given = [0.0f32; NR];
                for (given, route) in given.iter_mut().zip(routes) {
                    let row = &results[route.place / NR * hidden + channel];
                    *given = row[route.place % NR] * route.share;
                }
                rules.dtype.round(&mut given);
                add(y, &given, rules.dtype);
            }
        }
        join(simd, y, how, x, hidden, rules);
    }
}
