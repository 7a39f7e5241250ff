//! Attention of given queries over the entries of a layer, as the model computes it.

use std::borrow::Cow;

use super::Layer;
use crate::Result;
use crate::simd::vectorize;

/// Partial sums of a scalar product; a multiple of every vector width.
const LANES: usize = 16;

impl Layer<'_> {
    /// Calls `f(head, token, attention)` with the attention of each of the last `tokens` queries (or
    /// of all, if they are fewer) over the entries of its kv head: softmax in f32 over the entries
    /// that the query's position can see; the others have 0. `token` counts from 0.
    ///
    /// Returns the number of queries.
    ///
    /// # Errors
    /// When the queries were not asked for with [`Need::Queries`](super::Need::Queries), or those of
    /// `f`.
    pub fn attend(
        &self,
        tokens: usize,
        mut f: impl FnMut(usize, usize, &[f32]) -> Result<()>,
    ) -> Result<usize> {
        let queries = self.queries()?;
        let tokens = tokens.min(queries.tokens());
        let first = queries.tokens() - tokens;
        let group = self.group();
        let mut attention = Vec::new();
        for kv_head in 0..self.heads.len() {
            let keys = self.rotated_keys(kv_head);
            let positions = self.heads[kv_head].positions();
            for head in kv_head * group..(kv_head + 1) * group {
                for (token, query) in queries.head(head).skip(first).enumerate() {
                    let position = queries.first_position() + first + token;
                    let mut query = query.to_vec();
                    self.rope.rotate(&mut query, position);
                    scores(&query, &keys, &mut attention);
                    self.finish(&mut attention, positions, position);
                    f(head, token, &attention)?;
                }
            }
        }
        Ok(tokens)
    }

    /// The keys of a kv head with their positions in, `[entries, head_dim]`.
    pub fn rotated_keys(&self, kv_head: usize) -> Cow<'_, [f32]> {
        let head = &self.heads[kv_head];
        if self.rope.keys_are_rotated() {
            return Cow::Borrowed(head.all_keys());
        }
        let mut keys = head.all_keys().to_vec();
        for (key, position) in keys.chunks_exact_mut(self.head_dim()).zip(head.positions()) {
            self.rope.rotate(key, *position as usize);
        }
        Cow::Owned(keys)
    }

    /// The keys of a kv head without their positions, `[entries, head_dim]`: what the key projection
    /// (and its norm) gave, but for rounding.
    pub fn plain_keys(&self, kv_head: usize) -> Cow<'_, [f32]> {
        let head = &self.heads[kv_head];
        if !self.rope.keys_are_rotated() {
            return Cow::Borrowed(head.all_keys());
        }
        let mut keys = head.all_keys().to_vec();
        for (key, position) in keys.chunks_exact_mut(self.head_dim()).zip(head.positions()) {
            self.rope.unrotate(key, *position as usize);
        }
        Cow::Owned(keys)
    }

    /// Scale, cap, mask and softmax.
    fn finish(&self, scores: &mut [f32], positions: &[u32], position: usize) {
        let window = if self.sliding_window == 0 { usize::MAX } else { self.sliding_window };
        for (score, entry) in scores.iter_mut().zip(positions) {
            let entry = *entry as usize;
            let visible = entry <= position && position - entry < window;
            let scaled = *score * self.attention_scale;
            let capped = if self.softcap > 0.0 {
                self.softcap * (scaled / self.softcap).tanh()
            } else {
                scaled
            };
            *score = if visible { capped } else { f32::NEG_INFINITY };
        }
        softmax(scores);
    }
}

/// Softmax in place; all 0 when no score is above negative infinity.
pub fn softmax(scores: &mut [f32]) {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, larger);
    if most == f32::NEG_INFINITY {
        scores.fill(0.0);
        return;
    }
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - most).exp();
        sum += f64::from(*score);
    }
    let inverse = 1.0 / sum;
    for score in scores.iter_mut() {
        *score = (f64::from(*score) * inverse) as f32;
    }
}

/// The larger of two scores; NaN is passed over.
fn larger(most: f32, score: f32) -> f32 {
    if score > most { score } else { most }
}

/// `q k` for every row of `keys`, `[entries, head_dim]`.
pub fn scores(query: &[f32], keys: &[f32], scores: &mut Vec<f32>) {
    scores.clear();
    scores.reserve(keys.len().checked_div(query.len()).unwrap_or(0));
    vectorize(
        #[inline(always)]
        || scores.extend(keys.chunks_exact(query.len().max(1)).map(|key| dot(query, key))),
    );
}

/// The scalar product of two slices.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}
