//! Measures of a slice that leave NaN out: largest magnitude, smallest and largest value, sum.
//!
//! For use inside [`vectorize`](strait_sdk::simd::vectorize): everything is inlined, and
//! comparisons instead of `f32::min` and `max` give single vector instructions.

/// Values in one accumulator row; a multiple of every vector width.
pub const LANES: usize = 16;

/// The largest magnitude, at most `most`; 0 for nothing but NaN.
#[inline(always)]
pub fn largest_magnitude(values: &[f32], most: f32) -> f32 {
    let high = fold(values, 0.0, |high, value| larger(high, value.abs()));
    smaller(high.into_iter().fold(0.0, larger), most)
}

/// The smallest and the largest value, each within ±`most`; (0, 0) for nothing but NaN.
#[inline(always)]
pub fn extent(values: &[f32], most: f32) -> (f32, f32) {
    let low = fold(values, f32::INFINITY, smaller).into_iter().fold(f32::INFINITY, smaller);
    let high = fold(values, f32::NEG_INFINITY, larger).into_iter().fold(f32::NEG_INFINITY, larger);
    if low > high { (0.0, 0.0) } else { (bounded(low, most), bounded(high, most)) }
}

/// The sum in f64; NaN is not left out.
#[inline(always)]
pub fn sum(values: &[f32]) -> f64 {
    let (whole, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in whole {
        for lane in 0..LANES {
            sums[lane] += f64::from(chunk[lane]);
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum += f64::from(*value);
    }
    sums.iter().sum()
}

/// Copies values with what no quantizer can use replaced: NaN by 0, and what lies beyond ±`most`
/// (infinities) by ±`most`.
#[inline(always)]
pub fn copy_finite(values: &[f32], most: f32, finite: &mut [f32]) {
    for (finite, value) in finite.iter_mut().zip(values) {
        *finite = bounded(if value.is_nan() { 0.0 } else { *value }, most);
    }
}

/// The value within ±`most`; NaN stays NaN.
#[inline(always)]
pub fn bounded(value: f32, most: f32) -> f32 {
    let above = if value > most { most } else { value };
    if above < -most { -most } else { above }
}

/// The smaller of two numbers; `kept` when `other` is NaN.
#[inline(always)]
pub fn smaller(kept: f32, other: f32) -> f32 {
    if other < kept { other } else { kept }
}

/// The larger of two numbers; `kept` when `other` is NaN.
#[inline(always)]
pub fn larger(kept: f32, other: f32) -> f32 {
    if other > kept { other } else { kept }
}

#[inline(always)]
fn fold(values: &[f32], start: f32, f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let (whole, rest) = values.as_chunks::<LANES>();
    let mut lanes = [start; LANES];
    for chunk in whole {
        for lane in 0..LANES {
            lanes[lane] = f(lanes[lane], chunk[lane]);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane = f(*lane, *value);
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_left_out_and_infinity_bounded() {
        let mut values = vec![f32::NAN; 37];
        assert_eq!((largest_magnitude(&values, 9.0), extent(&values, 9.0)), (0.0, (0.0, 0.0)));
        values[3] = 2.0;
        values[36] = 5.0;
        assert_eq!((largest_magnitude(&values, 9.0), extent(&values, 9.0)), (5.0, (2.0, 5.0)));
        values[20] = f32::NEG_INFINITY;
        assert_eq!((largest_magnitude(&values, 9.0), extent(&values, 9.0)), (9.0, (-9.0, 5.0)));
        let mut finite = vec![1.0; 37];
        copy_finite(&values, 9.0, &mut finite);
        assert_eq!((finite[0], finite[3], finite[20], finite[36]), (0.0, 2.0, -9.0, 5.0));
        assert_eq!(sum(&finite), -2.0);
        assert!(bounded(f32::NAN, 1.0).is_nan());
    }
}
