//! The elements of a block: small floats, and the 8-bit integer with six fraction bits.

use strait_codec_kit::minifloat::MiniFloat;

/// Adding this to a number of magnitude below 2^22 rounds it to an integer, ties to even, and
/// leaves that integer in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// How one value of a block, already divided by the scale, becomes a code of at most 8 bits.
pub(super) trait Element {
    /// Bits of a code.
    const BITS: u32;
    /// Exponent of the largest power of two.
    const EXPONENT: i32;
    /// The largest value.
    const LARGEST: f32;
    /// Mantissa bits, without the leading one.
    const MANTISSA: u32;

    /// The code of the nearest value, ties to even, saturating.
    fn code(value: f32) -> u8;
    /// The value of a code.
    fn value(code: u8) -> f32;
}

impl<const E: u32, const M: u32> Element for MiniFloat<E, M> {
    const BITS: u32 = Self::BITS;
    const EXPONENT: i32 = Self::LARGEST_EXPONENT;
    const LARGEST: f32 = Self::LARGEST;
    const MANTISSA: u32 = M;

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    fn code(value: f32) -> u8 {
        MiniFloat::<E, M>::code(value) as u8
    }

    #[inline(always)]
    fn value(code: u8) -> f32 {
        MiniFloat::<E, M>::value(u32::from(code))
    }
}

/// Two's complement of 8 bits, six of them behind the point; -128 is not used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Int8;

impl Element for Int8 {
    const BITS: u32 = 8;
    const EXPONENT: i32 = 0;
    const LARGEST: f32 = 127.0 / 64.0;
    const MANTISSA: u32 = 6;

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    fn code(value: f32) -> u8 {
        let above = if value > Self::LARGEST { Self::LARGEST } else { value };
        let within = if above < -Self::LARGEST { -Self::LARGEST } else { above };
        (within * 64.0 + ROUND).to_bits() as u8
    }

    #[inline(always)]
    fn value(code: u8) -> f32 {
        f32::from(code.cast_signed()) / 64.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_round_to_even_and_are_symmetric() {
        let values = [0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 126.4, 200.0, -200.0];
        let codes = values.map(|steps| Int8::code(steps / 64.0).cast_signed());
        assert_eq!(codes, [0, 0, 2, 2, 0, -2, 126, 127, -127]);
        assert_eq!((Int8::value(0x81), Int8::value(64)), (-Int8::LARGEST, 1.0));
    }
}
