//! The MLP block, with one network or with experts.

use burn::Dispatch;
use burn::tensor::{DType, FloatDType, IndexingUpdateOp, Int, Tensor, TensorData, activation};
use strait_ops::{Activation, FeedForwardTensors, MlpTensors, Network, Routing};

use crate::ops::tensors::{Linear, Maker, NormWeights, activate, normed};

/// An MLP block on a device.
pub struct Mlp {
    norm_in: Option<NormWeights>,
    network: Experts,
    norm_out: Option<NormWeights>,
}

enum Experts {
    One(FeedForward),
    Many { router: Linear, routing: Routing, networks: Vec<FeedForward> },
}

/// A feed-forward network on a device.
pub struct FeedForward {
    activation: Activation,
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
    native: FloatDType,
}

impl FeedForward {
    pub(crate) fn new(tensors: FeedForwardTensors, maker: &Maker) -> FeedForward {
        FeedForward {
            activation: tensors.activation,
            gate: tensors.gate.map(|gate| maker.linear(gate)),
            up: maker.linear(tensors.up),
            down: maker.linear(tensors.down),
            native: maker.native(),
        }
    }

    fn apply<const D: usize>(&self, x: Tensor<Dispatch, D>) -> Tensor<Dispatch, D> {
        let up = self.up.apply(x.clone());
        let inner = match &self.gate {
            Some(gate) => activate(self.activation, gate.apply(x), self.native) * up,
            None => activate(self.activation, up, self.native),
        };
        self.down.apply(inner)
    }
}

impl Mlp {
    pub(crate) fn new(tensors: MlpTensors<FeedForward>, maker: &Maker) -> Mlp {
        let network = match tensors.network {
            Network::Dense(network) => Experts::One(network),
            Network::Experts { router, routing, experts } => {
                Experts::Many { router: maker.linear(router), routing, networks: experts }
            }
        };
        Mlp {
            norm_in: tensors.norm_in.map(|norm| maker.norm(norm)),
            network,
            norm_out: tensors.norm_out.map(|norm| maker.norm(norm)),
        }
    }

    /// The block's result, not yet added to `x`.
    pub(crate) fn apply(&self, x: Tensor<Dispatch, 3>, maker: &Maker) -> Tensor<Dispatch, 3> {
        let x = normed(self.norm_in.as_ref(), x);
        let y = match &self.network {
            Experts::One(network) => network.apply(x),
            Experts::Many { router, routing, networks } => {
                let [batch, tokens, hidden] = x.dims();
                let x = x.reshape([batch * tokens, hidden]);
                let y = consult(x, router, *routing, networks, maker);
                y.reshape([batch, tokens, hidden])
            }
        };
        normed(self.norm_out.as_ref(), y)
    }
}

/// The sum of what each token's experts give, experts in order. Which tokens go where is decided on
/// the host, which waits for the device here.
fn consult(
    x: Tensor<Dispatch, 2>,
    router: &Linear,
    routing: Routing,
    networks: &[FeedForward],
    maker: &Maker,
) -> Tensor<Dispatch, 2> {
    let logits = router.apply(x.clone()).cast(FloatDType::F32);
    let probabilities = activation::softmax(logits, 1).into_data().convert::<f32>();
    let probabilities: Vec<f32> = probabilities.to_vec().unwrap_or_default();
    let mut groups = vec![(Vec::new(), Vec::new()); networks.len()];
    for (token, probabilities) in probabilities.chunks_exact(networks.len()).enumerate() {
        for (expert, mut share) in routing.choose(probabilities.to_vec()) {
            if routing.rounded_shares {
                maker.dtype.round(std::slice::from_mut(&mut share));
            }
            groups[expert].0.push(token as i32);
            groups[expert].1.push(share);
        }
    }
    let mut y = x.zeros_like();
    for (network, (tokens, shares)) in networks.iter().zip(groups) {
        let count = tokens.len();
        if count == 0 {
            continue;
        }
        let data = TensorData::new(tokens, [count]);
        let tokens = Tensor::<Dispatch, 1, Int>::from_data(data, (&maker.device, DType::I32));
        let shares = maker.tensor(shares, [count, 1], DType::F32);
        let given = network.apply(x.clone().select(0, tokens.clone()));
        let given = (given.cast(FloatDType::F32) * shares).cast(maker.native());
        y = y.select_assign(0, tokens, given, IndexingUpdateOp::Add);
    }
    y
}
