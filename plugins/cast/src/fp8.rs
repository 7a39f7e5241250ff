//! The two 8-bit floats: e4m3fn (no infinity, largest value 448) and e5m2 (largest 57344).
//!
//! Specification: <https://arxiv.org/abs/2209.05433>. Rounding is to nearest, ties to even; values
//! beyond the largest, and infinities, saturate; NaN becomes the all-ones code with its sign.

/// An 8-bit float format with `M` mantissa bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fp8<const M: u32>;

/// Mantissa bits of e4m3fn.
pub(crate) const E4M3: u32 = 3;
/// Mantissa bits of e5m2.
pub(crate) const E5M2: u32 = 2;

impl<const M: u32> Fp8<M> {
    /// The largest finite value.
    pub(crate) const LARGEST: f32 = if M == E4M3 { 448.0 } else { 57344.0 };
    /// The value of every code.
    pub(crate) const VALUES: [f32; 256] = Self::values();

    const BIAS: u32 = if M == E4M3 { 7 } else { 15 };
    const SHIFT: u32 = 23 - M;
    /// The smallest normal value, 2^(1 - bias), as the bits of an f32.
    const NORMAL: u32 = (128 - Self::BIAS) << 23;
    /// 2^23 times the subnormal step: adding it leaves the rounded step count in the lowest bits.
    const STEPS: u32 = (127 + 24 - Self::BIAS - M) << 23;

    /// The nearest code. Branch-free, so that it vectorises.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn code(value: f32) -> u8 {
        let bits = value.to_bits();
        let sign = (bits >> 24) & 0x80;
        let magnitude = value.abs();
        let bounded = if magnitude > Self::LARGEST { Self::LARGEST } else { magnitude };
        let bounded_bits = bounded.to_bits();
        let even = (bounded_bits >> Self::SHIFT) & 1;
        let rounded = bounded_bits.wrapping_add((1 << (Self::SHIFT - 1)) - 1 + even) >> Self::SHIFT;
        let normal = rounded.wrapping_sub((127 - Self::BIAS) << M);
        let steps = (bounded + f32::from_bits(Self::STEPS)).to_bits().wrapping_sub(Self::STEPS);
        let finite = if bounded_bits < Self::NORMAL { steps } else { normal };
        let code = if value.is_nan() { 0x7f } else { finite };
        (code | sign) as u8
    }

    const fn values() -> [f32; 256] {
        let mut values = [0.0; 256];
        let mut code = 0;
        while code < 256 {
            values[code as usize] = Self::value(code);
            code += 1;
        }
        values
    }

    const fn value(code: u32) -> f32 {
        let sign = (code & 0x80) << 24;
        let exponent = (code & 0x7f) >> M;
        let mantissa = code & ((1 << M) - 1);
        let is_nan = if M == E4M3 { code & 0x7f == 0x7f } else { exponent == 31 && mantissa != 0 };
        let is_infinite = M == E5M2 && exponent == 31 && mantissa == 0;
        let magnitude = if is_nan {
            0x7fc0_0000
        } else if is_infinite {
            0x7f80_0000
        } else if exponent == 0 {
            // mantissa * 2^(1 - bias - M), exact in f32.
            (mantissa as f32 * f32::from_bits((128 - Self::BIAS - M) << 23)).to_bits()
        } else {
            ((exponent + 127 - Self::BIAS) << 23) | (mantissa << Self::SHIFT)
        };
        f32::from_bits(sign | magnitude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest<const M: u32>(value: f32) -> u8 {
        // All finite codes of one sign, by brute force; on a tie the even code wins.
        let sign = if value.is_sign_negative() { 0x80 } else { 0 };
        let bounded = f64::from(value.abs().min(Fp8::<M>::LARGEST));
        let distance =
            |code: &u8| (f64::from(Fp8::<M>::VALUES[usize::from(*code)]) - bounded).abs();
        let finite = |code: &u8| Fp8::<M>::VALUES[usize::from(*code)].is_finite();
        let best = (0..0x80_u8)
            .filter(finite)
            .min_by(|a, b| distance(a).total_cmp(&distance(b)).then((a & 1).cmp(&(b & 1))));
        best.unwrap() | sign
    }

    fn every_value_is_rounded_to_nearest<const M: u32>() {
        let mut state = 1_u32;
        for i in 0..200_000_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // All exponents near the format's range, and every bf16 value.
            let bits = if i < 65_536 { i << 16 } else { (state & 0x87ff_ffff) + (115 << 23) };
            let value = f32::from_bits(bits);
            if value.is_finite() {
                assert_eq!(Fp8::<M>::code(value), nearest::<M>(value), "{value:e} in M = {M}");
            }
        }
    }

    #[test]
    fn e4m3_rounds_to_nearest_even() {
        every_value_is_rounded_to_nearest::<E4M3>();
    }

    #[test]
    fn e5m2_rounds_to_nearest_even() {
        every_value_is_rounded_to_nearest::<E5M2>();
    }

    #[test]
    fn codes_are_their_own_nearest_and_specials_are_kept() {
        for code in 0..=255_u8 {
            let (a, b) =
                (Fp8::<E4M3>::VALUES[usize::from(code)], Fp8::<E5M2>::VALUES[usize::from(code)]);
            assert!(a.is_nan() || Fp8::<E4M3>::code(a) == code, "{code:#x}");
            assert!(!b.is_finite() || Fp8::<E5M2>::code(b) == code, "{code:#x}");
        }
        assert_eq!(Fp8::<E4M3>::code(f32::NAN) & 0x7f, 0x7f);
        assert_eq!(Fp8::<E5M2>::code(f32::NAN) & 0x7f, 0x7f);
        assert_eq!(Fp8::<E4M3>::code(f32::INFINITY), 0x7e);
        assert_eq!(Fp8::<E5M2>::code(f32::NEG_INFINITY), 0xfb);
        assert_eq!(Fp8::<E4M3>::code(-1e30), 0xfe);
    }
}
