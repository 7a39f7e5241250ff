//! The activation function between the projections of an MLP, times the other projection.

use cubecl::ir::StorageType;
use cubecl::prelude::*;
use cubecl::std::tensor::TensorHandle;

use crate::launch::{ELEMENTWISE, cubes, empty};

/// The activation function, and where it rounds in a half type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// `x / (1 + e^-x)`.
    Silu,
    /// `x (1 + erf(x / sqrt 2)) / 2`.
    Gelu,
    /// `x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2`, rounded at the end.
    GeluTanh,
    /// The function of `GeluTanh`, with every step rounded: `x^3`, `0.044715 _`, `x + _`, and so
    /// on.
    GeluNew,
    /// The function of `GeluTanh`, with every step of `x sqrt(2/pi) (1 + 0.044715 x x)` rounded.
    GeluFast,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)^2`.
    ReluSquared,
}

const ROOT: f32 = 0.797_884_6; // sqrt(2 / pi)
const CUBIC: f32 = 0.044_715;

/// Computes `gate(x)`, rounded, times `up` if there is one; both are contiguous and of the same
/// shape.
pub fn gate<R: Runtime>(
    client: &ComputeClient<R>,
    x: &TensorHandle<R>,
    up: Option<&TensorHandle<R>>,
    gate: Gate,
) -> TensorHandle<R> {
    let y = empty(client, x.shape(), x.dtype);
    let count = x.shape().iter().product::<usize>();
    if count == 0 {
        return y;
    }
    gate_values::launch::<R>(
        client,
        cubes(count.div_ceil(ELEMENTWISE as usize)),
        CubeDim::new_1d(ELEMENTWISE),
        x.clone().into_arg(),
        up.unwrap_or(x).clone().into_arg(),
        y.clone().into_arg(),
        gate,
        up.is_some(),
        x.dtype,
    );
    y
}

#[cube(launch)]
fn gate_values<N: Float>(
    x: &Tensor<N>,
    up: &Tensor<N>,
    y: &mut Tensor<N>,
    #[comptime] gate: Gate,
    #[comptime] gated: bool,
    #[define(N)] _dtype: StorageType,
) {
    if ABSOLUTE_POS < y.len() {
        let mut value = apply::<N>(f32::cast_from(x[ABSOLUTE_POS]), gate);
        if gated {
            value = round::<N>(value) * f32::cast_from(up[ABSOLUTE_POS]);
        }
        y[ABSOLUTE_POS] = N::cast_from(value);
    }
}

#[cube]
fn apply<N: Float>(x: f32, #[comptime] gate: Gate) -> f32 {
    match gate {
        Gate::Silu => x / (1.0 + (-x).exp()),
        Gate::Gelu => x * 0.5 * (1.0 + Erf::erf(x * 0.707_106_77)),
        Gate::GeluTanh => 0.5 * x * (1.0 + (ROOT * (x + CUBIC * x * x * x)).tanh()),
        Gate::GeluNew => {
            let cube = round::<N>(round::<N>(x * x) * x);
            let inner = round::<N>(x + round::<N>(CUBIC * cube));
            half::<N>(x, round::<N>(ROOT * inner))
        }
        Gate::GeluFast => {
            let square = round::<N>(round::<N>(CUBIC * x) * x);
            let factor = round::<N>(1.0 + square);
            half::<N>(x, round::<N>(round::<N>(x * ROOT) * factor))
        }
        Gate::Relu => positive(x),
        Gate::ReluSquared => positive(x) * positive(x),
    }
}

#[cube]
fn positive(x: f32) -> f32 {
    let mut value = 0.0f32;
    if x > 0.0 {
        value = x;
    }
    value
}

/// Computes `x / 2 (1 + tanh(inner))`, with every step rounded.
#[cube]
fn half<N: Float>(x: f32, inner: f32) -> f32 {
    round::<N>(0.5 * x) * round::<N>(1.0 + round::<N>(inner.tanh()))
}

#[cube]
fn round<N: Float>(value: f32) -> f32 {
    f32::cast_from(N::cast_from(value))
}
