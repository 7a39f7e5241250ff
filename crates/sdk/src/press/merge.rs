//! Merging: what goes is folded into the value of the kept entry that is most like it.

use super::Head;
use super::attention::dot;
use crate::simd::vectorize;

/// Values of the kept entries, `[kept, value_dim]`, with those that go merged in; `None` when
/// nothing goes or nothing stays.
///
/// Each evicted entry goes to the kept entry with the most similar key (cosine `s`), with the weight
/// `w = max(s, 0) |v_evicted| / (|v_evicted| + |v_kept|)`; the value becomes
/// `(v_kept + sum w v_evicted) / (1 + sum w)`, as in [D2O](https://arxiv.org/abs/2406.13035) but for
/// its threshold. Keys stay as they are.
pub(super) fn merged_values(head: &Head<'_>, kept: &[usize]) -> Option<Vec<f32>> {
    if kept.is_empty() || kept.len() == head.len() {
        return None;
    }
    let unit = |key: &[f32]| {
        let length = dot(key, key).sqrt().max(1e-6);
        key.iter().map(|x| x / length).collect::<Vec<f32>>()
    };
    let norm = |value: &[f32]| dot(value, value).sqrt();
    let kept_keys: Vec<Vec<f32>> = kept.iter().map(|e| unit(head.key(*e))).collect();
    let dim = head.value_dim();
    let mut values: Vec<f32> = kept.iter().flat_map(|e| head.value(*e)).copied().collect();
    let mut weights = vec![0.0_f32; kept.len()];
    let mut is_kept = vec![false; head.len()];
    kept.iter().for_each(|e| is_kept[*e] = true);
    for entry in (0..head.len()).filter(|e| !is_kept[*e]) {
        let key = unit(head.key(entry));
        let (place, similarity) = vectorize(
            #[inline(always)]
            || {
                let mut best = (0, f32::NEG_INFINITY);
                for (place, kept_key) in kept_keys.iter().enumerate() {
                    let similarity = dot(&key, kept_key);
                    if similarity > best.1 {
                        best = (place, similarity);
                    }
                }
                best
            },
        );
        let value = head.value(entry);
        let (evicted, stays) = (norm(value), norm(head.value(kept[place])));
        let weight = similarity.max(0.0) * evicted / (evicted + stays + 1e-6);
        if weight.is_finite() {
            weights[place] += weight;
            let merged = &mut values[place * dim..][..dim];
            merged.iter_mut().zip(value).for_each(|(m, v)| *m += weight * v);
        }
    }
    for (value, weight) in values.chunks_exact_mut(dim).zip(&weights) {
        value.iter_mut().for_each(|v| *v /= 1.0 + weight);
    }
    Some(values)
}
