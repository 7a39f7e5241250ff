//! Causal attention over blocks of queries, with scores and softmax in f32.
//!
//! Burn's own `attention` is not used: on CUDA its fused kernels round all factors to f16, its
//! fallback keeps the scores in the model's dtype, and autotuning decides between the two. The
//! guide docs/gpu.md has the details.

use burn_tensor::{FloatDType, Int, Tensor};

use crate::kernels::{Kernels, Keys, Softmax};

/// Number of queries at a time: with `n` keys, scores `[batch, heads, QUERIES, n]` are on the
/// device.
const QUERIES: usize = 512;

/// Attention of one block of the model.
pub(crate) struct Causal {
    /// Factor applied to products of queries and keys.
    pub(crate) scale: f64,
    /// Scaled products become `cap * tanh(score / cap)`.
    pub(crate) cap: Option<f64>,
    /// Number of keys that a query attends to, its own included; `None` for all before it.
    pub(crate) window: Option<usize>,
    /// The model's dtype, in which probabilities are multiplied by the values.
    pub(crate) native: FloatDType,
}

/// Keys `[1, kv_heads, entries, dim]`, values `[1, kv_heads, entries, value_dim]` and their positions `[1, kv_heads, 1, entries]`.
#[derive(Clone)]
pub(crate) struct Entries<B: Kernels> {
    pub(crate) keys: Tensor<B, 4>,
    pub(crate) values: Tensor<B, 4>,
    pub(crate) positions: Tensor<B, 4, Int>,
}

impl Causal {
    /// Context `[batch, heads, tokens, value_dim]` of `query` `[batch, heads, tokens, dim]`. Each of the
    /// `kv_heads` heads of `key` and `value`, `[batch, kv_heads, tokens, _]`, serves `heads /
    /// kv_heads` neighbouring heads. Positions before `wanted` may be zero.
    pub(crate) fn attend<B: Kernels>(
        &self,
        query: Tensor<B, 4>,
        key: Tensor<B, 4>,
        value: Tensor<B, 4>,
        wanted: usize,
    ) -> Tensor<B, 4> {
        let [batch, heads, tokens, _] = query.dims();
        let (kv_heads, dim) = (key.dims()[1], value.dims()[3]);
        let skipped = (wanted / QUERIES * QUERIES).min(tokens);
        let mut parts = Vec::new();
        if skipped > 0 {
            let device = query.device();
            parts.push(Tensor::zeros([batch, heads, skipped, dim], (&device, self.native.into())));
        }
        for start in (skipped..tokens).step_by(QUERIES) {
            let rows = QUERIES.min(tokens - start);
            let end = start + rows;
            // The block's first query attends to the first of these keys.
            let first = self.window.map_or(0, |window| (start + 1).saturating_sub(window));
            let seen = |x: &Tensor<B, 4>| x.clone().narrow(2, first, end - first);
            let keys = Keys {
                first_query: start,
                first_key: first,
                positions: None,
                window: self.window,
                kv_heads,
            };
            let block = query.clone().narrow(2, start, rows);
            parts.push(self.context(block, seen(&key), seen(&value), &keys));
        }
        one(parts)
    }

    /// Context `[1, heads, tokens, value_dim]` of `query` `[1, heads, tokens, dim]`, whose tokens begin at
    /// `first_position`, over `entries`.
    pub(crate) fn attend_entries<B: Kernels>(
        &self,
        query: Tensor<B, 4>,
        entries: &Entries<B>,
        first_position: usize,
    ) -> Tensor<B, 4> {
        let tokens = query.dims()[2];
        let mut parts = Vec::new();
        for start in (0..tokens).step_by(QUERIES) {
            let block = query.clone().narrow(2, start, QUERIES.min(tokens - start));
            let keys = self.keys(entries, first_position + start);
            parts.push(self.context(block, entries.keys.clone(), entries.values.clone(), &keys));
        }
        one(parts)
    }

    /// Passes on the probabilities `[1, heads, rows, entries]`, one block of queries after another.
    pub(crate) fn probabilities<B: Kernels>(
        &self,
        query: Tensor<B, 4>,
        entries: &Entries<B>,
        first_position: usize,
        mut take: impl FnMut(Tensor<B, 4>),
    ) {
        let tokens = query.dims()[2];
        for start in (0..tokens).step_by(QUERIES) {
            let block = query.clone().narrow(2, start, QUERIES.min(tokens - start));
            let keys = self.keys(entries, first_position + start);
            let wanted = self.softmax(FloatDType::F32, true);
            let scores = self.scores(block, entries.keys.clone());
            let [shares, _] = B::shares(scores, &keys, wanted);
            take(shares);
        }
    }

    /// Context `[batch, heads, rows, value_dim]` of one block of queries.
    fn context<B: Kernels>(
        &self,
        query: Tensor<B, 4>,
        key: Tensor<B, 4>,
        value: Tensor<B, 4>,
        keys: &Keys<'_, B>,
    ) -> Tensor<B, 4> {
        let [batch, heads, rows, _] = query.dims();
        let [_, kv_heads, count, dim] = value.dims();
        let wanted = self.softmax(self.native, false);
        let [shares, sums] = B::shares(self.scores(query, key), keys, wanted);
        let shares = shares.reshape([batch, kv_heads, heads / kv_heads * rows, count]);
        let context = B::product(shares, value, FloatDType::F32);
        B::divide(context.reshape([batch, heads, rows, dim]), sums, self.native)
    }

    fn softmax(&self, dtype: FloatDType, normalised: bool) -> Softmax {
        Softmax { scale: self.scale, cap: self.cap, dtype, normalised }
    }

    /// Products of queries and keys `[batch, heads, rows, keys]` in f32.
    fn scores<B: Kernels>(&self, query: Tensor<B, 4>, key: Tensor<B, 4>) -> Tensor<B, 4> {
        let [batch, heads, rows, dim] = query.dims();
        let [_, kv_heads, count, _] = key.dims();
        // Heads that share keys become additional rows of the same product.
        let query = query.reshape([batch, kv_heads, heads / kv_heads * rows, dim]);
        let scores = B::product(query, key.swap_dims(2, 3), FloatDType::F32);
        scores.reshape([batch, heads, rows, count])
    }

    fn keys<'a, B: Kernels>(&self, entries: &'a Entries<B>, first_query: usize) -> Keys<'a, B> {
        Keys {
            first_query,
            first_key: 0,
            positions: Some(&entries.positions),
            window: self.window,
            kv_heads: entries.keys.dims()[1],
        }
    }
}

/// Concatenates blocks of queries.
fn one<B: Kernels>(mut parts: Vec<Tensor<B, 4>>) -> Tensor<B, 4> {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => Tensor::cat(parts.into_iter().chain(last).collect(), 2),
    }
}

#[cfg(test)]
mod tests {
    use burn_flex::{Flex, FlexDevice};
    use burn_tensor::TensorData;

    use super::*;

    fn heads(shape: [usize; 4], seed: u32) -> Tensor<Flex, 4> {
        let count = shape.iter().product::<usize>() as u32;
        let values = (0..count).map(|i| ((i * 7919 + seed) as f32 * 0.37).sin()).collect();
        Tensor::from_data(TensorData::new::<f32, _>(values, shape), &FlexDevice)
    }

    fn vector(x: Tensor<Flex, 4>) -> Vec<f32> {
        x.into_data().to_vec().unwrap()
    }

    #[test]
    fn blocks_heads_and_masks_agree_with_the_definition() {
        let (batch, count, shared, tokens, dim) = (2, 4, 2, QUERIES + 3, 8);
        let query = heads([batch, count, tokens, dim], 1);
        let key = heads([batch, shared, tokens, dim], 2);
        let value = heads([batch, shared, tokens, dim], 3);
        let (q, k, v) = (vector(query.clone()), vector(key.clone()), vector(value.clone()));
        let native = FloatDType::F32;
        for (window, cap) in [(None, None), (Some(5), None), (None, Some(0.4))] {
            let causal = Causal { scale: 0.3, cap, window, native };
            let found = vector(causal.attend(query.clone(), key.clone(), value.clone(), 0));
            for (sequence, head, row) in [(0, 0, 0), (0, 3, 5), (1, 1, QUERIES), (1, 2, tokens - 1)]
            {
                let own = ((sequence * count + head) * tokens + row) * dim;
                let other = (sequence * shared + head / 2) * tokens * dim;
                let score = |at: usize| -> f64 {
                    let key = &k[other + at * dim..][..dim];
                    let terms = q[own..own + dim].iter().zip(key);
                    let score =
                        terms.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() * 0.3;
                    cap.map_or(score, |cap| cap * (score / cap).tanh())
                };
                let oldest = window.map_or(0, |window| (row + 1).saturating_sub(window));
                let shares: Vec<f64> = (oldest..=row).map(|at| score(at).exp()).collect();
                let total: f64 = shares.iter().sum();
                for channel in 0..dim {
                    let value = |at: usize| f64::from(v[other + at * dim + channel]);
                    let terms = (oldest..).zip(&shares).map(|(at, share)| share * value(at));
                    let expected = terms.sum::<f64>() / total;
                    let error = (f64::from(found[own + channel]) - expected).abs();
                    assert!(error < 1e-5, "{sequence} {head} {row} {channel}: {error}");
                }
            }
        }
    }

    #[test]
    fn blocks_that_nobody_wants_are_left_out() {
        let tokens = 2 * QUERIES;
        let part = |seed| heads([1, 1, tokens, 4], seed);
        let causal = Causal { scale: 1.0, cap: None, window: None, native: FloatDType::F32 };
        let all = vector(causal.attend(part(1), part(2), part(3), 0));
        let late = vector(causal.attend(part(1), part(2), part(3), QUERIES + 7));
        assert_eq!(all[QUERIES * 4..], late[QUERIES * 4..]);
        assert!(late[..QUERIES * 4].iter().all(|&value| value == 0.0));
    }
}
