//! Quantized values as symbols: one code path for encoder and decoder.

use strait_codec_kit::entropy::{RangeDecoder, RangeEncoder};

use crate::table::Table;

/// Where symbols go to, or come from. Every method takes the value to encode, which a decoder
/// ignores, and returns the value that the decoder has.
pub(crate) trait Port {
    /// A symbol below 16.
    fn symbol(&mut self, model: &mut Table, symbol: u32) -> u32;
    /// The lowest `width` bits, at most 32, all equally likely.
    fn bits(&mut self, value: u32, width: u32) -> u32;
}

impl Port for RangeEncoder<'_> {
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    fn symbol(&mut self, model: &mut Table, symbol: u32) -> u32 {
        model.encode(self, symbol);
        symbol
    }

    #[inline(always)]
    fn bits(&mut self, value: u32, width: u32) -> u32 {
        self.encode_bits(value, width);
        value
    }
}

impl Port for RangeDecoder<'_> {
    #[inline(always)]
    fn symbol(&mut self, model: &mut Table, _: u32) -> u32 {
        model.decode(self)
    }

    #[inline(always)]
    fn bits(&mut self, _: u32, width: u32) -> u32 {
        self.decode_bits(width)
    }
}

/// Levels of expected magnitude for each octave.
const PER_OCTAVE: u32 = 4;
const SHIFT: u32 = 23 - PER_OCTAVE.ilog2();
/// The expected magnitude of level 0, as an exponent of 2, and the octaves above it.
const FIRST: i32 = -6;
const OCTAVES: u32 = 28;
/// Levels from here on code magnitude and sign apart: an expected magnitude of 2.
const APART: u32 = (1 - FIRST).cast_unsigned() * PER_OCTAVE;

/// Largest magnitude of a quantized value.
pub(crate) const LARGEST: u32 = 1 << 24;

/// Level of an expected magnitude, in quarters of an octave.
#[inline(always)]
pub(crate) fn level(expected: f32) -> u32 {
    let bits = (expected.to_bits() >> SHIFT).cast_signed();
    (bits - ((127 + FIRST) << (23 - SHIFT)))
        .clamp(0, (OCTAVES * PER_OCTAVE - 1).cast_signed())
        .cast_unsigned()
}

/// Adaptive distributions of the quantized values.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    levels: Vec<[Table; 2]>,
    escapes: Table,
}

impl Values {
    pub(crate) fn new() -> Values {
        Values {
            levels: vec![std::array::from_fn(|_| Table::new(11)); (OCTAVES * PER_OCTAVE) as usize],
            escapes: Table::new(7),
        }
    }

    /// Codes one value at a level of expected magnitude; a damaged payload may give any value.
    #[inline(always)]
    pub(crate) fn code<P: Port>(&mut self, port: &mut P, level: u32, set: u32, value: i32) -> i32 {
        let Some(models) = self.levels.get_mut(level as usize) else { return 0 };
        let model = &mut models[(set & 1) as usize];
        if level < APART {
            // 0, -1, 1, -2, … become 0, 1, 2, 3, …
            let folded = ((value << 1) ^ (value >> 31)).cast_unsigned();
            let symbol = port.symbol(model, folded.min(15));
            let folded = if symbol == 15 {
                self.escape(port, folded.wrapping_sub(15)).wrapping_add(15)
            } else {
                symbol
            };
            return (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed();
        }
        let low = (level - APART) / PER_OCTAVE;
        let magnitude = value.unsigned_abs();
        let symbol = port.symbol(model, (magnitude >> low).min(15));
        let upper = if symbol == 15 {
            self.escape(port, (magnitude >> low).wrapping_sub(15)).wrapping_add(15)
        } else {
            symbol
        };
        if upper == 0 {
            // Zero has no sign.
            let magnitude = if low > 0 { port.bits(magnitude, low) & ((1 << low) - 1) } else { 0 };
            let negative = magnitude > 0 && port.bits(u32::from(value < 0), 1) == 1;
            return if negative { -magnitude.cast_signed() } else { magnitude.cast_signed() };
        }
        let rest = port.bits((magnitude << 1) | u32::from(value < 0), low + 1);
        let low_bits = (rest >> 1) & ((1 << low) - 1);
        let magnitude = ((upper << low) | low_bits) & (2 * LARGEST - 1);
        if rest & 1 == 1 { -magnitude.cast_signed() } else { magnitude.cast_signed() }
    }

    /// Codes a number below 2^26: the length of the number plus one, then its bits.
    #[cold]
    #[inline(never)]
    fn escape<P: Port>(&mut self, port: &mut P, number: u32) -> u32 {
        let number = number.wrapping_add(1).clamp(1, 1 << 26);
        let length = number.ilog2();
        let mut coded = port.symbol(&mut self.escapes, length.min(15));
        if coded == 15 {
            coded += port.bits(length.wrapping_sub(15), 4);
        }
        ((1 << coded) | (port.bits(number, coded) & ((1 << coded) - 1))) - 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_come_back_at_every_level(
            values in prop::collection::vec((0_u32..24, any::<i32>(), -7_i32..25, 0_u32..2), 0..300),
        ) {
            // Magnitudes of every length, at levels that do and do not fit them.
            let values: Vec<(i32, u32, u32)> = values
                .into_iter()
                .map(|(length, value, octave, set)| {
                    (value % (2 << length), level((octave as f32).exp2()), set)
                })
                .collect();
            let mut bytes = Vec::new();
            let mut encoder = RangeEncoder::new(&mut bytes);
            let mut models = Values::new();
            for (value, level, set) in &values {
                prop_assert_eq!(models.code(&mut encoder, *level, *set, *value), *value);
            }
            encoder.finish();
            let mut decoder = RangeDecoder::new(&bytes);
            let mut models = Values::new();
            for (value, level, set) in &values {
                prop_assert_eq!(models.code(&mut decoder, *level, *set, 0), *value);
            }
            prop_assert!(decoder.finish().is_ok());
        }

        #[test]
        fn any_bytes_decode_to_something(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = RangeDecoder::new(&bytes);
            let mut models = Values::new();
            for i in 0..200 {
                let value = models.code(&mut decoder, i % (OCTAVES * PER_OCTAVE), i, 0);
                prop_assert!(value.unsigned_abs() <= i32::MAX.unsigned_abs());
            }
        }
    }

    #[test]
    fn levels_are_quarters_of_an_octave() {
        assert_eq!(level(0.0), 0);
        assert_eq!(level(1.0 / 64.0), 0);
        assert_eq!(level(1.0), 24);
        assert_eq!(level(1.5), 26);
        assert_eq!(level(2.0), APART);
        assert_eq!(level(f32::MAX), OCTAVES * PER_OCTAVE - 1);
        assert_eq!(level(f32::NAN), OCTAVES * PER_OCTAVE - 1);
    }
}
