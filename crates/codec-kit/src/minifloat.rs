//! Floating-point numbers of 4 to 16 bits: fp4, fp6, fp8 and f16, one value at a time.
//!
//! For use inside [`vectorize`](strait_sdk::simd::vectorize): everything is inlined and without
//! branches. Specifications: [FP8 formats](https://arxiv.org/abs/2209.05433) and
//! [OCP Microscaling Formats](https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf)
//! 1.0, section 5.3. Whole slices of f16 are faster with [`widen`](strait_sdk::widen) and
//! [`narrow`](strait_sdk::narrow).

/// A format of one sign bit, `E` exponent bits and `M` mantissa bits, code in that order from the
/// highest bit.
///
/// | format | largest | NaN and infinity |
/// |---|---|---|
/// | [`E2M1`], [`E2M3`], [`E3M2`] | 6, 7.5, 28 | none: NaN becomes 0 |
/// | [`E4M3`] | 448 | NaN: all ones; no infinity |
/// | [`E5M2`], [`F16`] | 57344, 65504 | as in IEEE 754 |
#[derive(Clone, Copy, Debug)]
pub struct MiniFloat<const E: u32, const M: u32>;

/// fp4.
pub type E2M1 = MiniFloat<2, 1>;
/// fp6 with three mantissa bits.
pub type E2M3 = MiniFloat<2, 3>;
/// fp6 with two mantissa bits.
pub type E3M2 = MiniFloat<3, 2>;
/// fp8 with three mantissa bits, "fn": no infinity.
pub type E4M3 = MiniFloat<4, 3>;
/// fp8 with two mantissa bits.
pub type E5M2 = MiniFloat<5, 2>;
/// IEEE 754 binary16.
pub type F16 = MiniFloat<5, 10>;

impl<const E: u32, const M: u32> MiniFloat<E, M> {
    /// Bits of a code.
    pub const BITS: u32 = 1 + E + M;
    /// Exponent of the largest power of two.
    pub const LARGEST_EXPONENT: i32 = (Self::TOP >> M) as i32 - Self::BIAS as i32;
    /// The largest finite value.
    pub const LARGEST: f32 = f32::from_bits(
        ((Self::TOP >> M) + 127 - Self::BIAS) << 23 | (Self::TOP & Self::MANTISSA) << Self::SHIFT,
    );

    const BIAS: u32 = (1 << (E - 1)) - 1;
    const SHIFT: u32 = 23 - M;
    const MANTISSA: u32 = (1 << M) - 1;
    const SIGN: u32 = 1 << (E + M);
    /// Whether exponents of all ones stand for infinity and NaN.
    const IEEE: bool = E == 5;
    /// The code of the largest finite value.
    const TOP: u32 = match E {
        5 => Self::SIGN - Self::MANTISSA - 2,
        4 => Self::SIGN - 2,
        _ => Self::SIGN - 1,
    };
    /// The code that NaN becomes.
    const NAN: u32 = if E >= 4 { Self::SIGN - 1 } else { 0 };
    /// The smallest normal value, 2^(1 - bias), as the bits of an f32.
    const NORMAL: u32 = (128 - Self::BIAS) << 23;
    /// 2^23 times the subnormal step: adding it leaves the rounded step count in the lowest bits.
    const STEPS: u32 = (127 + 24 - Self::BIAS - M) << 23;
    /// The subnormal step, 2^(1 - bias - M).
    const STEP: f32 = f32::from_bits((128 - Self::BIAS - M) << 23);

    /// The code of the nearest value, ties to even; values beyond the largest saturate, infinities
    /// too.
    #[inline(always)]
    pub fn code(value: f32) -> u32 {
        let sign = (value.to_bits() >> (31 - E - M)) & Self::SIGN;
        let magnitude = value.abs();
        let bounded = if magnitude > Self::LARGEST { Self::LARGEST } else { magnitude };
        let bits = bounded.to_bits();
        // Adds half a step, less one bit where the lower neighbour is even: a tie then stays there.
        let even = (bits >> Self::SHIFT) & 1;
        let rounded = bits.wrapping_add((1 << (Self::SHIFT - 1)) - 1 + even) >> Self::SHIFT;
        let normal = rounded.wrapping_sub((127 - Self::BIAS) << M);
        let steps = (bounded + f32::from_bits(Self::STEPS)).to_bits().wrapping_sub(Self::STEPS);
        let finite = if bits < Self::NORMAL { steps } else { normal };
        let code = if value.is_nan() { Self::NAN } else { finite };
        code | sign
    }

    /// The value of a code, exactly; bits above [`BITS`](Self::BITS) are left out.
    #[inline(always)]
    pub const fn value(code: u32) -> f32 {
        let sign = (code & Self::SIGN) << (31 - E - M);
        let magnitude = code & (Self::SIGN - 1);
        let normal = (magnitude << Self::SHIFT) + ((127 - Self::BIAS) << 23);
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_wrap)]
        let subnormal = (magnitude as i32 as f32 * Self::STEP).to_bits();
        let finite = if magnitude > Self::MANTISSA { normal } else { subnormal };
        let above =
            if Self::IEEE && magnitude == Self::TOP + 1 { 0x7f80_0000 } else { 0x7fc0_0000 };
        f32::from_bits(sign | if magnitude > Self::TOP { above } else { finite })
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    /// Every finite value of one sign, ascending; the index is the code.
    fn finite<const E: u32, const M: u32>() -> Vec<f64> {
        let codes = 0..1_u32 << (E + M);
        codes
            .map(|code| f64::from(MiniFloat::<E, M>::value(code)))
            .filter(|v| v.is_finite())
            .collect()
    }

    fn rounds_to_nearest_even<const E: u32, const M: u32>(largest: f32) {
        let values = finite::<E, M>();
        assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(MiniFloat::<E, M>::LARGEST, largest);
        assert_eq!(values.last(), Some(&f64::from(largest)));
        assert_eq!(2_f32.powi(MiniFloat::<E, M>::LARGEST_EXPONENT), {
            f32::from_bits(largest.to_bits() & 0x7f80_0000)
        });
        let mut state = 1_u32;
        for i in 0..100_000_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Every bf16 value, then all exponents near the formats' ranges.
            let bits = if i < 65_536 { i << 16 } else { (state & 0x87ff_ffff) + (112 << 23) };
            let value = f32::from_bits(bits);
            if value.is_nan() {
                continue;
            }
            let bounded = f64::from(value.abs().min(largest));
            let above = values.partition_point(|entry| *entry < bounded);
            let below = above.saturating_sub(1);
            let (up, down) = (values[above] - bounded, bounded - values[below]);
            let upwards = up < down || (up == down && above % 2 == 0);
            let nearest = (if upwards { above } else { below }) as u32;
            let sign = u32::from(value.is_sign_negative()) << (E + M);
            assert_eq!(MiniFloat::<E, M>::code(value), nearest | sign, "{value:e}, E{E}M{M}");
        }
    }

    #[test]
    fn every_format_rounds_to_nearest_even_and_saturates() {
        rounds_to_nearest_even::<2, 1>(6.0);
        rounds_to_nearest_even::<2, 3>(7.5);
        rounds_to_nearest_even::<3, 2>(28.0);
        rounds_to_nearest_even::<4, 3>(448.0);
        rounds_to_nearest_even::<5, 2>(57344.0);
        rounds_to_nearest_even::<5, 10>(65504.0);
    }

    #[test]
    fn values_are_those_of_the_specifications() {
        let values: Vec<f32> = (0..8).map(E2M1::value).collect();
        assert_eq!(values, [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]);
        assert_eq!((E2M1::value(0xf), E2M3::value(1), E3M2::value(1)), (-6.0, 0.125, 0.0625));
        assert_eq!((E4M3::value(1), E5M2::value(1)), (1.0 / 512.0, 1.0 / 65536.0));
        for bits in 0..=u16::MAX {
            let (ours, half) = (F16::value(u32::from(bits)), f16::from_bits(bits).to_f32());
            assert!(
                ours.to_bits() == half.to_bits() || (ours.is_nan() && half.is_nan()),
                "{bits:#x}"
            );
        }
    }

    #[test]
    fn what_is_not_a_number_becomes_nan_or_zero() {
        assert!(E4M3::value(0x7f).is_nan() && E5M2::value(0xfd).is_nan());
        assert_eq!((E5M2::value(0x7c), E5M2::value(0xfc)), (f32::INFINITY, f32::NEG_INFINITY));
        assert_eq!(E4M3::code(f32::NAN) & 0x7f, 0x7f);
        assert_eq!(E5M2::code(f32::NAN) & 0x7f, 0x7f);
        assert_eq!(F16::code(f32::NAN) & 0x7fff, 0x7fff);
        assert_eq!(E2M1::code(f32::NAN) & 7, 0);
        assert_eq!(E4M3::code(f32::INFINITY), 0x7e);
        assert_eq!(E5M2::code(f32::NEG_INFINITY), 0xfb);
    }
}
