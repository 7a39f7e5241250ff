//! The MLP block, with one network or with experts.

use burn_tensor::backend::Backend;
use burn_tensor::{DType, FloatDType, IndexingUpdateOp, Int, Tensor, TensorData, activation};
use strait_ops::{Activation, FeedForwardTensors, MlpTensors, Network, Routing};

use crate::ops::tensors::{Linear, Maker, NormWeights, activate, normed};

/// An MLP block on a device.
pub(crate) struct Mlp<B: Backend> {
    norm_in: Option<NormWeights<B>>,
    /// One network, or as many as the router has outputs.
    networks: Vec<FeedForward<B>>,
    router: Option<(Linear<B>, Routing)>,
    norm_out: Option<NormWeights<B>>,
}

/// A feed-forward network on a device.
pub(crate) struct FeedForward<B: Backend> {
    activation: Activation,
    gate: Option<Linear<B>>,
    up: Linear<B>,
    down: Linear<B>,
    native: FloatDType,
}

impl<B: Backend> FeedForward<B> {
    pub(crate) fn new(tensors: FeedForwardTensors, maker: &Maker<B>) -> FeedForward<B> {
        FeedForward {
            activation: tensors.activation,
            gate: tensors.gate.map(|gate| maker.linear(gate)),
            up: maker.linear(tensors.up),
            down: maker.linear(tensors.down),
            native: maker.native(),
        }
    }

    fn apply(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let up = self.up.apply(x.clone());
        let inner = match &self.gate {
            Some(gate) => activate(self.activation, gate.apply(x), self.native) * up,
            None => activate(self.activation, up, self.native),
        };
        self.down.apply(inner)
    }
}

impl<B: Backend> Mlp<B> {
    pub(crate) fn new(tensors: MlpTensors<FeedForward<B>>, maker: &Maker<B>) -> Mlp<B> {
        let (networks, router) = match tensors.network {
            Network::Dense(network) => (vec![network], None),
            Network::Experts { router, routing, experts } => {
                (experts, Some((maker.linear(router), routing)))
            }
        };
        Mlp {
            norm_in: tensors.norm_in.map(|norm| maker.norm(norm)),
            networks,
            router,
            norm_out: tensors.norm_out.map(|norm| maker.norm(norm)),
        }
    }

    /// The block's result, not yet added to `x`.
    pub(crate) fn apply(&self, x: Tensor<B, 3>, maker: &Maker<B>) -> Tensor<B, 3> {
        let [batch, tokens, hidden] = x.dims();
        let x = normed(self.norm_in.as_ref(), x).reshape([batch * tokens, hidden]);
        let y = match (&self.router, self.networks.as_slice()) {
            (None, [network]) => network.apply(x),
            (None, _) => x.zeros_like(),
            (Some((router, routing)), networks) => consult(x, router, *routing, networks, maker),
        };
        normed(self.norm_out.as_ref(), y.reshape([batch, tokens, hidden]))
    }
}

/// The sum of what each token's experts give, experts in order. Which tokens go where is decided on
/// the host, which waits for the device here.
fn consult<B: Backend>(
    x: Tensor<B, 2>,
    router: &Linear<B>,
    routing: Routing,
    networks: &[FeedForward<B>],
    maker: &Maker<B>,
) -> Tensor<B, 2> {
    let logits = router.apply(x.clone()).cast(FloatDType::F32);
    let probabilities: Vec<f32> = activation::softmax(logits, 1).into_data().iter().collect();
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
        let tokens = Tensor::<B, 1, Int>::from_data(data, (&maker.device, DType::I32));
        let shares = maker.floats(shares, [count, 1]);
        let given = network.apply(x.clone().select(0, tokens.clone()));
        let given = (given.cast(FloatDType::F32) * shares).cast(maker.native());
        y = y.select_assign(0, tokens, given, IndexingUpdateOp::Add);
    }
    y
}
