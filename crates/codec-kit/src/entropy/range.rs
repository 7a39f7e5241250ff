//! A range coder with a 64-bit interval, carries, and words of 32 bits.
//!
//! The coder of [G. N. N. Martin, 1979](https://sachingarg.com/compression/entropy_coding/range_coder.pdf):
//! a message is a number within an interval, and every symbol narrows the interval in proportion to
//! its probability. The interval never falls below 2^32, so that probabilities of 16 bits lose less
//! than 2^-16 of a bit.

use strait_sdk::{Error, Result};

/// The interval is widened by a word when it falls below this.
const SMALLEST: u64 = 1 << 32;

/// Coded last, to recognise damaged bytes.
const MARKER: (u32, u32) = (0xa5, 8);

/// Writes symbols of given probabilities.
#[derive(Debug)]
pub struct RangeEncoder<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
    low: u64,
    range: u64,
}

impl<'a> RangeEncoder<'a> {
    /// Appends to `bytes`.
    pub fn new(bytes: &'a mut Vec<u8>) -> Self {
        let start = bytes.len();
        RangeEncoder { bytes, start, low: 0, range: u64::MAX }
    }

    /// Encodes the symbol that occupies `start .. start + size` of `0 .. 2^bits`; `bits` is at
    /// most 16, and `size` at least 1.
    #[inline(always)]
    pub fn encode(&mut self, start: u32, size: u32, bits: u32) {
        debug_assert!(bits <= 16 && size >= 1 && start + size <= 1 << bits);
        let unit = self.range >> bits;
        self.add(unit * u64::from(start));
        self.range = unit * u64::from(size);
        if self.range < SMALLEST {
            self.bytes.extend_from_slice(&self.low.to_be_bytes()[..4]);
            self.low <<= 32;
            self.range <<= 32;
        }
    }

    /// Encodes the lowest `width` bits of `value`, all values equally likely; at most 32.
    #[inline]
    pub fn encode_bits(&mut self, value: u32, width: u32) {
        debug_assert!(width <= 32);
        if width > 16 {
            self.encode((value >> 16) & ((1 << (width - 16)) - 1), 1, width - 16);
        }
        let width = width.min(16);
        self.encode(value & ((1 << width) - 1), 1, width);
    }

    /// Writes the marker and as few bytes as tell the interval from all others.
    pub fn finish(mut self) {
        self.encode_bits(MARKER.0, MARKER.1);
        for kept in 0..8 {
            let dropped = u64::MAX >> (8 * kept);
            let value = self.low.wrapping_add(dropped) & !dropped;
            if value.wrapping_sub(self.low) < self.range {
                self.add(value.wrapping_sub(self.low));
                self.bytes.extend_from_slice(&value.to_be_bytes()[..kept]);
                break;
            }
        }
        // The decoder reads zeros behind the end.
        while self.bytes.len() > self.start && self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
    }

    #[inline(always)]
    fn add(&mut self, amount: u64) {
        let (low, carry) = self.low.overflowing_add(amount);
        self.low = low;
        if carry {
            self.carry();
        }
    }

    /// Adds one to the bytes written so far. The number they stand for is below the end of the first
    /// interval, so the carry ends among them.
    #[cold]
    fn carry(&mut self) {
        for byte in self.bytes[self.start..].iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
    }
}

/// Reads what a [`RangeEncoder`] wrote, with the same probabilities.
#[derive(Clone, Debug)]
pub struct RangeDecoder<'a> {
    bytes: &'a [u8],
    next: usize,
    /// Where the message lies within the interval.
    code: u64,
    range: u64,
}

impl<'a> RangeDecoder<'a> {
    /// Reads from `bytes`, which hold nothing else.
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = RangeDecoder { bytes, next: 0, code: 0, range: u64::MAX };
        decoder.code = (decoder.word() << 32) | decoder.word();
        decoder
    }

    /// Decodes one symbol: `find` gets a number in `0 .. 2^bits` and answers with the symbol whose
    /// `start .. start + size` holds it, and those two.
    #[inline(always)]
    pub fn decode<T>(&mut self, bits: u32, find: impl FnOnce(u32) -> (T, u32, u32)) -> T {
        let unit = self.range >> bits;
        let last = (1 << bits) - 1;
        // Damaged bytes may lie beyond the interval.
        #[allow(clippy::cast_possible_truncation)]
        let at = (self.code / unit).min(last) as u32;
        let (symbol, start, size) = find(at);
        self.code = self.code.wrapping_sub(unit * u64::from(start));
        self.range = unit * u64::from(size);
        if self.range < SMALLEST {
            self.code = (self.code << 32) | self.word();
            self.range <<= 32;
        }
        symbol
    }

    /// Decodes `width` bits, at most 32, all values equally likely.
    #[inline]
    pub fn decode_bits(&mut self, width: u32) -> u32 {
        let high = if width > 16 { self.decode(width - 16, |at| (at, at, 1)) } else { 0 };
        (high << 16) | self.decode(width.min(16), |at| (at, at, 1))
    }

    /// Checks the marker and that all bytes were read.
    ///
    /// # Errors
    /// Bytes that are not those of the encoder: damaged, cut off or followed by others.
    pub fn finish(mut self) -> Result<()> {
        let marked = self.decode_bits(MARKER.1) == MARKER.0;
        if marked && self.bytes.len() <= self.next && self.bytes.last() != Some(&0) {
            return Ok(());
        }
        Err(Error::new(format!(
            "range coder: expected the end of the coded symbols after {} bytes, found other data",
            self.bytes.len()
        )))
    }

    /// The next 32 bits; zeros behind the end.
    #[inline(always)]
    fn word(&mut self) -> u64 {
        let word = match self.bytes.get(self.next..) {
            Some([a, b, c, d, ..]) => u32::from_be_bytes([*a, *b, *c, *d]),
            rest => {
                let rest = rest.unwrap_or_default();
                let mut last = [0; 4];
                last[..rest.len()].copy_from_slice(rest);
                u32::from_be_bytes(last)
            }
        };
        self.next += 4;
        u64::from(word)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn symbols_of_any_probability_come_back(
            symbols in prop::collection::vec((0_u32..65535, 1_u32..65536, 1_u32..=16), 0..400),
            before in prop::collection::vec(any::<u8>(), 0..5),
        ) {
            let symbols: Vec<(u32, u32, u32)> = symbols
                .into_iter()
                .map(|(start, size, bits)| {
                    let start = start % (1 << bits);
                    (start, 1 + size % ((1 << bits) - start), bits)
                })
                .collect();
            let mut bytes = before.clone();
            let mut encoder = RangeEncoder::new(&mut bytes);
            for (start, size, bits) in &symbols {
                encoder.encode(*start, *size, *bits);
            }
            encoder.finish();
            prop_assert!(bytes.starts_with(&before));
            let coded = &bytes[before.len()..];
            let mut decoder = RangeDecoder::new(coded);
            for (start, size, bits) in &symbols {
                let at = decoder.decode(*bits, |at| (at, *start, *size));
                prop_assert!((*start..start + size).contains(&at));
            }
            prop_assert!(decoder.finish().is_ok());
            let entropy: f64 = symbols
                .iter()
                .map(|(_, size, bits)| f64::from(*bits) - f64::from(*size).log2())
                .sum();
            prop_assert!(coded.len() as f64 * 8.0 <= entropy + 8.0 + 16.0, "{} {entropy}", coded.len());
        }

        #[test]
        fn raw_bits_come_back(values in prop::collection::vec((any::<u32>(), 1_u32..=32), 0..200)) {
            let mut bytes = Vec::new();
            let mut encoder = RangeEncoder::new(&mut bytes);
            for (value, width) in &values {
                encoder.encode_bits(*value, *width);
            }
            encoder.finish();
            let mut decoder = RangeDecoder::new(&bytes);
            for (value, width) in &values {
                let mask = (1_u64 << width) - 1;
                prop_assert_eq!(u64::from(decoder.decode_bits(*width)), u64::from(*value) & mask);
            }
            prop_assert!(decoder.finish().is_ok());
        }

        #[test]
        fn any_bytes_decode_to_something(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut decoder = RangeDecoder::new(&bytes);
            for i in 0..100 {
                let bits = 1 + i % 16;
                prop_assert!(decoder.decode_bits(bits) < 1 << bits);
            }
        }
    }

    #[test]
    fn a_carry_runs_through_many_bytes() {
        let mut bytes = Vec::new();
        let mut encoder = RangeEncoder::new(&mut bytes);
        // Stays at the very end of the lower half, then moves beyond it.
        encoder.encode(0x7fff, 1, 16);
        for _ in 0..100 {
            encoder.encode(0xffff, 1, 16);
        }
        encoder.encode(1, 0xffff, 16);
        encoder.finish();
        let mut decoder = RangeDecoder::new(&bytes);
        assert_eq!(decoder.decode(16, |at| (at, at, 1)), 0x7fff);
        for _ in 0..100 {
            assert_eq!(decoder.decode(16, |at| (at, at, 1)), 0xffff);
        }
        decoder.decode(16, |at| ((), at.min(1), 0xffff));
        assert!(decoder.finish().is_ok());
    }

    #[test]
    fn nothing_coded_is_one_byte() {
        let mut bytes = Vec::new();
        RangeEncoder::new(&mut bytes).finish();
        assert_eq!(bytes.len(), 1);
        assert!(RangeDecoder::new(&bytes).finish().is_ok());
        assert!(RangeDecoder::new(&[]).finish().is_err());
        assert!(RangeDecoder::new(&[bytes[0]; 9]).finish().is_err());
    }
}
