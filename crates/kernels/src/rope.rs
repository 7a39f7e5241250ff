//! Rotary positions.

use cubecl::ir::StorageType;
use cubecl::prelude::*;
use cubecl::std::tensor::TensorHandle;

use crate::launch::{ELEMENTWISE, cubes, empty, given_or_unused};

/// Tables of cosines and sines, and where a half type is rounded.
pub struct Rotation<'a, R: Runtime> {
    /// Cosines, `[positions, pairs]` in f32.
    pub cos: &'a TensorHandle<R>,
    /// Sines, `[positions, pairs]` in f32.
    pub sin: &'a TensorHandle<R>,
    /// Whether a value is rounded once, at the end; otherwise each product is rounded, too.
    pub rounded_once: bool,
}

/// Rotates the first `2 * pairs` channels of every head of `x` `[batch, heads, tokens, channels]`, as
/// pairs `(c, c + pairs)`, and copies the others. `x` may have any strides; the result is contiguous.
///
/// Tokens have consecutive positions from `first` on, unless `given` holds the i32 position of every
/// token of every head, `[heads * tokens]`; positions outside the table are clamped to its ends.
pub fn rotate<R: Runtime>(
    client: &ComputeClient<R>,
    x: &TensorHandle<R>,
    rotation: &Rotation<'_, R>,
    first: usize,
    given: Option<&TensorHandle<R>>,
) -> TensorHandle<R> {
    let y = empty(client, x.shape(), x.dtype);
    let count = x.shape().iter().product::<usize>();
    if count == 0 {
        return y;
    }
    rotate_values::launch::<R>(
        client,
        cubes(count.div_ceil(ELEMENTWISE as usize)),
        CubeDim::new_1d(ELEMENTWISE),
        x.clone().into_arg(),
        rotation.cos.clone().into_arg(),
        rotation.sin.clone().into_arg(),
        given_or_unused(client, given).into_arg(),
        y.clone().into_arg(),
        first as u32,
        given.is_some(),
        rotation.rounded_once,
        x.dtype,
    );
    y
}

#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "what a launch needs")]
fn rotate_values<N: Float>(
    x: &Tensor<N>,
    cos: &Tensor<f32>,
    sin: &Tensor<f32>,
    positions: &Tensor<i32>,
    y: &mut Tensor<N>,
    first: u32,
    #[comptime] given: bool,
    #[comptime] rounded_once: bool,
    #[define(N)] _dtype: StorageType,
) {
    if ABSOLUTE_POS < y.len() {
        let channels = x.shape(3);
        let tokens = x.shape(2);
        let heads = x.shape(1);
        let channel = ABSOLUTE_POS % channels;
        let token = (ABSOLUTE_POS / channels) % tokens;
        let head = (ABSOLUTE_POS / (channels * tokens)) % heads;
        let sequence = ABSOLUTE_POS / (channels * tokens * heads);
        let from = sequence * x.stride(0) + head * x.stride(1) + token * x.stride(2);

        let pairs = cos.shape(1);
        let own = x[from + channel * x.stride(3)];
        if channel < 2 * pairs {
            let mut position = first as usize + token;
            if given {
                let last = cos.shape(0) as i32 - 1;
                let place = positions[head * tokens + token];
                position = clamp(place, 0, last) as usize;
            }
            let pair = channel % pairs;
            let cosine = cos[position * cos.stride(0) + pair];
            let mut sine = sin[position * sin.stride(0) + pair];
            let mut other_channel = channel + pairs;
            if channel >= pairs {
                other_channel = channel - pairs;
            } else {
                sine = -sine;
            }
            let other = x[from + other_channel * x.stride(3)];
            let mut along = f32::cast_from(own) * cosine;
            let mut across = f32::cast_from(other) * sine;
            if !rounded_once {
                along = f32::cast_from(N::cast_from(along));
                across = f32::cast_from(N::cast_from(across));
            }
            y[ABSOLUTE_POS] = N::cast_from(along + across);
        } else {
            y[ABSOLUTE_POS] = own;
        }
    }
}
