//! The operations that blocks consist of: products and what lies between them.
//!
//! By default they are composed of burn's tensor operations, which autodiff can follow; a backend with
//! its own kernels (`cube.rs`) uses those instead.

use burn_tensor::backend::Backend;
use burn_tensor::{Bool, DType, FloatDType, IndexingUpdateOp, Int, Tensor, TensorData, activation};
use strait_ops::{Activation, NormKind};

use crate::head::Kept;
use crate::ops::NormWeights;

/// Tables of cosines and sines, `[positions, pairs]` in f32.
pub(crate) struct Rotation<B: Backend> {
    pub(crate) cos: Tensor<B, 2>,
    pub(crate) sin: Tensor<B, 2>,
    /// Whether a value is rounded once, at the end; otherwise each product is rounded, too.
    pub(crate) rounded_once: bool,
}

/// The positions of the tokens of `[batch, heads, tokens, channels]`.
pub(crate) enum Positions<B: Backend> {
    /// Consecutive positions from this one on.
    From(usize),
    /// A position for every token of every head, `[heads * tokens]`.
    Given(Tensor<B, 1, Int>),
}

/// Positions of keys and queries: query row `i` is at `first_query + i`.
pub(crate) struct Keys<'a, B: Backend> {
    pub(crate) first_query: usize,
    /// Position of the first key, if keys are consecutive.
    pub(crate) first_key: usize,
    /// Positions `[1, kv_heads, 1, keys]`, if they are not consecutive.
    pub(crate) positions: Option<&'a Tensor<B, 4, Int>>,
    /// Number of keys that a query attends to, its own included; `None` for all before it.
    pub(crate) window: Option<usize>,
    pub(crate) kv_heads: usize,
}

/// How scores are turned into shares.
#[derive(Clone, Copy)]
pub(crate) struct Softmax {
    /// Factor applied to the scores first.
    pub(crate) scale: f64,
    /// Scaled scores become `cap * tanh(score / cap)`.
    pub(crate) cap: Option<f64>,
    /// The type of the result.
    pub(crate) dtype: FloatDType,
    /// Whether each row is divided by its sum.
    pub(crate) normalised: bool,
}

/// A backend that a decoder runs on.
pub(crate) trait Kernels: Backend {
    /// Computes `x · weight` over the last two dimensions, summed in f32 and returned in `dtype`,
    /// which is the factors' type or f32.
    fn product<const D: usize>(
        x: Tensor<Self, D>,
        weight: Tensor<Self, D>,
        dtype: FloatDType,
    ) -> Tensor<Self, D> {
        match dtype {
            FloatDType::F32 => x.cast(FloatDType::F32).matmul(weight.cast(FloatDType::F32)),
            _ => x.matmul(weight),
        }
    }

    /// The norm over the last dimension.
    fn norm<const D: usize>(x: Tensor<Self, D>, norm: &NormWeights<Self>) -> Tensor<Self, D> {
        let mut x = x.cast(FloatDType::F32);
        if norm.formula.kind == NormKind::Layer {
            x = x.clone() - x.mean_dim(D - 1);
        }
        let squares = x.clone().square().mean_dim(D - 1);
        let normed = x / (squares + norm.formula.eps).sqrt();
        let weight = norm.weight.clone().unsqueeze();
        if norm.formula.kind == NormKind::Rms {
            return normed.cast(norm.native) * weight;
        }
        let y = normed * weight;
        let y = match &norm.bias {
            Some(bias) => y + bias.clone().unsqueeze(),
            None => y,
        };
        y.cast(norm.native)
    }

    /// The activation function between the projections of an MLP, rounded, times `up` if there is one.
    fn gate(kind: Activation, x: Tensor<Self, 2>, up: Option<Tensor<Self, 2>>) -> Tensor<Self, 2> {
        let activated = activate(kind, x);
        match up {
            Some(up) => activated * up,
            None => activated,
        }
    }

    /// Rotates the first `2 * pairs` channels of every head of `x` `[batch, heads, tokens, channels]`.
    fn rotate(
        x: Tensor<Self, 4>,
        rotation: &Rotation<Self>,
        positions: Positions<Self>,
    ) -> Tensor<Self, 4> {
        let [_, heads, tokens, channels] = x.dims();
        let [length, half] = rotation.cos.dims();
        let native = FloatDType::from(x.dtype());
        let inner = if rotation.rounded_once { FloatDType::F32 } else { native };
        let [cos, sin] = [&rotation.cos, &rotation.sin].map(|table| {
            let rows = match &positions {
                Positions::From(first) => {
                    table.clone().narrow(0, *first, tokens).reshape([1, 1, tokens, half])
                }
                Positions::Given(places) => {
                    let places = places.clone().clamp(0, length as i32 - 1);
                    table.clone().select(0, places).reshape([1, heads, tokens, half])
                }
            };
            rows.cast(inner)
        });
        let rotated = x.clone().narrow(3, 0, 2 * half).cast(inner);
        let (low, high) = (rotated.clone().narrow(3, 0, half), rotated.narrow(3, half, half));
        let first = low.clone() * cos.clone() - high.clone() * sin.clone();
        let second = high * cos + low * sin;
        let mut parts = vec![first.cast(native), second.cast(native)];
        if channels > 2 * half {
            parts.push(x.narrow(3, 2 * half, channels - 2 * half));
        }
        Tensor::cat(parts, 3)
    }

    /// Computes `exp(score - highest)` for the keys that a query attends to and 0 for the others, in
    /// the shape of `scores` `[batch, heads, rows, keys]`, with the sums `[batch, heads, rows, 1]`
    /// before rounding.
    fn shares(
        scores: Tensor<Self, 4>,
        keys: &Keys<'_, Self>,
        wanted: Softmax,
    ) -> [Tensor<Self, 4>; 2] {
        let hidden = hidden(scores.dims(), keys, &scores.device());
        // Scaled after the product, because a half type's factors have few bits to lose.
        let mut scores = scores * wanted.scale;
        if let Some(cap) = wanted.cap {
            scores = (scores / cap).tanh() * cap;
        }
        let scores = scores.mask_fill(hidden, f32::NEG_INFINITY);
        let highest = scores.clone().max_dim(3);
        let shares = (scores - highest).exp();
        let sums = shares.clone().sum_dim(3);
        let shares = if wanted.normalised { shares / sums.clone() } else { shares };
        [shares.cast(wanted.dtype), sums]
    }

    /// Divides every row of `context` `[batch, heads, rows, channels]` (f32) by its sum `[batch,
    /// heads, rows, 1]`; the result is in `dtype`.
    fn divide(
        context: Tensor<Self, 4>,
        sums: Tensor<Self, 4>,
        dtype: FloatDType,
    ) -> Tensor<Self, 4> {
        (context / sums).cast(dtype)
    }

    /// Gathers rows `[indices, width]` of `table`, times `scale` and rounded; row `i % length` of
    /// `added` `[length, width]` is added to row `i`.
    fn gather(
        table: &Tensor<Self, 2>,
        indices: Tensor<Self, 1, Int>,
        scale: f32,
        added: Option<Tensor<Self, 2>>,
    ) -> Tensor<Self, 2> {
        let [count] = indices.dims();
        let width = table.dims()[1];
        let mut x = table.clone().select(0, indices);
        if scale != 1.0 {
            x = x * scale;
        }
        match added {
            Some(added) => {
                let length = added.dims()[0];
                let x = x.reshape([count / length, length, width]) + added.unsqueeze();
                x.reshape([count, width])
            }
            None => x,
        }
    }

    /// Adds row `i` of `given`, times `shares[i]` and rounded, to row `indices[i]` of `y`. The indices
    /// must be distinct.
    fn add_rows(
        y: Tensor<Self, 2>,
        given: Tensor<Self, 2>,
        indices: Tensor<Self, 1, Int>,
        shares: Tensor<Self, 1>,
    ) -> Tensor<Self, 2> {
        let [count, _] = given.dims();
        let native = FloatDType::from(given.dtype());
        let given = given.cast(FloatDType::F32) * shares.reshape([count, 1]);
        y.select_assign(0, indices, given.cast(native), IndexingUpdateOp::Add)
    }

    /// Evaluates `logits` `[rows, vocab]`: what they need to serve as a reference, and figures `[rows,
    /// 3]`. The figures are the negative log-likelihood of each row's target, then the divergence from
    /// a reference and 1 where both have the same most likely token; without a reference, the most
    /// likely token's probability and 1.
    fn compare(
        logits: Tensor<Self, 2>,
        targets: Tensor<Self, 1, Int>,
        reference: Option<&Kept<Self>>,
    ) -> (Kept<Self>, Tensor<Self, 2>) {
        let [rows, _] = logits.dims();
        let (highest, top) = logits.clone().max_dim_with_indices(1);
        let total = (logits.clone() - highest.clone()).exp().sum_dim(1);
        let log_total = highest.clone() + total.log();
        let nll = log_total.clone() - logits.clone().gather(1, targets.reshape([rows, 1]));
        let [second, third] = match reference {
            None => [(highest - log_total.clone()).exp(), nll.ones_like()],
            Some(reference) => {
                let p = (reference.logits.clone() - reference.log_total.clone()).exp();
                let mass = p.clone().sum_dim(1);
                let drift = (p * (reference.logits.clone() - logits.clone())).sum_dim(1);
                let kld = drift / mass + (log_total.clone() - reference.log_total.clone());
                let same = top.clone().equal(reference.top.clone()).float();
                [kld, same.cast(FloatDType::F32)]
            }
        };
        let figures = Tensor::cat(vec![nll, second, third], 1);
        (Kept { logits, log_total, top }, figures)
    }

    /// Bytes of device memory that the current stream's pool has allocated from the driver; `None` if
    /// memory is the host's.
    fn reserved_bytes(_device: &Self::Device) -> Option<u64> {
        None
    }

    /// Indices on a device.
    fn indices(indices: Vec<i32>, device: &Self::Device) -> Tensor<Self, 1, Int> {
        let count = indices.len();
        Tensor::from_data(TensorData::new(indices, [count]), (device, DType::I32))
    }
}

/// The scores `[batch, heads, rows, keys]` that a query does not attend to, broadcast over equal
/// dimensions.
fn hidden<B: Backend>(
    [_, heads, rows, count]: [usize; 4],
    keys: &Keys<'_, B>,
    device: &B::Device,
) -> Tensor<B, 4, Bool> {
    let Some(positions) = keys.positions else {
        let own = keys.first_query as i64 - keys.first_key as i64;
        let hidden = Tensor::<B, 2, Bool>::tril_mask([rows, count], own, device);
        return match keys.window {
            Some(window) => {
                let oldest = own + 1 - window as i64;
                hidden.bool_or(Tensor::triu_mask([rows, count], oldest, device)).unsqueeze()
            }
            None => hidden.unsqueeze(),
        };
    };
    let (kv_heads, first) = (keys.kv_heads, keys.first_query as i64);
    let asked = Tensor::<B, 1, Int>::arange(first..first + rows as i64, device);
    let asked = asked.reshape([1, 1, rows, 1]).expand([1, kv_heads, rows, count]);
    let known = positions.clone().expand([1, kv_heads, rows, count]);
    let mut hidden = known.clone().greater(asked.clone());
    if let Some(window) = keys.window {
        hidden = hidden.bool_or(known.lower_equal(asked.sub_scalar(window as i64)));
    }
    let hidden = hidden.reshape([1, kv_heads, 1, rows, count]);
    hidden.expand([1, kv_heads, heads / kv_heads, rows, count]).reshape([1, heads, rows, count])
}

/// The activation, rounded to the type of `x`.
fn activate<B: Backend>(kind: Activation, x: Tensor<B, 2>) -> Tensor<B, 2> {
    const ROOT: f64 = 0.797_884_560_802_865_4; // sqrt(2 / pi)
    const CUBIC: f64 = 0.044_715;
    let native = FloatDType::from(x.dtype());
    let half = |x: Tensor<B, 2>, inner: Tensor<B, 2>| x * 0.5 * (inner.tanh() + 1.0);
    match kind {
        Activation::Silu => activation::silu(x.cast(FloatDType::F32)).cast(native),
        Activation::Gelu => {
            let x = x.cast(FloatDType::F32);
            let error = (x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf();
            (x * 0.5 * (error + 1.0)).cast(native)
        }
        Activation::GeluTanh => {
            let x = x.cast(FloatDType::F32);
            let cube = x.clone() * x.clone() * x.clone();
            half(x.clone(), (x + cube * CUBIC) * ROOT).cast(native)
        }
        Activation::GeluNew => {
            let cube = x.clone() * x.clone() * x.clone();
            half(x.clone(), (x + cube * CUBIC) * ROOT)
        }
        Activation::GeluFast => {
            let square = x.clone() * CUBIC * x.clone();
            half(x.clone(), x * ROOT * (square + 1.0))
        }
        Activation::Relu => activation::relu(x),
        Activation::ReluSquared => activation::relu(x).square(),
    }
}

impl Kernels for burn_flex::Flex {}

impl Kernels for burn_autodiff::Autodiff<burn_flex::Flex> {}
