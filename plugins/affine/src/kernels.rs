//! The inner loops: extent of a slice, values to codes, codes to values.
//!
//! Written for [`strait_sdk::simd::vectorize`]: every function is inlined into its caller, and
//! comparisons instead of `f32::min` and `max` give single vector instructions and leave NaN out.

/// Values in one accumulator row; a multiple of every vector width.
const LANES: usize = 16;

/// Adding this to a number of magnitude below 2^22 rounds it to an integer, ties to even, and
/// leaves that integer in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Smallest and largest value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extent {
    pub(crate) low: f32,
    pub(crate) high: f32,
}

impl Extent {
    /// The extent that every value widens.
    pub(crate) const EMPTY: Extent = Extent { low: f32::INFINITY, high: f32::NEG_INFINITY };
    /// The extent that includes zero.
    pub(crate) const ZERO: Extent = Extent { low: 0.0, high: 0.0 };

    /// Widens by the values; NaN is left out.
    #[inline(always)]
    pub(crate) fn widened(self, values: &[f32]) -> Extent {
        let (whole, rest) = values.as_chunks::<LANES>();
        let mut low = [self.low; LANES];
        let mut high = [self.high; LANES];
        for chunk in whole {
            for lane in 0..LANES {
                low[lane] = smaller(low[lane], chunk[lane]);
                high[lane] = larger(high[lane], chunk[lane]);
            }
        }
        for (lane, value) in rest.iter().enumerate() {
            low[lane] = smaller(low[lane], *value);
            high[lane] = larger(high[lane], *value);
        }
        Extent {
            low: low.into_iter().fold(self.low, smaller),
            high: high.into_iter().fold(self.high, larger),
        }
    }

    /// With infinities replaced by the largest finite value, and nothing at all by zero.
    pub(crate) fn finite(self, largest: f32) -> Extent {
        if self.low > self.high {
            return Extent::ZERO;
        }
        Extent { low: self.low.clamp(-largest, largest), high: self.high.clamp(-largest, largest) }
    }
}

/// How the codes of one cell stand for values: `value = base + (code - zero) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) scale: f32,
    pub(crate) zero: f32,
    pub(crate) base: f32,
}

impl Cell {
    /// The code of the nearest of `levels + 1` values; NaN counts as 0.
    #[inline(always)]
    pub(crate) fn code(self, value: f32, levels: f32) -> u8 {
        self.dithered(value, levels, 0.0)
    }

    /// The code of a value that `dither` steps are added to, more than -1/2 and less than 1/2.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn dithered(self, value: f32, levels: f32, dither: f32) -> u8 {
        let value = if value.is_nan() { 0.0 } else { value };
        let scale = if self.scale > 0.0 { self.scale } else { 1.0 };
        let steps = (value - self.base) / scale;
        let steps = smaller(larger(-self.zero, steps), levels - self.zero);
        (steps + dither + ROUND + self.zero).to_bits() as u8
    }

    /// The value of a code, at most `largest` in magnitude.
    #[inline(always)]
    pub(crate) fn value(self, code: u8, largest: f32) -> f32 {
        let value = self.base + (f32::from(code) - self.zero) * self.scale;
        smaller(larger(-largest, value), largest)
    }
}

/// Codes of a slice that shares one cell.
#[inline(always)]
pub(crate) fn encode(cell: Cell, levels: f32, values: &[f32], codes: &mut [u8]) {
    for (code, value) in codes.iter_mut().zip(values) {
        *code = cell.code(*value, levels);
    }
}

/// Codes of a slice that shares one cell, rounded up or down at random.
#[inline(always)]
pub(crate) fn encode_dithered(
    cell: Cell,
    levels: f32,
    noise: Noise,
    values: &[f32],
    codes: &mut [u8],
) {
    for ((code, value), index) in codes.iter_mut().zip(values).zip(0..) {
        *code = cell.dithered(*value, levels, noise.at(index).dither(*value));
    }
}

/// Sum of squared errors of a slice that shares one cell; NaN counts as 0.
#[inline(always)]
pub(crate) fn squared_error(cell: Cell, levels: f32, largest: f32, values: &[f32]) -> f64 {
    let (whole, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    let mut add = |lane: usize, value: f32| {
        let value = if value.is_nan() { 0.0 } else { smaller(larger(-largest, value), largest) };
        let error = f64::from(value) - f64::from(cell.value(cell.code(value, levels), largest));
        sums[lane] += error * error;
    };
    for chunk in whole {
        chunk.iter().enumerate().for_each(|(lane, value)| add(lane, *value));
    }
    for (lane, value) in rest.iter().enumerate() {
        add(lane, *value);
    }
    sums.iter().sum()
}

/// Reproducible noise: a hash of the seed, the place in the message and the value itself, so that equal
/// places of two messages do not round alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    seed: u32,
    /// Place of a slice's first value in the message.
    first: u32,
}

impl Noise {
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn new(seed: u64) -> Noise {
        Noise { seed: (seed ^ (seed >> 32)) as u32, first: 0 }
    }

    /// The noise of a slice that starts `places` further on.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn at(self, places: usize) -> Noise {
        Noise { first: self.first.wrapping_add(places as u32), ..self }
    }

    /// One of 65536 numbers that are evenly spaced between -1/2 and 1/2.
    #[inline(always)]
    pub(crate) fn dither(self, value: f32) -> f32 {
        let mut hash =
            value.to_bits().wrapping_add(self.seed) ^ self.first.wrapping_mul(0x9e37_79b9);
        // The last step of MurmurHash3.
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        #[allow(clippy::cast_precision_loss)]
        let number = ((hash ^ (hash >> 16)) >> 16) as f32;
        (number + 0.5) / 65536.0 - 0.5
    }
}

/// Values of a slice that shares one cell.
#[inline(always)]
pub(crate) fn decode(cell: Cell, largest: f32, codes: &[u8], values: &mut [f32]) {
    for (value, code) in values.iter_mut().zip(codes) {
        *value = cell.value(*code, largest);
    }
}

/// One bit a value: 1 unless the value is negative.
#[inline(always)]
pub(crate) fn encode_signs(values: &[f32], codes: &mut [u8]) {
    for (code, value) in codes.iter_mut().zip(values) {
        *code = u8::from(*value >= 0.0 || value.is_nan());
    }
}

/// Sum of magnitudes, each at most `largest`; NaN counts as 0.
#[inline(always)]
pub(crate) fn magnitude_sum(values: &[f32], largest: f32) -> f64 {
    let (whole, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in whole {
        for lane in 0..LANES {
            sums[lane] += magnitude(chunk[lane], largest);
        }
    }
    for (lane, value) in rest.iter().enumerate() {
        sums[lane] += magnitude(*value, largest);
    }
    sums.iter().sum()
}

/// Magnitude, at most `largest`; NaN counts as 0.
#[inline(always)]
pub(crate) fn magnitude(value: f32, largest: f32) -> f64 {
    f64::from(smaller(larger(0.0, value.abs()), largest))
}

/// The smaller of two numbers; `kept` when `other` is NaN.
#[inline(always)]
pub(crate) fn smaller(kept: f32, other: f32) -> f32 {
    if other < kept { other } else { kept }
}

/// The larger of two numbers; `kept` when `other` is NaN.
#[inline(always)]
pub(crate) fn larger(kept: f32, other: f32) -> f32 {
    if other > kept { other } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extent_leaves_nan_out_and_bounds_infinity() {
        let mut values = vec![f32::NAN; 37];
        assert_eq!(Extent::EMPTY.widened(&values).finite(10.0), Extent::ZERO);
        values[3] = 2.0;
        values[36] = 5.0;
        assert_eq!(Extent::EMPTY.widened(&values), Extent { low: 2.0, high: 5.0 });
        assert_eq!(Extent::ZERO.widened(&values), Extent { low: 0.0, high: 5.0 });
        values[20] = f32::NEG_INFINITY;
        assert_eq!(Extent::EMPTY.widened(&values).finite(7.0), Extent { low: -7.0, high: 5.0 });
    }

    #[test]
    fn codes_round_half_to_even_and_stay_in_range() {
        let cell = Cell { scale: 2.0, zero: 4.0, base: 0.0 };
        let values = [-100.0, -3.0, -1.0, 0.0, 1.0, 3.0, 5.0, 100.0, f32::INFINITY, f32::NAN];
        let mut codes = [0; 10];
        encode(cell, 15.0, &values, &mut codes);
        assert_eq!(codes, [0, 2, 4, 4, 4, 6, 6, 15, 15, 4]);
        let mut back = [0.0; 10];
        decode(cell, 20.0, &codes, &mut back);
        assert_eq!(back, [-8.0, -4.0, 0.0, 0.0, 0.0, 4.0, 4.0, 20.0, 20.0, 0.0]);
    }

    #[test]
    fn stochastic_rounding_is_right_on_average_and_keeps_the_grid() {
        let cell = Cell { scale: 1.0, zero: 3.0, base: 0.0 };
        let noise = Noise::new(7);
        let sum: u32 =
            (0..20_000).map(|i| u32::from(cell.dithered(2.3, 15.0, noise.at(i).dither(2.3)))).sum();
        // A share of 0.3 has a deviation of 0.0032.
        assert!((f64::from(sum) / 20_000.0 - 5.3).abs() < 0.015);
        let mut codes = [0; 6];
        let values = [-3.0, -1.0, 0.0, 12.0, 100.0, f32::NAN];
        encode_dithered(cell, 15.0, noise, &values, &mut codes);
        assert_eq!(codes, [0, 2, 3, 15, 15, 3]);
    }

    #[test]
    fn squared_errors_are_summed() {
        let cell = Cell { scale: 2.0, zero: 0.0, base: 0.0 };
        let values = [0.5; 20];
        assert_eq!(squared_error(cell, 3.0, 100.0, &values), 5.0);
        assert_eq!(squared_error(cell, 3.0, 8.0, &[f32::NAN, 7.0, f32::INFINITY]), 1.0 + 4.0);
    }

    #[test]
    fn magnitudes_are_bounded() {
        let values = [-1.0, f32::NAN, f32::NEG_INFINITY, 0.5];
        assert_eq!(magnitude_sum(&values, 8.0), 9.5);
        let mut codes = [9; 4];
        encode_signs(&values, &mut codes);
        assert_eq!(codes, [0, 1, 0, 1]);
    }
}
