//! The search for zero points that lessens the p-norm of the errors.

use strait_codec_kit::slices::{LANES, extent, larger, largest_magnitude};
use strait_sdk::simd::vectorize;

use crate::groups::Groups;

/// The package's penalty, a constant there.
const BETA: f32 = 10.0;
/// The smallest range that a scale follows.
const SMALLEST_RANGE: f32 = 1e-4;
/// The largest scale, which keeps its inverse within f16.
const LARGEST_SCALE: f32 = 2e4;

/// Values that are worked on at a time.
const CHUNK: usize = 64;

/// Adding this to a number of magnitude below 2^22 rounds it to an integer, ties to even, and
/// leaves that integer in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// 1 / s and z of every group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cells {
    pub(crate) inverses: Vec<f32>,
    pub(crate) zeros: Vec<f32>,
}

/// The parameters of the search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Solver {
    levels: f32,
    iterations: u32,
    /// Whether the zero points are integers when the search begins.
    round_zero: bool,
    /// p - 1.
    power: f32,
    /// Errors up to this one shrink to 0.
    threshold: f32,
}

impl Solver {
    /// A search for codes of `bits` bits.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn new(bits: u32, iterations: u32, lp_norm: f64, round_zero: bool) -> Solver {
        // |e| = |e|^(p-1) / beta.
        let threshold = f64::from(BETA).powf(-1.0 / (2.0 - lp_norm)) * 0.9999;
        let power = lp_norm as f32 - 1.0;
        Solver {
            levels: f32::from(u8::MAX >> (8 - bits)),
            iterations,
            round_zero,
            power,
            threshold: threshold as f32,
        }
    }

    /// Finds the cells and the codes of all gathered values.
    pub(crate) fn solve(
        &self,
        groups: &Groups,
        values: &[f32],
        cells: &mut Cells,
        codes: &mut [u8],
    ) {
        // While they are sought, the inverses are the scales.
        let Cells { inverses: scales, zeros } = cells;
        scales.resize(groups.count, 0.0);
        zeros.resize(groups.count, 0.0);
        vectorize(
            #[inline(always)]
            || {
                groups.for_each(|group, run| {
                    let (scale, zero) = start(self.levels, &values[run]);
                    let zero = if self.round_zero { zero.round_ties_even() } else { zero };
                    (scales[group], zeros[group]) = (scale, zero);
                })
            },
        );
        let mut best = f64::INFINITY;
        for _ in 0..self.iterations {
            let mut total = 0.0;
            vectorize(
                #[inline(always)]
                || {
                    groups.for_each(|group, run| {
                        let (error, zero) = self.step(scales[group], zeros[group], &values[run]);
                        zeros[group] = zero;
                        total += f64::from(error);
                    })
                },
            );
            if total >= best {
                break;
            }
            best = total;
        }
        vectorize(
            #[inline(always)]
            || {
                groups.for_each(|group, run| {
                    let (scale, zero) = (scales[group], zeros[group]);
                    for (code, value) in codes[run.clone()].iter_mut().zip(&values[run]) {
                        *code = self.code(value * scale + zero);
                    }
                    scales[group] = 1.0 / scale;
                })
            },
        );
    }

    /// One iteration: the sum of |e| of a group, and its next zero point.
    #[inline(always)]
    #[allow(clippy::cast_precision_loss)]
    fn step(&self, scale: f32, zero: f32, values: &[f32]) -> (f32, f32) {
        let (mut total, mut sum) = (0.0, 0.0);
        for values in values.chunks(CHUNK) {
            // What lies behind a short chunk stays 0.
            let mut errors = [0.0; CHUNK];
            let mut terms = [0.0; CHUNK];
            for ((error, term), value) in errors.iter_mut().zip(&mut terms).zip(values) {
                let code = (self.clamped(value * scale + zero) + ROUND) - ROUND;
                *error = value - (code - zero) / scale;
                *term = code - value * scale;
            }
            let magnitudes = errors.map(f32::abs);
            total += lane_sum(&magnitudes);
            // Few groups have an error that does not shrink to 0.
            if largest_magnitude(&magnitudes, f32::MAX) > self.threshold {
                for (term, error) in terms.iter_mut().zip(&errors) {
                    *term += self.shrunk(*error) * scale;
                }
            }
            sum += lane_sum(&terms);
        }
        (total, sum / values.len() as f32)
    }

    /// e'.
    #[inline(always)]
    fn shrunk(&self, error: f32) -> f32 {
        let magnitude = error.abs() - (1.0 / BETA) * power(error.abs(), self.power);
        larger(0.0, magnitude).copysign(error)
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    fn code(&self, steps: f32) -> u8 {
        (self.clamped(steps) + ROUND).to_bits() as u8
    }

    #[inline(always)]
    fn clamped(&self, steps: f32) -> f32 {
        let steps = if steps > 0.0 { steps } else { 0.0 };
        if steps < self.levels { steps } else { self.levels }
    }
}

/// The sum, in lanes.
#[inline(always)]
fn lane_sum(values: &[f32; CHUNK]) -> f32 {
    let mut sums = [0.0; LANES];
    for values in values.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            sums[lane] += values[lane];
        }
    }
    sums.iter().sum()
}

/// base^exponent for a base that is not negative, to about 1e-6, without branches.
///
/// The base is m 2^n with m around 1; ln m = 2 artanh((m - 1) / (m + 1)), and 2^f is a Taylor
/// polynomial for |f| of at most 1/2.
#[inline(always)]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn power(base: f32, exponent: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let offset = base.to_bits().wrapping_sub(SQRT_HALF);
    let whole = (offset.cast_signed() >> 23) as f32;
    let m = f32::from_bits((offset & 0x7f_ffff) + SQRT_HALF);
    let t = (m - 1.0) / (m + 1.0);
    let square = t * t;
    let series = 1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0 + square / 9.0)));
    let log2 = whole + 2.0 * std::f32::consts::LOG2_E * t * series;
    let y = exponent * log2;
    let y = if y > -126.0 { y } else { -126.0 };
    let y = if y < 127.0 { y } else { 127.0 };
    let nearest = y + ROUND;
    let f = (y - (nearest - ROUND)) * std::f32::consts::LN_2;
    let taylor = 1.0 + f / 6.0 * (1.0 + f / 7.0);
    let taylor = 1.0 + f / 3.0 * (1.0 + f / 4.0 * (1.0 + f / 5.0 * taylor));
    let taylor = 1.0 + f * (1.0 + f / 2.0 * taylor);
    let scale = f32::from_bits(nearest.to_bits().wrapping_add(127) << 23);
    taylor * scale
}

/// Scale and zero point that span the values.
#[inline(always)]
fn start(levels: f32, values: &[f32]) -> (f32, f32) {
    let (low, high) = extent(values, f32::MAX);
    let range = (high - low).min(f32::MAX);
    let scale =
        if range <= SMALLEST_RANGE { 1.0 } else { (levels * (1.0 / range)).min(LARGEST_SCALE) };
    (scale, -low * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_below_the_threshold_shrink_to_zero_and_no_others() {
        for p in [0.1, 0.7, 1.0] {
            let solver = Solver::new(4, 20, p, false);
            let shrunk = |error: f32| error - 0.1 * error.powf(p as f32 - 1.0);
            assert!(shrunk(solver.threshold) <= 0.0, "{p}");
            assert!(shrunk(solver.threshold * 1.001) > 0.0, "{p}");
        }
    }

    #[test]
    fn powers_are_those_of_the_library() {
        for i in 1..4000_i16 {
            let base = 1.01_f32.powf(f32::from(i - 2000));
            for exponent in [-0.9, -0.3, 0.0, 0.5] {
                let exact = f64::from(base).powf(f64::from(exponent));
                let error = (f64::from(power(base, exponent)) - exact).abs();
                assert!(error <= 2e-6 * exact, "{base}^{exponent}");
            }
        }
        assert!(power(0.0, -0.3) > 1e11 && power(f32::MAX, -0.9) > 0.0);
    }

    #[test]
    fn a_scale_spans_the_values_and_is_bounded() {
        assert_eq!(start(15.0, &[-1.0, 2.0, 0.0]), (5.0, 5.0));
        assert_eq!(start(15.0, &[0.5, 0.500_01]), (1.0, -0.5));
        assert_eq!(start(15.0, &[0.0, 2e-4]).0, 2e4);
        assert!(start(1.0, &[f32::MIN, f32::MAX]).0 > 0.0);
    }
}
