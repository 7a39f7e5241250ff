//! RMS norm and layer norm of rows.

use cubecl::ir::StorageType;
use cubecl::prelude::*;
use cubecl::std::tensor::TensorHandle;

use crate::launch::{cubes, empty, units};
use crate::reduce::{Fold, fold};

/// A norm's formula, and where it rounds in a half type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NormFormula {
    /// `x / rms(x) * weight`, rounded before the weight and after it.
    Rms,
    /// `x / rms(x) * weight (+ bias)`, rounded at the end.
    RmsOnce,
    /// `(x - mean(x)) / deviation(x) * weight (+ bias)`, rounded at the end.
    Layer,
}

/// The norm of every row of `x` `[rows, channels]`, whose channels are contiguous.
///
/// `weight` and `bias` `[channels]` are of any float type; `eps` is added to the mean square or to
/// the variance.
pub fn norm<R: Runtime>(
    client: &ComputeClient<R>,
    x: &TensorHandle<R>,
    weight: &TensorHandle<R>,
    bias: Option<&TensorHandle<R>>,
    formula: NormFormula,
    eps: f32,
) -> TensorHandle<R> {
    let (rows, channels) = (x.shape()[0], x.shape()[1]);
    let y = empty(client, &[rows, channels], x.dtype);
    if rows * channels == 0 {
        return y;
    }
    let units = units(channels);
    norm_rows::launch::<R>(
        client,
        cubes(rows),
        CubeDim::new_1d(units),
        x.clone().into_arg(),
        weight.clone().into_arg(),
        bias.unwrap_or(weight).clone().into_arg(),
        y.clone().into_arg(),
        eps,
        formula == NormFormula::Layer,
        formula == NormFormula::Rms,
        bias.is_some(),
        units,
        [x.dtype, weight.dtype],
    );
    y
}

#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "what a launch needs")]
fn norm_rows<N: Float, W: Float>(
    x: &Tensor<N>,
    weight: &Tensor<W>,
    bias: &Tensor<W>,
    y: &mut Tensor<N>,
    eps: f32,
    #[comptime] centred: bool,
    #[comptime] rounded_before_weight: bool,
    #[comptime] with_bias: bool,
    #[comptime] units: u32,
    #[define(N, W)] _dtypes: [StorageType; 2],
) {
    let mut scratch = SharedMemory::<f32>::new(units as usize);
    let row = CUBE_POS;
    let channels = x.shape(1);
    if row < x.shape(0) {
        let from = row * x.stride(0);
        let to = row * y.stride(0);
        let first = UNIT_POS as usize;
        let step = units as usize;
        let count = f32::cast_from(channels as u32);

        let mut mean = 0.0f32;
        if centred {
            let mut total = 0.0f32;
            let mut at = first;
            while at < channels {
                total += f32::cast_from(x[from + at]);
                at += step;
            }
            mean = fold(total, &mut scratch, Fold::Sum, units) / count;
        }

        let mut squares = 0.0f32;
        let mut at = first;
        while at < channels {
            let value = f32::cast_from(x[from + at]) - mean;
            squares += value * value;
            at += step;
        }
        let deviation = (fold(squares, &mut scratch, Fold::Sum, units) / count + eps).sqrt();

        let mut at = first;
        while at < channels {
            let mut value = (f32::cast_from(x[from + at]) - mean) / deviation;
            if rounded_before_weight {
                value = f32::cast_from(N::cast_from(value));
            }
            value *= f32::cast_from(weight[at]);
            if with_bias {
                value += f32::cast_from(bias[at]);
            }
            y[to + at] = N::cast_from(value);
            at += step;
        }
    }
}
