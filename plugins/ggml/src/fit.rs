//! Scales by search: the least plain sum of squared errors over candidates of the step width.

use strait_codec_kit::slices::extent;

use crate::format::inverse;
use crate::symmetric::signed_largest;

/// Adding this to a number of magnitude below 2^22 rounds it to an integer, ties to even.
const ROUND: f32 = 12_582_912.0;

/// Candidates: the extent is cut into this many more or fewer steps.
const OFFSETS: [f32; 9] = [-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0];

/// The nearest integer, ties to even, of a number of magnitude below 2^22, in the lowest bits.
#[inline(always)]
pub(crate) fn round(value: f32) -> u32 {
    (value + ROUND).to_bits()
}

/// The nearest integer from `low` to `high`, ties to even.
#[inline(always)]
pub(crate) fn round_within(value: f32, low: f32, high: f32) -> f32 {
    let value = if value > low { value } else { low };
    let value = if value < high { value } else { high };
    (value + ROUND) - ROUND
}

/// Scale and minimum, at most 0, of codes 0 to `levels`: x' = scale × code + minimum.
#[inline(always)]
#[allow(clippy::cast_precision_loss)]
pub(crate) fn scale_and_minimum<const N: usize>(values: &[f32; N], levels: f32) -> (f32, f32) {
    let (low, high) = extent(values, f32::MAX);
    let low = low.min(0.0);
    let range = (high - low).min(f32::MAX);
    if range < f32::MIN_POSITIVE {
        return (0.0, low);
    }
    let count = N as f32;
    let total = dot(values, &[1.0; N]);
    let mut best = (f32::INFINITY, range / levels, low);
    for offset in OFFSETS {
        let factor = (levels + offset) / range;
        let mut codes = [0.0; N];
        for (code, value) in codes.iter_mut().zip(values) {
            *code = round_within((value - low) * factor, 0.0, levels);
        }
        let (sum, squares) = (dot(&codes, &[1.0; N]), dot(&codes, &codes));
        let product = dot(&codes, values);
        let determinant = count * squares - sum * sum;
        let mut scale = (count * product - total * sum) / determinant;
        let mut minimum = (squares * total - sum * product) / determinant;
        if minimum > 0.0 || determinant <= 0.0 {
            (scale, minimum) = (product / squares, 0.0);
        }
        // The squared error without the sum of x², which is the same for all.
        let error = scale * (scale * squares + 2.0 * (minimum * sum - product))
            + minimum * (count * minimum - 2.0 * total);
        if error < best.0 && scale.is_finite() && minimum.is_finite() {
            best = (error, scale, minimum);
        }
    }
    (best.1, best.2)
}

/// The scale of steps whose value `step` gives for x / scale: x' = scale × step. The largest
/// magnitude lies near the step `end`.
#[inline(always)]
pub(crate) fn scale_of_steps<const N: usize>(
    values: &[f32; N],
    end: f32,
    spread: f32,
    step: impl Fn(f32) -> f32,
) -> f32 {
    let most = signed_largest(values);
    let start = inverse(most);
    if start == 0.0 {
        return 0.0;
    }
    let mut best = (0.0, most / end);
    for offset in OFFSETS {
        let factor = (end + offset * spread) * start;
        let mut steps = [0.0; N];
        let mut scaled = [0.0; N];
        for lane in 0..N {
            // Relative to the largest, so that no square overflows.
            scaled[lane] = values[lane] * start;
            steps[lane] = step(values[lane] * factor);
        }
        let (product, squares) = (dot(&steps, &scaled), dot(&steps, &steps));
        // The squared error is the sum of x² less this.
        let gain = product * product / squares;
        if gain > best.0 {
            best = (gain, product / squares * most);
        }
    }
    best.1
}

/// The sum of products.
#[inline(always)]
pub(crate) fn dot<const N: usize>(a: &[f32; N], b: &[f32; N]) -> f32 {
    let mut sums = [0.0; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let mut width = 8;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_on_a_grid_find_it() {
        let values: [f32; 32] = std::array::from_fn(|i| (i % 16) as f32 * 0.5 - 3.0);
        let (scale, minimum) = scale_and_minimum(&values, 15.0);
        assert!((scale - 0.5).abs() < 1e-6 && (minimum + 3.0).abs() < 1e-5, "{scale} {minimum}");
        let values: [f32; 16] = std::array::from_fn(|i| (i as f32 - 8.0) * 0.25);
        let scale = scale_of_steps(&values, -8.0, 1.0, |x| round_within(x, -8.0, 7.0));
        assert!((scale - 0.25).abs() < 1e-6, "{scale}");
    }

    #[test]
    fn equal_and_extreme_values_have_finite_fits() {
        for value in [0.0, 1e-45, -2.0, f32::MAX, f32::MIN] {
            let mut values = [value; 32];
            values[3] = -value;
            let (scale, minimum) = scale_and_minimum(&values, 15.0);
            assert!(scale.is_finite() && minimum.is_finite() && minimum <= 0.0, "{value}");
            let scale = scale_of_steps(&values, -32.0, 1.0, |x| round_within(x, -32.0, 31.0));
            assert!(scale.is_finite(), "{value}");
        }
    }
}
