//! Adaptive models: probabilities learnt from the symbols coded so far.
//!
//! Encoder and decoder make the same steps, so nothing is sent. Each step moves the probabilities
//! towards the symbol just seen by 2^-rate; the rate starts at 3 and grows to a limit as symbols come, so
//! that the first few are nearly a plain average.

use super::{RangeDecoder, RangeEncoder};

/// Rate of adaptation that [`Default`] models end at: an average over about 2^7 symbols.
const RATE: u32 = 7;

/// One of two.
#[derive(Clone, Debug)]
pub struct Bit {
    /// Probability of `false` in 65536ths, 1 to 65535.
    zero: u32,
    pace: Pace,
}

/// One of 16, with a cumulative distribution that vector instructions update.
///
/// The form of the adaptive distributions of AV1 and of
/// [F. Giesen's rANS](https://fgiesen.wordpress.com/2015/05/26/models-for-adaptive-arithmetic-coding/):
/// every start moves towards where it would be if only the symbol just seen existed.
#[derive(Clone, Debug)]
pub struct Symbols {
    /// Where each symbol starts, in 65536ths; strictly increasing from 0.
    starts: [i32; 16],
    pace: Pace,
}

/// One of 256: the upper four bits, then the lower four in the context of the upper.
#[derive(Clone, Debug, Default)]
pub struct Bytes {
    upper: Symbols,
    lower: [Symbols; 16],
}

/// Integers around zero: 0, -1, 1, … 7 as one of 16 symbols, and larger magnitudes behind an escape
/// as an Elias gamma code with adaptive length bits.
#[derive(Clone, Debug, Default)]
pub struct Integers {
    small: Symbols,
    lengths: Symbols,
}

/// How fast a model moves.
#[derive(Clone, Debug)]
struct Pace {
    seen: u32,
    limit: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { seen: 0, limit: RATE }
    }
}

impl Pace {
    fn new(limit: u32) -> Pace {
        Pace { seen: 0, limit: limit.clamp(3, 12) }
    }

    #[inline(always)]
    fn step(&mut self) -> u32 {
        let rate = 2 + (self.seen + 2).ilog2();
        if rate >= self.limit {
            return self.limit;
        }
        self.seen += 1;
        rate
    }
}

impl Default for Bit {
    fn default() -> Bit {
        Bit::with_rate(RATE)
    }
}

impl Bit {
    /// A model that ends at steps of 2^-`rate` (3 to 12).
    pub fn with_rate(rate: u32) -> Bit {
        Bit { zero: 1 << 15, pace: Pace::new(rate) }
    }

    /// Encodes `bit` and learns from it.
    #[inline(always)]
    pub fn encode(&mut self, encoder: &mut RangeEncoder<'_>, bit: bool) {
        let (start, size) = if bit { (self.zero, (1 << 16) - self.zero) } else { (0, self.zero) };
        encoder.encode(start, size, 16);
        self.learn(bit);
    }

    /// Decodes a bit and learns from it.
    #[inline(always)]
    pub fn decode(&mut self, decoder: &mut RangeDecoder<'_>) -> bool {
        let zero = self.zero;
        let bit = decoder.decode(16, |at| {
            if at >= zero { (true, zero, (1 << 16) - zero) } else { (false, 0, zero) }
        });
        self.learn(bit);
        bit
    }

    #[inline(always)]
    fn learn(&mut self, bit: bool) {
        let rate = self.pace.step();
        if bit {
            self.zero -= self.zero >> rate;
        } else {
            self.zero += ((1 << 16) - self.zero) >> rate;
        }
    }
}

impl Default for Symbols {
    fn default() -> Symbols {
        Symbols::with_rate(RATE)
    }
}

impl Symbols {
    /// A model that ends at steps of 2^-`rate` (3 to 12).
    pub fn with_rate(rate: u32) -> Symbols {
        Symbols { starts: FIRST, pace: Pace::new(rate) }
    }

    /// Encodes a symbol below 16 and learns from it; the upper bits of `symbol` are dropped.
    #[inline(always)]
    pub fn encode(&mut self, encoder: &mut RangeEncoder<'_>, symbol: u8) {
        let symbol = usize::from(symbol & 15);
        let (start, size) = self.extent(symbol);
        encoder.encode(start, size, 16);
        self.learn(symbol);
    }

    /// Decodes a symbol below 16 and learns from it.
    #[inline(always)]
    pub fn decode(&mut self, decoder: &mut RangeDecoder<'_>) -> u8 {
        let symbol = decoder.decode(16, |at| {
            let at = at.cast_signed();
            let upto: i32 = self.starts.iter().map(|start| i32::from(*start <= at)).sum();
            #[allow(clippy::cast_sign_loss)]
            let symbol = (upto - 1) as usize & 15;
            let (start, size) = self.extent(symbol);
            (symbol, start, size)
        });
        self.learn(symbol);
        #[allow(clippy::cast_possible_truncation)]
        {
            symbol as u8
        }
    }

    /// Bits that this symbol takes now, for choices by rate.
    pub fn cost(&self, symbol: u8) -> f32 {
        let (_, size) = self.extent(usize::from(symbol & 15));
        #[allow(clippy::cast_precision_loss)]
        {
            16.0 - (size as f32).log2()
        }
    }

    #[inline(always)]
    fn extent(&self, symbol: usize) -> (u32, u32) {
        let start = self.starts[symbol];
        let end = if symbol == 15 { 1 << 16 } else { self.starts[symbol + 1] };
        (start.cast_unsigned(), (end - start).cast_unsigned())
    }

    /// A start after the symbol moves towards the end of the scale, another one towards its
    /// beginning; targets one apart keep every size at 1 or more.
    #[inline(always)]
    fn learn(&mut self, symbol: usize) {
        let rate = self.pace.step();
        #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
        let symbol = symbol as i32;
        for (i, start) in (0..).zip(&mut self.starts) {
            let target = if i > symbol { i + (1 << 16) - 16 } else { i };
            *start += (target - *start) >> rate;
        }
    }
}

/// All sixteen equally likely.
const FIRST: [i32; 16] = {
    let mut starts = [0; 16];
    let mut i = 1;
    while i < 16 {
        starts[i] = starts[i - 1] + 4096;
        i += 1;
    }
    starts
};

impl Bytes {
    /// A model that ends at steps of 2^-`rate` (3 to 12).
    pub fn with_rate(rate: u32) -> Bytes {
        let model = Symbols::with_rate(rate);
        Bytes { upper: model.clone(), lower: std::array::from_fn(|_| model.clone()) }
    }

    /// Encodes a byte and learns from it.
    #[inline(always)]
    pub fn encode(&mut self, encoder: &mut RangeEncoder<'_>, byte: u8) {
        self.upper.encode(encoder, byte >> 4);
        self.lower[usize::from(byte >> 4)].encode(encoder, byte);
    }

    /// Decodes a byte and learns from it.
    #[inline(always)]
    pub fn decode(&mut self, decoder: &mut RangeDecoder<'_>) -> u8 {
        let upper = self.upper.decode(decoder);
        (upper << 4) | self.lower[usize::from(upper)].decode(decoder)
    }
}

impl Integers {
    /// A model that ends at steps of 2^-`rate` (3 to 12).
    pub fn with_rate(rate: u32) -> Integers {
        let model = Symbols::with_rate(rate);
        Integers { small: model.clone(), lengths: model }
    }

    /// Encodes any integer and learns from it.
    #[inline(always)]
    pub fn encode(&mut self, encoder: &mut RangeEncoder<'_>, value: i32) {
        // 0, -1, 1, -2, 2, … become 0, 1, 2, 3, 4, …
        let index = ((value << 1) ^ (value >> 31)).cast_unsigned();
        if index < ESCAPE {
            #[allow(clippy::cast_possible_truncation)]
            self.small.encode(encoder, index as u8);
        } else {
            self.encode_large(encoder, index - ESCAPE);
        }
    }

    /// Decodes an integer and learns from it.
    #[inline(always)]
    pub fn decode(&mut self, decoder: &mut RangeDecoder<'_>) -> i32 {
        let small = u32::from(self.small.decode(decoder));
        let index = if small < ESCAPE { small } else { self.decode_large(decoder) };
        (index >> 1).cast_signed() ^ -(index & 1).cast_signed()
    }

    #[cold]
    fn encode_large(&mut self, encoder: &mut RangeEncoder<'_>, rest: u32) {
        #[allow(clippy::cast_possible_truncation)]
        self.small.encode(encoder, ESCAPE as u8);
        // At most 2^32 - 15, so its length is at most 31.
        let gamma = rest + 1;
        let length = gamma.ilog2();
        #[allow(clippy::cast_possible_truncation)]
        self.lengths.encode(encoder, (length >> 1) as u8);
        encoder.encode_bits(length, 1);
        encoder.encode_bits(gamma, length);
    }

    #[cold]
    fn decode_large(&mut self, decoder: &mut RangeDecoder<'_>) -> u32 {
        let length = u32::from(self.lengths.decode(decoder)) << 1 | decoder.decode_bits(1);
        let gamma = (1 << length) | decoder.decode_bits(length);
        // Damaged bytes may stand for more than the largest index.
        (gamma - 1).saturating_add(ESCAPE)
    }
}

/// The symbol that says that a larger integer follows.
const ESCAPE: u32 = 15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_model_round_trips(
            values in prop::collection::vec(
                prop_oneof![8 => -20_i32..20, 1 => any::<i32>(), 1 => Just(i32::MIN)], 0..500),
            rate in 3_u32..=12,
        ) {
            let mut bytes = Vec::new();
            let mut encoder = RangeEncoder::new(&mut bytes);
            let mut models = (
                Bit::with_rate(rate),
                Symbols::with_rate(rate),
                Bytes::with_rate(rate),
                Integers::with_rate(rate),
            );
            for value in &values {
                models.0.encode(&mut encoder, *value < 0);
                models.1.encode(&mut encoder, *value as u8);
                models.2.encode(&mut encoder, *value as u8);
                models.3.encode(&mut encoder, *value);
            }
            encoder.finish();
            let mut decoder = RangeDecoder::new(&bytes);
            let mut models = (
                Bit::with_rate(rate),
                Symbols::with_rate(rate),
                Bytes::with_rate(rate),
                Integers::with_rate(rate),
            );
            for value in &values {
                prop_assert_eq!(models.0.decode(&mut decoder), *value < 0);
                prop_assert_eq!(models.1.decode(&mut decoder), *value as u8 & 15);
                prop_assert_eq!(models.2.decode(&mut decoder), *value as u8);
                prop_assert_eq!(models.3.decode(&mut decoder), *value);
            }
            prop_assert!(decoder.finish().is_ok());
        }

        #[test]
        fn any_bytes_decode_to_something(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut decoder = RangeDecoder::new(&bytes);
            let (mut integers, mut bit) = (Integers::default(), Bit::default());
            for _ in 0..100 {
                integers.decode(&mut decoder);
                bit.decode(&mut decoder);
            }
        }

        #[test]
        fn starts_stay_strictly_increasing(
            symbols in prop::collection::vec(0_usize..16, 0..3000), rate in 3_u32..=12,
        ) {
            let mut model = Symbols::with_rate(rate);
            for symbol in symbols {
                model.learn(symbol);
                prop_assert!(model.starts.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(model.starts[0] == 0 && model.starts[15] < 1 << 16);
            }
        }
    }

    #[test]
    fn a_skewed_source_costs_little_more_than_its_entropy() {
        // Geometric around zero, as the codes of an even grid are: entropy 2.085 bits.
        let mut state = 1_u64;
        let values: Vec<i32> = (0..50_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let bits = (state >> 33) as u32;
                let magnitude = (bits >> 1).trailing_ones().min(12) as i32;
                if bits & 1 == 1 { magnitude } else { -magnitude }
            })
            .collect();
        let mut counts = [0_u32; 25];
        values.iter().for_each(|value| counts[(value + 12) as usize] += 1);
        let share = |count: &u32| f64::from(*count) / values.len() as f64;
        let entropy: f64 =
            counts.iter().filter(|count| **count > 0).map(|c| -share(c) * share(c).log2()).sum();
        let mut bytes = Vec::new();
        let mut encoder = RangeEncoder::new(&mut bytes);
        let mut model = Integers::default();
        values.iter().for_each(|value| model.encode(&mut encoder, *value));
        encoder.finish();
        let bits = bytes.len() as f64 * 8.0 / values.len() as f64;
        assert!(bits < entropy + 0.06, "{bits} {entropy}");
    }
}
