//! Causal attention over blocks of queries, with scores and softmax in f32.
//!
//! Burn's own `attention` is not used: on CUDA its fused kernels round all factors to f16, its
//! fallback keeps the scores in the model's dtype, and a stopwatch decides between the two. The
//! guide docs/gpu.md has the details.

use burn_tensor::backend::Backend;
use burn_tensor::{Bool, FloatDType, Int, Tensor};

use crate::product::{Factors, product};

/// Queries at a time: with `n` keys, `[batch, heads, QUERIES, n]` scores are on the device.
const QUERIES: usize = 512;

/// Attention of one block of the model.
pub(crate) struct Causal {
    /// What products of queries and keys are multiplied by.
    pub(crate) scale: f64,
    /// Keys that a query sees, its own included; all before it where there is none.
    pub(crate) window: Option<usize>,
    /// The model's dtype, in which probabilities meet the values.
    pub(crate) native: FloatDType,
    /// What the device does to f32 factors.
    pub(crate) factors: Factors,
}

/// Keys and values `[1, kv_heads, entries, dim]` and their positions `[1, kv_heads, 1, entries]`.
#[derive(Clone)]
pub(crate) struct Entries<B: Backend> {
    pub(crate) keys: Tensor<B, 4>,
    pub(crate) values: Tensor<B, 4>,
    pub(crate) positions: Tensor<B, 4, Int>,
}

impl Causal {
    /// Context `[batch, heads, tokens, dim]` of `query` (of the same shape), where every one of
    /// `kv_heads` heads of `key` and `value` `[batch, kv_heads, tokens, dim]` serves
    /// `heads / kv_heads` neighbouring heads. Positions before `wanted` may be zero.
    pub(crate) fn attend<B: Backend>(
        &self,
        query: Tensor<B, 4>,
        key: Tensor<B, 4>,
        value: Tensor<B, 4>,
        wanted: usize,
    ) -> Tensor<B, 4> {
        let [batch, heads, tokens, dim] = query.dims();
        let kv_heads = key.dims()[1];
        let device = query.device();
        let (key, value) = (key.cast(FloatDType::F32), value.cast(FloatDType::F32));
        let key = key.swap_dims(2, 3);
        let skipped = (wanted / QUERIES * QUERIES).min(tokens);
        let mut parts = Vec::new();
        if skipped > 0 {
            parts.push(Tensor::zeros([batch, heads, skipped, dim], (&device, self.native.into())));
        }
        for start in (skipped..tokens).step_by(QUERIES) {
            let rows = QUERIES.min(tokens - start);
            let end = start + rows;
            // The block's first query sees the first of these keys.
            let first = self.window.map_or(0, |window| (start + 1).saturating_sub(window));
            let (keys, own) = (end - first, (start - first) as i64);
            let block = query.clone().narrow(2, start, rows).cast(FloatDType::F32);
            let block = block.reshape([batch, kv_heads, heads / kv_heads * rows, dim]);
            let scores = product(block, key.clone().narrow(3, first, keys), self.factors);
            let mut hidden = Tensor::<B, 2, Bool>::tril_mask([rows, keys], own, &device);
            if let Some(window) = self.window {
                let oldest = own + 1 - window as i64;
                hidden = hidden.bool_or(Tensor::triu_mask([rows, keys], oldest, &device));
            }
            // Scaled after the product, so that a half type's factors keep their few bits.
            let scores = scores.reshape([batch, heads, rows, keys]) * self.scale;
            let scores = scores.mask_fill(hidden.unsqueeze(), f32::NEG_INFINITY);
            let highest = scores.clone().max_dim(3);
            let shares = (scores - highest).exp();
            let total = shares.clone().sum_dim(3);
            let shares = shares.cast(self.native).cast(FloatDType::F32);
            let shares = shares.reshape([batch, kv_heads, heads / kv_heads * rows, keys]);
            let context = product(shares, value.clone().narrow(2, first, keys), self.factors);
            let context = context.reshape([batch, heads, rows, dim]) / total;
            parts.push(context.cast(self.native));
        }
        Tensor::cat(parts, 2)
    }

    /// Context `[1, heads, tokens, dim]` of `query` (of the same shape), whose tokens begin at
    /// `first_position`, in `entries`.
    pub(crate) fn attend_entries<B: Backend>(
        &self,
        query: Tensor<B, 4>,
        entries: &Entries<B>,
        first_position: usize,
    ) -> Tensor<B, 4> {
        let [_, heads, _, dim] = query.dims();
        let [_, kv_heads, count, _] = entries.keys.dims();
        let values = entries.values.clone().cast(FloatDType::F32);
        let mut parts = Vec::new();
        self.blocks(query, entries, first_position, |shares| {
            let rows = shares.dims()[2];
            let total = shares.clone().sum_dim(3);
            let shares = shares.cast(self.native).cast(FloatDType::F32);
            let shares = shares.reshape([1, kv_heads, heads / kv_heads * rows, count]);
            let context = product(shares, values.clone(), self.factors);
            let context = context.reshape([1, heads, rows, dim]) / total;
            parts.push(context.cast(self.native));
        });
        Tensor::cat(parts, 2)
    }

    /// Gives the probabilities `[1, heads, rows, entries]` of one block of queries after the other.
    pub(crate) fn probabilities<B: Backend>(
        &self,
        query: Tensor<B, 4>,
        entries: &Entries<B>,
        first_position: usize,
        mut take: impl FnMut(Tensor<B, 4>),
    ) {
        self.blocks(query, entries, first_position, |shares| {
            let total = shares.clone().sum_dim(3);
            take(shares / total);
        });
    }

    /// Probabilities before they are divided by their sums.
    fn blocks<B: Backend>(
        &self,
        query: Tensor<B, 4>,
        entries: &Entries<B>,
        first_position: usize,
        mut take: impl FnMut(Tensor<B, 4>),
    ) {
        let [_, heads, tokens, dim] = query.dims();
        let [_, kv_heads, count, _] = entries.keys.dims();
        let device = query.device();
        let group = heads / kv_heads;
        let keys = entries.keys.clone().cast(FloatDType::F32).swap_dims(2, 3);
        for start in (0..tokens).step_by(QUERIES) {
            let rows = QUERIES.min(tokens - start);
            let block = query.clone().narrow(2, start, rows).cast(FloatDType::F32);
            let block = block.reshape([1, kv_heads, group * rows, dim]);
            let scores = product(block, keys.clone(), self.factors);
            let first = (first_position + start) as i64;
            let asked = Tensor::<B, 1, Int>::arange(first..first + rows as i64, &device);
            let asked = asked.reshape([1, 1, rows, 1]).expand([1, kv_heads, rows, count]);
            let known = entries.positions.clone().expand([1, kv_heads, rows, count]);
            let mut hidden = known.clone().greater(asked.clone());
            if let Some(window) = self.window {
                let oldest = asked.sub_scalar(window as i64);
                hidden = hidden.bool_or(known.lower_equal(oldest));
            }
            let hidden = hidden.reshape([1, kv_heads, 1, rows, count]);
            let hidden = hidden.expand([1, kv_heads, group, rows, count]);
            let hidden: Tensor<B, 4, Bool> = hidden.reshape([1, heads, rows, count]);
            let scores = scores.reshape([1, heads, rows, count]) * self.scale;
            let scores = scores.mask_fill(hidden, f32::NEG_INFINITY);
            let highest = scores.clone().max_dim(3);
            take((scores - highest).exp());
        }
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
        for (factors, window) in
            [(Factors::Kept, None), (Factors::Rounded, None), (Factors::Kept, Some(5))]
        {
            let causal = Causal { scale: 0.3, window, native, factors };
            let found = vector(causal.attend(query.clone(), key.clone(), value.clone(), 0));
            for (sequence, head, row) in [(0, 0, 0), (0, 3, 5), (1, 1, QUERIES), (1, 2, tokens - 1)]
            {
                let own = ((sequence * count + head) * tokens + row) * dim;
                let other = (sequence * shared + head / 2) * tokens * dim;
                let score = |at: usize| -> f64 {
                    let key = &k[other + at * dim..][..dim];
                    let terms = q[own..own + dim].iter().zip(key);
                    terms.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() * 0.3
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
        let (native, factors) = (FloatDType::F32, Factors::Kept);
        let causal = Causal { scale: 1.0, window: None, native, factors };
        let all = vector(causal.attend(part(1), part(2), part(3), 0));
        let late = vector(causal.attend(part(1), part(2), part(3), QUERIES + 7));
        assert_eq!(all[QUERIES * 4..], late[QUERIES * 4..]);
        assert!(late[..QUERIES * 4].iter().all(|&value| value == 0.0));
    }
}
