//! One tile: rotation of a lone outlier, and the asymmetric grid.

use strait_sdk::{Dtype, narrow, widen};

/// Adding this to a number of magnitude below 2^22 rounds it to an integer, ties to even, and
/// leaves that integer in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Values in one accumulator row; a multiple of every vector width.
const LANES: usize = 16;

/// Where the value that stands out is: the first of the largest magnitude, when it is at least twice
/// the second largest.
#[inline(always)]
pub(crate) fn pivot(values: &[f32]) -> Option<usize> {
    let mut firsts = [0.0; LANES];
    let mut seconds = [0.0; LANES];
    for chunk in values.chunks(LANES) {
        for ((first, second), value) in firsts.iter_mut().zip(&mut seconds).zip(chunk) {
            let x = value.abs();
            *second = larger(*second, smaller(*first, x));
            *first = larger(*first, x);
        }
    }
    let (mut first, mut second) = (0.0, 0.0);
    for (a, b) in firsts.into_iter().zip(seconds) {
        second = larger(larger(second, b), smaller(first, a));
        first = larger(first, a);
    }
    if first < 2.0 * second {
        return None;
    }
    values.iter().position(|value| value.abs() == first)
}

/// Swaps the pivot to the front and applies the Walsh-Hadamard transform over √T.
#[inline(always)]
pub(crate) fn rotate(values: &mut [f32], pivot: usize) {
    values.swap(0, pivot);
    hadamard(values);
}

/// Undoes [`rotate`].
#[inline(always)]
pub(crate) fn rotate_back(values: &mut [f32], pivot: usize) {
    hadamard(values);
    values.swap(0, pivot);
}

/// The order of Sylvester, its own inverse; the length is a power of two.
#[inline(always)]
fn hadamard(values: &mut [f32]) {
    let mut half = 1;
    while half < values.len() {
        for block in values.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    #[allow(clippy::cast_precision_loss)]
    let root = (values.len() as f32).sqrt();
    values.iter_mut().for_each(|value| *value /= root);
}

/// Minimum and step of a tile as the decoder will read them: f16.
#[inline(always)]
pub(crate) fn grid(values: &[f32], levels: f32) -> [f32; 2] {
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    for value in values {
        low = if *value < low { *value } else { low };
        high = if *value > high { *value } else { high };
    }
    // Two halves, because the difference of two finite numbers may be infinite.
    let scale = (high / levels - low / levels).max(1e-30);
    let scale = if high - low < f32::MAX { ((high - low) / levels).max(1e-30) } else { scale };
    [low, scale].map(|value| value.clamp(-65504.0, 65504.0))
}

/// Rounds to f16 as it is stored, appends it, and returns what the decoder reads.
pub(crate) fn stored(values: &mut [f32], bytes: &mut [u8]) {
    narrow(Dtype::F16, values, bytes);
    widen(Dtype::F16, bytes, values);
}

/// Codes of a tile: round((y - zero) / scale), ties to even, 0 to `levels`.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn encode(zero: f32, scale: f32, levels: f32, values: &[f32], codes: &mut [u8]) {
    // A step that f16 cannot hold is 0: every code is 0.
    let divisor = if scale > 0.0 { scale } else { f32::INFINITY };
    for (code, value) in codes.iter_mut().zip(values) {
        let steps = (value - zero) / divisor;
        let steps = if steps > 0.0 { steps } else { 0.0 };
        let steps = if steps < levels { steps } else { levels };
        *code = (steps + ROUND).to_bits() as u8;
    }
}

/// Values of a tile: q scale + zero.
#[inline(always)]
pub(crate) fn decode(zero: f32, scale: f32, codes: &[u8], values: &mut [f32]) {
    for (value, code) in values.iter_mut().zip(codes) {
        *value = f32::from(*code) * scale + zero;
    }
}

#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if b < a { b } else { a }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Within ±`largest`; NaN counts as 0.
#[inline(always)]
pub(crate) fn bounded(value: f32, largest: f32) -> f32 {
    let value = if value.is_nan() { 0.0 } else { value };
    let value = if value < largest { value } else { largest };
    if value > -largest { value } else { -largest }
}

/// Magnitude, at most `largest`; NaN counts as 0.
#[inline(always)]
pub(crate) fn magnitude(value: f32, largest: f32) -> f32 {
    bounded(value, largest).abs()
}

/// The largest finite value of a dtype.
pub(crate) fn largest(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F32 => f32::MAX,
        Dtype::F16 => 65504.0,
        Dtype::BF16 => f32::from_bits(0x7f7f_0000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lone_outlier_is_a_pivot() {
        assert_eq!(pivot(&[1.0, -4.0, 2.0]), Some(1));
        assert_eq!(pivot(&[1.0, -4.0, 2.1]), None);
        assert_eq!(pivot(&[3.0, 3.0]), None);
        assert_eq!(pivot(&[0.0, 0.0]), Some(0));
    }

    #[test]
    fn rotation_spreads_one_value_and_comes_back() {
        let mut values = [0.0, 0.0, 8.0, 0.0];
        rotate(&mut values, 2);
        assert_eq!(values, [4.0; 4]);
        rotate_back(&mut values, 2);
        assert_eq!(values, [0.0, 0.0, 8.0, 0.0]);
    }

    #[test]
    fn codes_stay_in_range() {
        let mut codes = [9; 5];
        encode(-1.0, 0.5, 7.0, &[-9.0, -1.0, -0.25, 0.25, 9.0], &mut codes);
        assert_eq!(codes, [0, 0, 2, 2, 7]);
        encode(1.0, 0.0, 7.0, &[1.0, 2.0, f32::NAN, 0.0, 3.0], &mut codes);
        assert_eq!(codes, [0; 5]);
    }
}
