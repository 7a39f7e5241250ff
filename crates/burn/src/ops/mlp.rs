//! The MLP block, with one network or with experts.

use burn_tensor::{FloatDType, Tensor};
use strait_ops::{
    Activation, Dtype, FeedForwardTensors, LinearTensors, MlpTensors, Network, OpsError, Routing,
    Scoring, Shared, Site,
};

use crate::kernels::Kernels;
use crate::ops::taps::{Tapping, check_degree, host, rank_sum};
use crate::ops::tensors::{Linear, Maker, NormWeights, normed};

/// An MLP block on a device.
pub(crate) struct Mlp<B: Kernels> {
    norm_in: Option<NormWeights<B>>,
    /// One network, or one for each expert and that of the shared expert, if there is one.
    networks: Vec<FeedForward<B>>,
    router: Option<Router<B>>,
    norm_out: Option<NormWeights<B>>,
}

/// Chooses experts.
struct Router<B: Kernels> {
    weights: Linear<B>,
    /// Number of experts that it chooses from.
    experts: usize,
    routing: Routing,
    correction: Option<Vec<f32>>,
    /// The expert that all tokens share, if there is one, and its gate, if it has one.
    shared: Option<Option<Linear<B>>>,
}

/// A feed-forward network on a device.
pub(crate) struct FeedForward<B: Kernels> {
    activation: Activation,
    gate: Option<Linear<B>>,
    up: Linear<B>,
    down: Linear<B>,
}

impl<B: Kernels> FeedForward<B> {
    pub(crate) fn new(tensors: FeedForwardTensors, maker: &Maker<B>) -> FeedForward<B> {
        FeedForward {
            activation: tensors.activation,
            gate: tensors.gate.map(|gate| maker.linear(gate)),
            up: maker.linear(tensors.up),
            down: maker.linear(tensors.down),
        }
    }

    fn apply(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.down.apply(self.inner(x))
    }

    /// What the last projection reads.
    fn inner(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let up = self.up.apply(x.clone());
        match &self.gate {
            Some(gate) => B::gate(self.activation, gate.apply(x), Some(up)),
            None => B::gate(self.activation, up, None),
        }
    }
}

impl<B: Kernels> Mlp<B> {
    pub(crate) fn new(tensors: MlpTensors<FeedForward<B>>, maker: &Maker<B>) -> Mlp<B> {
        let (networks, router) = match tensors.network {
            Network::Dense(network) => (vec![network], None),
            Network::Experts { router, routing, correction, mut experts, shared } => {
                let gate = shared.map(|shared| {
                    let Shared { network, gate } = *shared;
                    experts.push(network);
                    gate
                });
                (experts, Some(Router::new((router, routing, correction), gate, maker)))
            }
        };
        Mlp {
            norm_in: tensors.norm_in.map(|norm| maker.norm(norm)),
            networks,
            router,
            norm_out: tensors.norm_out.map(|norm| maker.norm(norm)),
        }
    }

    /// The block's output.
    pub(crate) fn apply(
        &self,
        x: Tensor<B, 3>,
        tapping: &mut Tapping<'_, '_, B>,
    ) -> Result<Tensor<B, 3>, OpsError> {
        let [batch, tokens, hidden] = x.dims();
        let shape = [batch, tokens, hidden];
        let x = normed(self.norm_in.as_ref(), x).reshape([batch * tokens, hidden]);
        let ranks = tapping.tap.ranks(Site::MlpOutput);
        let y = match (&self.router, self.networks.as_slice(), ranks) {
            (None, [network], None) => network.apply(x).reshape(shape),
            (None, [network], Some(ranks)) => {
                let (at, inner) = ((Site::MlpOutput, ranks), network.inner(x));
                tapping.by_ranks(at, &network.down, &inner, 1, [batch, tokens])?
            }
            (None, ..) => x.zeros_like().reshape(shape),
            (Some(router), networks, None) => {
                let routes = router.route(&x, tapping.maker);
                consult(x, &routes, (networks, router.experts), tapping)?.reshape(shape)
            }
            (Some(router), networks, Some(ranks)) => {
                let routes = router.route(&x, tapping.maker);
                let inner = networks.iter().map(|network| network.down.inputs()).min();
                check_degree(ranks, inner.unwrap_or_default())?;
                let mut sums = Vec::with_capacity(ranks);
                for rank in 0..ranks {
                    let sum = consult_rank(&x, &routes, networks, [rank, ranks], tapping.maker);
                    sums.push(host(sum.reshape(shape), Dtype::F32, tapping.name)?);
                }
                tapping.sum(Site::MlpOutput, sums)?
            }
        };
        Ok(normed(self.norm_out.as_ref(), y))
    }
}

/// The tokens of an expert, and the factors for its results.
pub(crate) type Routes = (Vec<i32>, Vec<f32>);

impl<B: Kernels> Router<B> {
    fn new(
        (router, routing, correction): (LinearTensors, Routing, Option<Vec<f32>>),
        gate: Option<Option<LinearTensors>>,
        maker: &Maker<B>,
    ) -> Router<B> {
        let experts = router.outputs;
        let weights =
            if routing.in_f32 { maker.linear_in_f32(router) } else { maker.linear(router) };
        let shared = gate.map(|gate| gate.map(|gate| maker.linear(gate)));
        Router { weights, experts, routing, correction, shared }
    }

    /// Which tokens go to which expert; the shared one is the last. The host decides, which requires waiting
    /// for the device.
    fn route(&self, x: &Tensor<B, 2>, maker: &Maker<B>) -> Vec<Routes> {
        let Router { experts, routing, .. } = *self;
        let input = if routing.in_f32 { x.clone().cast(FloatDType::F32) } else { x.clone() };
        let logits = self.weights.apply(input).cast(FloatDType::F32);
        let logits: Vec<f32> = logits.into_data().iter().collect();
        let mut routes = vec![(Vec::new(), Vec::new()); experts];
        for (token, logits) in logits.chunks_exact(experts).enumerate() {
            let scores = match routing.scoring {
                Scoring::Softmax => probabilities(logits),
                Scoring::Sigmoid => logits.iter().map(|logit| sigmoid(*logit)).collect(),
            };
            for (expert, mut share) in routing.choose(scores, self.correction.as_deref()) {
                if routing.rounded_shares {
                    maker.dtype.round(std::slice::from_mut(&mut share));
                }
                routes[expert].0.push(token as i32);
                routes[expert].1.push(share);
            }
        }
        routes.extend(self.shared.as_ref().map(|gate| shared_route(x, gate.as_ref(), maker)));
        routes
    }
}

/// The route of every token to the shared expert.
fn shared_route<B: Kernels>(
    x: &Tensor<B, 2>,
    gate: Option<&Linear<B>>,
    maker: &Maker<B>,
) -> Routes {
    let count = x.dims()[0];
    let mut shares = vec![1.0; count];
    if let Some(gate) = gate {
        let logits = gate.apply(x.clone()).cast(FloatDType::F32);
        shares = logits.into_data().iter().map(|logit: f32| sigmoid(logit)).collect();
        maker.dtype.round(&mut shares);
    }
    ((0..count as i32).collect(), shares)
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// The sum of each token's expert results, in the order of the experts; a shared expert, which no tap is shown, is
/// the last.
fn consult<B: Kernels>(
    x: Tensor<B, 2>,
    routes: &[Routes],
    (networks, experts): (&[FeedForward<B>], usize),
    tapping: &mut Tapping<'_, '_, B>,
) -> Result<Tensor<B, 2>, OpsError> {
    let maker = tapping.maker;
    let (shared, routes) = (&routes[experts..], &routes[..experts]);
    let (of_shared, networks) = (&networks[experts..], &networks[..experts]);
    let mut sent = None;
    if tapping.tap.wants(Site::ExpertDispatch) {
        let rows = routes.iter().map(|(tokens, _)| rows_of(&x, tokens, maker)).collect();
        sent = Some(tapping.dispatch(rows, routes, x.dims()[1])?.into_iter());
    }
    let apart = tapping.tap.wants(Site::ExpertCombine);
    let (mut y, mut results) = (x.zeros_like(), Vec::new());
    for (network, (tokens, shares)) in networks.iter().zip(routes) {
        let rows = match &mut sent {
            Some(sent) => sent.next().flatten(),
            None => rows_of(&x, tokens, maker),
        };
        let given = rows.map(|rows| network.apply(rows));
        if apart {
            results.push(given.map(|given| {
                let rows = (0..tokens.len() as i32).collect();
                add_shared(given.zeros_like(), given, rows, shares, maker)
            }));
        } else if let Some(given) = given {
            y = add_shared(y, given, tokens.clone(), shares, maker);
        }
    }
    if apart {
        y = tapping.combine(results, routes, x.dims())?;
    }
    for (network, (tokens, shares)) in of_shared.iter().zip(shared) {
        y = add_shared(y, network.apply(x.clone()), tokens.clone(), shares, maker);
    }
    Ok(y)
}

/// The contribution of one of `ranks` ranks to [`consult`], in f32.
fn consult_rank<B: Kernels>(
    x: &Tensor<B, 2>,
    routes: &[Routes],
    networks: &[FeedForward<B>],
    rank: [usize; 2],
    maker: &Maker<B>,
) -> Tensor<B, 2> {
    let mut y = x.zeros_like().cast(FloatDType::F32);
    for (network, (tokens, shares)) in networks.iter().zip(routes) {
        if let Some(sent) = rows_of(x, tokens, maker) {
            let given = rank_sum(&network.down, &network.inner(sent), 1, rank);
            y = add_shared(y, given, tokens.clone(), shares, maker);
        }
    }
    y
}

/// The rows of some tokens, if there are any.
fn rows_of<B: Kernels>(x: &Tensor<B, 2>, tokens: &[i32], maker: &Maker<B>) -> Option<Tensor<B, 2>> {
    let indices = || B::indices(tokens.to_vec(), &maker.device);
    (!tokens.is_empty()).then(|| B::gather(x, indices(), 1.0, None))
}

/// Adds `given`, times `shares`, to the rows `rows` of `y`.
fn add_shared<B: Kernels>(
    y: Tensor<B, 2>,
    given: Tensor<B, 2>,
    rows: Vec<i32>,
    shares: &[f32],
    maker: &Maker<B>,
) -> Tensor<B, 2> {
    let shares = maker.floats(shares.to_vec(), [shares.len()]);
    B::add_rows(y, given, B::indices(rows, &maker.device), shares)
}

/// The softmax of one token's logits.
fn probabilities(logits: &[f32]) -> Vec<f32> {
    let highest = logits.iter().fold(f32::NEG_INFINITY, |highest, logit| highest.max(*logit));
    let shares: Vec<f32> = logits.iter().map(|logit| (logit - highest).exp()).collect();
    let total: f32 = shares.iter().sum();
    shares.into_iter().map(|share| share / total).collect()
}
