//! Quantized values as symbols: one code path for encoder and decoder.

use strait_sdk::entropy::{RangeDecoder, RangeEncoder};

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
        let rest = port.bits((magnitude << 1) | u32::from(value < 0), low + 1);
        let magnitude = ((upper << low) | ((rest >> 1) & ((1 << low) - 1))) & (2 * LARGEST - 1);
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
