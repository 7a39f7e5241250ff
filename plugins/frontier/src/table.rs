//! An adaptive distribution of 16 symbols that may learn slowly.

use strait_codec_kit::entropy::{RangeDecoder, RangeEncoder};

/// Probabilities are 2^-16 to the coder, and have this many bits more, so that steps of 2^-12 of a
/// small probability are not lost.
const EXTRA: u32 = 14;
const ONE: i32 = 1 << (16 + EXTRA);
/// No symbol falls below this.
const LEAST: i32 = 3 << EXTRA;

/// Where each symbol starts, strictly increasing from 0.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    starts: [i32; 16],
    seen: u32,
    limit: u32,
}

impl Table {
    /// All symbols equally likely; learns by steps that fall to 2^-`limit`.
    pub(crate) fn new(limit: u32) -> Table {
        let mut starts = [0; 16];
        for (start, symbol) in starts.iter_mut().zip(0..) {
            *start = symbol * (ONE / 16);
        }
        Table { starts, seen: 0, limit }
    }

    #[inline(always)]
    pub(crate) fn encode(&mut self, encoder: &mut RangeEncoder<'_>, symbol: u32) {
        let symbol = (symbol & 15) as usize;
        let (start, size) = self.extent(symbol);
        encoder.encode(start, size, 16);
        self.learn(symbol);
    }

    #[inline(always)]
    pub(crate) fn decode(&mut self, decoder: &mut RangeDecoder<'_>) -> u32 {
        let symbol = decoder.decode(16, |at| {
            // Starts are compared as the coder sees them.
            let at = ((at + 1) << EXTRA).cast_signed().wrapping_sub(1);
            let upto: i32 = self.starts.iter().map(|start| i32::from(*start <= at)).sum();
            let symbol = (upto - 1).cast_unsigned() as usize & 15;
            let (start, size) = self.extent(symbol);
            (symbol, start, size)
        });
        self.learn(symbol);
        #[allow(clippy::cast_possible_truncation)]
        {
            symbol as u32
        }
    }

    #[inline(always)]
    fn extent(&self, symbol: usize) -> (u32, u32) {
        let start = self.starts[symbol] >> EXTRA;
        let end = if symbol == 15 { 1 << 16 } else { self.starts[symbol + 1] >> EXTRA };
        (start.cast_unsigned(), (end - start).cast_unsigned())
    }

    #[inline(always)]
    fn learn(&mut self, symbol: usize) {
        let rate = (1 + (self.seen + 2).ilog2()).min(self.limit);
        self.seen += 1;
        #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
        let symbol = symbol as i32;
        for (i, start) in (0..).zip(&mut self.starts) {
            let target = if i > symbol { ONE - (16 - i) * LEAST } else { i * LEAST };
            *start += (target - *start) >> rate;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn symbols_of_every_skew_come_back(
            runs in prop::collection::vec((0_u32..16, 1_usize..3000), 1..12),
            limit in 4_u32..13,
        ) {
            let mut bytes = Vec::new();
            let mut encoder = RangeEncoder::new(&mut bytes);
            let mut table = Table::new(limit);
            for (symbol, count) in &runs {
                (0..*count).for_each(|_| table.encode(&mut encoder, *symbol));
            }
            encoder.finish();
            let mut decoder = RangeDecoder::new(&bytes);
            let mut table = Table::new(limit);
            for (symbol, count) in &runs {
                for _ in 0..*count {
                    prop_assert_eq!(table.decode(&mut decoder), *symbol);
                }
            }
            prop_assert!(decoder.finish().is_ok());
        }
    }

    #[test]
    fn a_rare_symbol_keeps_a_size_and_a_frequent_one_costs_nothing() {
        for limit in [4, 11, 12] {
            let mut table = Table::new(limit);
            (0..200_000).for_each(|_| table.learn(5));
            for symbol in 0..16 {
                let (_, size) = table.extent(symbol);
                assert!(if symbol == 5 { size > 65_400 } else { size >= 1 }, "{symbol}: {size}");
            }
        }
    }
}
