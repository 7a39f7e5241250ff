//! Borders between 256 buckets with about equally many values: quantiles of chunks' quantiles.

use crate::search::Borders;

/// Quantiles at 0, 1/256, … 1.
const QUANTILES: usize = 257;
/// Chunks have at least this many values.
const CHUNK: usize = 100_000;
/// Bits of a digit of the radix sort; three digits make a key.
const DIGIT: u32 = 11;

/// The 255 inner quantiles of the values, ascending, and infinity. `keys` is scratch.
pub(crate) fn borders(values: &[f32], keys: &mut [Vec<u32>; 2]) -> Borders {
    let mut parts = Vec::with_capacity(QUANTILES * (values.len() / CHUNK + 1));
    for chunk in values.chunks(chunk_size(values.len())) {
        parts.extend(quantiles(chunk, keys));
    }
    let all = quantiles(&parts, keys);
    let mut borders = [f32::INFINITY; 256];
    borders[..255].copy_from_slice(&all[1..256]);
    borders
}

/// A size that makes all chunks about equal.
fn chunk_size(count: usize) -> usize {
    let chunks = count / CHUNK;
    if chunks == 0 { CHUNK } else { CHUNK + (count % CHUNK).div_ceil(chunks) }
}

/// Quantiles with linear interpolation in f32, in the order of numpy's operations.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
fn quantiles(values: &[f32], keys: &mut [Vec<u32>; 2]) -> [f32; QUANTILES] {
    let sorted = sort(values, keys);
    let last = sorted.len().saturating_sub(1);
    std::array::from_fn(|i| {
        let position = last as f32 * (i as f32 / 256.0);
        let below = position.floor();
        let share = position - below;
        let low = value(sorted[(below as usize).min(last)]);
        let high = value(sorted[(below as usize + 1).min(last)]);
        let gap = (high - low).min(f32::MAX);
        if share >= 0.5 { high - gap * (1.0 - share) } else { low + gap * share }
    })
}

/// The keys of the values in ascending order: a radix sort of three digits.
fn sort<'a>(values: &[f32], keys: &'a mut [Vec<u32>; 2]) -> &'a [u32] {
    let [from, to] = keys;
    from.clear();
    from.extend(values.iter().map(|value| key(*value)));
    to.resize(from.len(), 0);
    let mut starts = [[0_u32; 1 << DIGIT]; 3];
    for key in from.iter() {
        for (digit, starts) in starts.iter_mut().enumerate() {
            starts[place(*key, digit)] += 1;
        }
    }
    for (digit, starts) in starts.iter_mut().enumerate() {
        let mut next = 0;
        for start in starts.iter_mut() {
            (*start, next) = (next, next + *start);
        }
        for key in from.iter() {
            let start = &mut starts[place(*key, digit)];
            to[*start as usize] = *key;
            *start += 1;
        }
        std::mem::swap(from, to);
    }
    from
}

#[inline(always)]
fn place(key: u32, digit: usize) -> usize {
    (key >> (DIGIT * digit as u32)) as usize & ((1 << DIGIT) - 1)
}

/// Bits whose order as an integer is that of the values.
#[inline(always)]
fn key(value: f32) -> u32 {
    let bits = value.to_bits();
    bits ^ (((bits.cast_signed() >> 31).cast_unsigned()) | 1 << 31)
}

#[inline(always)]
fn value(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key ^ 1 << 31 } else { !key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_as_the_total_order() {
        let mut state = 1_u32;
        let mut values: Vec<f32> = (0..5000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from_bits(state & 0xfeff_ffff)
            })
            .collect();
        let mut keys = Default::default();
        let sorted: Vec<f32> = sort(&values, &mut keys).iter().map(|key| value(*key)).collect();
        values.sort_unstable_by(f32::total_cmp);
        assert!(sorted.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    #[test]
    fn chunks_are_as_even_as_the_library_makes_them() {
        assert_eq!(
            [1, 100_000, 199_999, 250_000].map(chunk_size),
            [100_000, 100_000, 199_999, 125_000]
        );
        assert_eq!(quantiles(&[5.0], &mut Default::default()), [5.0; QUANTILES]);
    }
}
