//! The softmax of attention: scale, mask and exponentials of the scores of a query in one kernel.

use cubecl::ir::StorageType;
use cubecl::prelude::*;
use cubecl::std::tensor::TensorHandle;

use crate::launch::{ELEMENTWISE, cubes, empty, float, given_or_unused, units};
use crate::reduce::{Fold, fold};

/// Positions of keys and queries: query row `i` is at `first_query + i`.
pub struct Keys<'a, R: Runtime> {
    /// Position of the first query.
    pub first_query: usize,
    /// Position of the first key, if keys are consecutive.
    pub first_key: usize,
    /// The i32 positions `[kv_heads, keys]` of the keys, if they are not consecutive.
    pub positions: Option<&'a TensorHandle<R>>,
    /// Number of keys that a query attends to, its own included; `None` for all before it.
    pub window: Option<usize>,
}

/// How scores are turned into shares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// Factor applied to the scores first.
    pub scale: f32,
    /// Scaled scores become `cap * tanh(score / cap)`.
    pub cap: Option<f32>,
    /// The element type of the result.
    pub dtype: StorageType,
    /// Whether each share is divided by its row's sum.
    pub normalised: bool,
}

/// Computes `exp(score - highest)` for the keys that a query attends to and 0 for the others, in the
/// shape of `scores` `[batch, heads, rows, keys]` (contiguous f32), with the sums `[batch * heads *
/// rows]` in f32 before rounding. `heads / kv_heads` neighbouring heads read the same keys.
pub fn shares<R: Runtime>(
    client: &ComputeClient<R>,
    scores: &TensorHandle<R>,
    kv_heads: usize,
    keys: &Keys<'_, R>,
    wanted: Shares,
) -> [TensorHandle<R>; 2] {
    let &[batch, heads, rows, count] = &scores.shape()[..] else {
        return [scores.clone(), scores.clone()];
    };
    let result = empty(client, scores.shape(), wanted.dtype);
    let sums = empty(client, &[batch * heads * rows], float());
    if batch * heads * rows * count == 0 {
        return [result, sums];
    }
    let units = units(count);
    share_rows::launch::<R>(
        client,
        cubes(batch * heads * rows),
        CubeDim::new_1d(units),
        scores.clone().into_arg(),
        given_or_unused(client, keys.positions).into_arg(),
        result.clone().into_arg(),
        sums.clone().into_arg(),
        keys.first_query as u32,
        keys.first_key as u32,
        keys.window.unwrap_or(0) as u32,
        (heads / kv_heads) as u32,
        wanted.scale,
        wanted.cap.unwrap_or(1.0),
        wanted.cap.is_some(),
        keys.positions.is_some(),
        wanted.normalised,
        units,
        wanted.dtype,
    );
    [result, sums]
}

/// Divides the rows of `context` `[batch, heads, rows, channels]` (contiguous f32) by their sums and
/// returns `[batch, rows, heads, channels]` in `dtype`, the layout that the output projection reads.
pub fn divide_rows<R: Runtime>(
    client: &ComputeClient<R>,
    context: &TensorHandle<R>,
    sums: &TensorHandle<R>,
    dtype: StorageType,
) -> TensorHandle<R> {
    let &[batch, heads, rows, channels] = &context.shape()[..] else { return context.clone() };
    let result = empty(client, &[batch, rows, heads, channels], dtype);
    let count = batch * heads * rows * channels;
    if count == 0 {
        return result;
    }
    divide::launch::<R>(
        client,
        cubes(count.div_ceil(ELEMENTWISE as usize)),
        CubeDim::new_1d(ELEMENTWISE),
        context.clone().into_arg(),
        sums.clone().into_arg(),
        result.clone().into_arg(),
        dtype,
    );
    result
}

#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "what a launch needs")]
fn share_rows<N: Float>(
    scores: &Tensor<f32>,
    positions: &Tensor<i32>,
    result: &mut Tensor<N>,
    sums: &mut Tensor<f32>,
    first_query: u32,
    first_key: u32,
    window: u32,
    group: u32,
    scale: f32,
    cap: f32,
    #[comptime] capped: bool,
    #[comptime] given: bool,
    #[comptime] normalised: bool,
    #[comptime] units: u32,
    #[define(N)] _dtype: StorageType,
) {
    let mut scratch = SharedMemory::<f32>::new(units as usize);
    let heads = scores.shape(1);
    let rows = scores.shape(2);
    let keys = scores.shape(3);
    let row = CUBE_POS;
    if row < sums.len() {
        let from = row * keys;
        let query = first_query + (row % rows) as u32;
        let key_head = (row / rows) % heads / group as usize;
        let first = UNIT_POS as usize;
        let step = units as usize;

        let mut highest = f32::MIN.runtime();
        let mut key = first;
        while key < keys {
            let mut position = first_key + key as u32;
            if given {
                position = positions[key_head * keys + key] as u32;
            }
            if visible(query, position, window) {
                let score = scored(scores[from + key], scale, cap, capped);
                if score > highest {
                    highest = score;
                }
            }
            key += step;
        }
        let highest = fold(highest, &mut scratch, Fold::Largest, units);

        let mut total = 0.0f32;
        let mut key = first;
        while key < keys {
            let mut position = first_key + key as u32;
            if given {
                position = positions[key_head * keys + key] as u32;
            }
            let mut share = 0.0f32;
            if visible(query, position, window) {
                share = (scored(scores[from + key], scale, cap, capped) - highest).exp();
            }
            total += share;
            result[from + key] = N::cast_from(share);
            key += step;
        }
        let total = fold(total, &mut scratch, Fold::Sum, units);

        if normalised {
            let mut key = first;
            while key < keys {
                let share = f32::cast_from(result[from + key]);
                result[from + key] = N::cast_from(share / total);
                key += step;
            }
        }
        if UNIT_POS == 0 {
            sums[row] = total;
        }
    }
}

/// The score of a product of query and key.
#[cube]
fn scored(product: f32, scale: f32, cap: f32, #[comptime] capped: bool) -> f32 {
    let mut score = product * scale;
    if capped {
        score = cap * (score / cap).tanh();
    }
    score
}

/// Whether a query attends to the key at `position`; `window` is 0 if it attends to all before it.
#[cube]
fn visible(query: u32, position: u32, window: u32) -> bool {
    position <= query && (window == 0 || position + window > query)
}

#[cube(launch)]
fn divide<N: Float>(
    context: &Tensor<f32>,
    sums: &Tensor<f32>,
    result: &mut Tensor<N>,
    #[define(N)] _dtype: StorageType,
) {
    if ABSOLUTE_POS < context.len() {
        let channels = context.shape(3);
        let rows = context.shape(2);
        let heads = context.shape(1);
        let channel = ABSOLUTE_POS % channels;
        let row = (ABSOLUTE_POS / channels) % rows;
        let head = (ABSOLUTE_POS / (channels * rows)) % heads;
        let sequence = ABSOLUTE_POS / (channels * rows * heads);
        let to = ((sequence * rows + row) * heads + head) * channels + channel;
        result[to] = N::cast_from(context[ABSOLUTE_POS] / sums[ABSOLUTE_POS / channels]);
    }
}
