//! Gradients of single layers, by burn's autodiff on burn-flex, and the relevance of attention heads
//! that follows from them.
//!
//! A layer is rerun when its gradient is needed, so that no more than one layer's intermediate results
//! are in memory.

use burn_autodiff::Autodiff;
use burn_flex::{Flex, FlexDevice};
use burn_tensor::backend::AutodiffBackend;
use burn_tensor::{Int, Tensor};
use strait_backend::PulledBack;
use strait_ops::{
    AttentionTensors, Dtype, FeedForwardTensors, Hidden, LayerTap, MlpTensors, NormTensors, Ops,
    OpsError, Shape,
};

use crate::attention::Entries;
use crate::erased::with_networks;
use crate::head::{LOGITS_AT_A_TIME, Table, logits};
use crate::kernels::Kernels;
use crate::ops::{Attention, BackendOps, Mlp, NormWeights};

type Tracked = Autodiff<Flex>;

/// The decoder's operations with gradients, in f32 on the CPU.
pub(crate) struct GradientOps {
    ops: BackendOps<Tracked>,
}

/// A layer, prepared for the device.
pub(crate) struct GradientLayer {
    attention: Attention<Tracked>,
    mlp: Mlp<Tracked>,
    parallel: bool,
}

/// Final norm and head, prepared for the device.
pub(crate) struct GradientHead {
    norm: NormWeights<Tracked>,
    table: Table<Tracked>,
}

impl GradientOps {
    /// Operations for a model of this shape.
    pub(crate) fn new(shape: &Shape) -> GradientOps {
        let (device, name) = (FlexDevice, "cpu".to_owned());
        GradientOps { ops: BackendOps::new(shape, Dtype::F32, device, name) }
    }

    /// Prepares a layer, whose blocks run one after the other or, if `parallel`, side by side.
    pub(crate) fn prepare_layer(
        &mut self,
        attention: AttentionTensors,
        mlp: MlpTensors<FeedForwardTensors>,
        parallel: bool,
    ) -> GradientLayer {
        let attention = self.ops.prepare_attention(attention);
        let mlp = with_networks(mlp, |network| self.ops.prepare_feed_forward(network));
        GradientLayer { attention, mlp: self.ops.prepare_mlp(mlp), parallel }
    }

    /// Prepares final norm and head `[vocab, hidden]`, whose bias `[vocab]` there may be.
    pub(crate) fn prepare_head(
        &mut self,
        norm: NormTensors,
        table: Vec<f32>,
        bias: Option<Vec<f32>>,
    ) -> GradientHead {
        let norm = self.ops.prepare_norm(norm);
        GradientHead { norm, table: self.ops.prepare_table(table, bias) }
    }

    /// Hidden states `[1, tokens, hidden]` of each window; `table` and `positions` are the embedding.
    pub(crate) fn embed_windows(
        &mut self,
        table: Vec<f32>,
        positions: Option<Vec<f32>>,
        windows: &[Vec<u32>],
    ) -> Result<Vec<Hidden>, OpsError> {
        let table = self.ops.prepare_table(table, None);
        let positions = positions.map(|rows| self.ops.prepare_positions(rows));
        let embed = |tokens: &Vec<u32>| {
            self.ops.download(self.ops.embed(&table, positions.as_ref(), tokens, 1, 0))
        };
        windows.iter().map(embed).collect()
    }

    /// The layer's output for `x`.
    pub(crate) fn run(&mut self, x: &Hidden, layer: &GradientLayer) -> Result<Hidden, OpsError> {
        let (x, tap) = (self.ops.upload(x), &mut LayerTap::none());
        let GradientLayer { attention, mlp, parallel } = layer;
        let y = if *parallel {
            self.ops.add_parallel(x, (attention, mlp), 0, None, tap)?
        } else {
            let x = self.ops.add_attention(x, attention, 0, None, tap)?;
            self.ops.add_mlp(x, mlp, 0, tap)?
        };
        self.ops.download(y)
    }

    /// The sum of the log-likelihoods of `targets`, where position `i` of `x` predicts target `i`, and
    /// its gradient at `x`. Positions without a target have gradient 0.
    pub(crate) fn likelihood(
        &mut self,
        x: &Hidden,
        head: &GradientHead,
        targets: &[u32],
    ) -> Result<(f64, Hidden), OpsError> {
        let shape = self.ops.shape();
        let (vocab, width, cap) = (shape.vocab, shape.hidden, shape.logit_cap);
        let mut total = 0.0;
        let mut gradient = Hidden::zeros(1, x.tokens, width, Dtype::F32);
        let values = x.to_f32();
        // Memory holds the logits, their exponentials and the gradients of both.
        let rows = (LOGITS_AT_A_TIME / 4 / vocab).max(1);
        for (run, targets) in targets.chunks(rows).enumerate() {
            let first = run * rows * width;
            let values = values[first..first + targets.len() * width].to_vec();
            let rows = Hidden::from_f32(&values, [1, targets.len(), width], Dtype::F32)?;
            let rows = self.ops.upload(&rows).require_grad();
            let normed = head.norm.apply(rows.clone().reshape([targets.len(), width]));
            let indices = targets.iter().map(|&target| target as i32).collect();
            let indices = Tracked::indices(indices, &FlexDevice);
            let (_, figures) = Tracked::compare(logits(normed, &head.table, cap), indices, None);
            let likelihood = -figures.narrow(1, 0, 1).sum();
            let gradients = likelihood.backward();
            total += f64::from(likelihood.inner().into_scalar());
            let found = self.gradient_of(&rows, &gradients)?;
            let bytes = size_of::<f32>() * first;
            gradient.data[bytes..bytes + found.data.len()].copy_from_slice(&found.data);
        }
        Ok((total, gradient))
    }

    /// Propagates the gradient at the layer's output to its input `x`, and computes the relevance of
    /// heads and tokens, with queries weighted by `weights` `[tokens]`. The routing of tokens to experts
    /// is treated as constant.
    pub(crate) fn relevance(
        &mut self,
        x: &Hidden,
        layer: &GradientLayer,
        gradient: &Hidden,
        weights: &[f32],
    ) -> Result<PulledBack, OpsError> {
        let GradientLayer { attention, mlp, parallel } = layer;
        let x = self.ops.upload(x).require_grad();
        let [query, key, value] = attention.project(x.clone());
        let (maker, ropes) = self.ops.parts();
        let query = attention.rotate(query, 0, maker, ropes);
        let key = attention.rotate(key, 0, maker, ropes);
        let causal = attention.causal(maker);
        let context = causal.attend(query.clone(), key.clone(), value.clone(), 0);
        // Autodiff keeps only the gradients of leaves, so this leaf is added to the context.
        let at_context = context.zeros_like().detach().require_grad();
        let attended = attention.finish(context + at_context.clone());
        let none = &mut LayerTap::none();
        let y = if *parallel {
            x.clone() + attended + self.ops.mlp(&x, mlp, 0, none)?
        } else {
            let y = x.clone() + attended;
            y.clone() + self.ops.mlp(&y, mlp, 0, none)?
        };
        let towards = self.ops.upload(gradient);
        let gradients = (y * towards).sum().backward();
        let gradient = self.gradient_of(&x, &gradients)?;
        let at_context = at_context.grad(&gradients).ok_or_else(|| self.no_gradient())?;

        // The probability of key j for query i moves the context by the value of j.
        let [_, heads, tokens, dim] = at_context.dims();
        let [_, kv_heads, ..] = key.dims();
        let positions = Tensor::<Flex, 1, Int>::arange(0..tokens as i64, &FlexDevice);
        let positions = positions.reshape([1, 1, 1, tokens]).expand([1, kv_heads, 1, tokens]);
        let entries = Entries { keys: key.inner(), values: value.inner(), positions };
        let values = entries.values.clone().swap_dims(2, 3);
        let weights = Tensor::<Flex, 1>::from_floats(weights, &FlexDevice);
        let mut first = 0;
        let mut of_heads = Tensor::<Flex, 1>::zeros([heads], &FlexDevice);
        let mut of_tokens = Tensor::<Flex, 1>::zeros([tokens], &FlexDevice);
        causal.probabilities(query.inner(), &entries, 0, |shares| {
            let rows = shares.dims()[2];
            let moved = at_context.clone().narrow(2, first, rows);
            let moved = moved.reshape([1, kv_heads, heads / kv_heads * rows, dim]);
            let moved = moved.matmul(values.clone()).reshape([1, heads, rows, tokens]);
            let weights = weights.clone().narrow(0, first, rows).reshape([1, 1, rows, 1]);
            let relevance = (shares * moved).clamp_min(0.0) * weights;
            let by_key = relevance.sum_dim(2).reshape([heads, tokens]);
            of_heads = of_heads.clone() + by_key.clone().sum_dim(1).reshape([heads]);
            of_tokens = of_tokens.clone() + by_key.mean_dim(0).reshape([tokens]);
            first += rows;
        });
        let heads = self.floats(of_heads)?.into_iter().map(f64::from).collect();
        Ok(PulledBack { gradient, heads, tokens: self.floats(of_tokens)? })
    }

    fn gradient_of(
        &self,
        x: &Tensor<Tracked, 3>,
        gradients: &<Tracked as AutodiffBackend>::Gradients,
    ) -> Result<Hidden, OpsError> {
        let gradient = x.grad(gradients).ok_or_else(|| self.no_gradient())?;
        self.ops.download(Tensor::from_inner(gradient))
    }

    fn floats(&self, x: Tensor<Flex, 1>) -> Result<Vec<f32>, OpsError> {
        self.ops.floats(Tensor::<Tracked, 1>::from_inner(x))
    }

    fn no_gradient(&self) -> OpsError {
        let reason = "autodiff gave no gradient".to_owned();
        OpsError::Device { device: self.ops.device(), reason }
    }
}
