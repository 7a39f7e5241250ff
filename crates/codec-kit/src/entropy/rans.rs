//! Static coding of bytes: frequencies in 4096ths, then the symbols in four interleaved lanes.
//!
//! The range variant of asymmetric numeral systems ([J. Duda, 2013](https://arxiv.org/abs/1311.2540))
//! with 32-bit states x in [2^16, 2^32) and words of 16 bits. A symbol of frequency f that starts at c takes x to
//! 4096 ⌊x/f⌋ + c + x mod f; a state that would overflow sends its lower word first. Symbols are
//! encoded last to first, symbol i in lane i mod 4, so that the decoder goes forwards.
//!
//! Coded symbols: the four final states, little-endian, then the words in the order of the decoder,
//! which must end with every state at 2^16 and no word left. [`Frequencies::write`] gives the smallest
//! and the largest symbol (8 bits each), and f + 1 of every symbol between them as an Elias gamma code.

use strait_sdk::{Error, Result};

use crate::bits::{BitReader, BitWriter};

/// Frequencies add up to 2^12.
const BITS: u32 = 12;
const TOTAL: u32 = 1 << BITS;

/// The smallest state, and the one that encoding starts from.
const FIRST: u32 = 1 << 16;

const LANES: usize = 4;

/// How often each byte occurs, in 4096ths; the frequencies add up to 4096.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frequencies {
    sizes: [u16; 256],
    starts: [u16; 256],
}

/// Counts the symbols.
pub fn count(symbols: &[u8]) -> [u32; 256] {
    // Four tables, because a run of equal symbols would wait for its own last store.
    let mut counts = [[0_u32; 256]; LANES];
    let (whole, rest) = symbols.as_chunks::<LANES>();
    for chunk in whole {
        for (counts, symbol) in counts.iter_mut().zip(chunk) {
            counts[usize::from(*symbol)] += 1;
        }
    }
    for symbol in rest {
        counts[0][usize::from(*symbol)] += 1;
    }
    std::array::from_fn(|symbol| counts.iter().map(|counts| counts[symbol]).sum())
}

impl Frequencies {
    /// Frequencies in proportion to counts, at least 1 wherever the count is; `None` when every
    /// count is 0.
    #[allow(clippy::cast_possible_truncation)]
    pub fn of(counts: &[u32; 256]) -> Option<Frequencies> {
        let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
        if total == 0 {
            return None;
        }
        let mut sizes = counts.map(|count| {
            let share = (u64::from(count) * u64::from(TOTAL) + total / 2) / total;
            if count == 0 { 0 } else { (share as u16).max(1) }
        });
        // What rounding left over goes to, or comes from, the most frequent symbols in turn.
        let mut order: Vec<usize> = (0..256).filter(|symbol| sizes[*symbol] > 0).collect();
        order.sort_by_key(|symbol| std::cmp::Reverse(sizes[*symbol]));
        let mut left = i64::from(TOTAL) - sizes.iter().map(|size| i64::from(*size)).sum::<i64>();
        for symbol in order.iter().cycle() {
            match left {
                0 => break,
                1.. => {
                    sizes[*symbol] += 1;
                    left -= 1;
                }
                _ if sizes[*symbol] > 1 => {
                    sizes[*symbol] -= 1;
                    left += 1;
                }
                _ => {}
            }
        }
        Some(Frequencies::from_sizes(sizes))
    }

    fn from_sizes(sizes: [u16; 256]) -> Frequencies {
        let mut next = 0;
        let starts = sizes.map(|size| {
            let start = next;
            next += size;
            start
        });
        Frequencies { sizes, starts }
    }

    /// Bytes that symbols of these counts take with these frequencies, without the table; a few more or
    /// fewer than [`encode`] writes. Infinite when a symbol of frequency 0 is among them.
    #[allow(clippy::cast_precision_loss)]
    pub fn coded_bytes(&self, counts: &[u32; 256]) -> f64 {
        let bits: f64 = counts
            .iter()
            .zip(self.sizes)
            .filter(|(count, _)| **count > 0)
            .map(|(count, size)| f64::from(*count) * (f64::from(BITS) - f64::from(size).log2()))
            .sum();
        bits / 8.0 + (4 * LANES) as f64
    }

    /// Appends the table, a whole number of bytes.
    #[allow(clippy::cast_possible_truncation)]
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let first = self.sizes.iter().position(|size| *size > 0).unwrap_or(0);
        let last = self.sizes.iter().rposition(|size| *size > 0).unwrap_or(0);
        let mut writer = BitWriter::new(bytes);
        writer.put(first as u32, 8);
        writer.put(last as u32, 8);
        for size in &self.sizes[first..=last] {
            let gamma = u32::from(*size) + 1;
            let length = gamma.ilog2();
            // Zeros, a one, and the lower bits.
            writer.put(1 << length, length + 1);
            writer.put(gamma, length);
        }
        writer.finish();
    }

    /// Reads a table from the start of `bytes`, and returns what follows it.
    ///
    /// # Errors
    /// Bytes that [`write`](Frequencies::write) cannot have written.
    #[allow(clippy::cast_possible_truncation)]
    pub fn read(bytes: &[u8]) -> Result<(Frequencies, &[u8])> {
        let mut reader = BitReader::new(bytes);
        let (first, last) = (reader.get(8)? as usize, reader.get(8)? as usize);
        let mut sizes = [0; 256];
        let (mut bits, mut total) = (16, 0);
        for size in sizes.get_mut(first..=last).unwrap_or_default() {
            let mut length = 0;
            while reader.get(1)? == 0 && length <= BITS {
                length += 1;
            }
            let gamma = (1 << length) | reader.get(length)?;
            bits += 2 * length as usize + 1;
            total += gamma - 1;
            *size = (gamma - 1) as u16;
        }
        if total != TOTAL || sizes[first] == 0 || sizes[last] == 0 {
            return Err(Error::new(format!(
                "rans: expected frequencies of {first} to {last} that add up to {TOTAL}, found {total}"
            )));
        }
        Ok((Frequencies::from_sizes(sizes), &bytes[bits.div_ceil(8)..]))
    }
}

/// A symbol as the encoder needs it.
#[derive(Clone, Copy, Default)]
struct Step {
    /// ⌈2^44 / f⌉: x · inverse / 2^44 is exactly ⌊x / f⌋ for x below 2^20 f, f up to 2^12.
    inverse: u64,
    /// A state from here on sends a word first: 2^20 f.
    limit: u64,
    start: u32,
    /// 4096 - f.
    rest: u32,
}

/// Appends the coded symbols; every symbol must have a frequency above 0, or the bytes stand for
/// other symbols.
#[allow(clippy::cast_possible_truncation)]
pub fn encode(frequencies: &Frequencies, symbols: &[u8], bytes: &mut Vec<u8>) {
    let steps: Box<[Step; 256]> = Box::new(std::array::from_fn(|symbol| {
        let size = u64::from(frequencies.sizes[symbol].max(1));
        Step {
            inverse: (1_u64 << 44).div_ceil(size),
            limit: size << (32 - BITS),
            start: frequencies.starts[symbol].into(),
            rest: TOTAL - size as u32,
        }
    }));
    let mut states = [FIRST; LANES];
    let mut words: Vec<u16> = vec![0; symbols.len()];
    let mut at = words.len();
    let mut put = |state: &mut u32, symbol: u8| {
        let step = &steps[usize::from(symbol)];
        let mut x = *state;
        // At most one word a symbol; a word that was not needed is overwritten.
        let sends = u64::from(x) >= step.limit;
        if let Some(word) = words.get_mut(at.wrapping_sub(1)) {
            *word = x as u16;
        }
        at -= usize::from(sends);
        x = if sends { x >> 16 } else { x };
        let quotient = (u64::from(x).wrapping_mul(step.inverse) >> 44) as u32;
        *state = x.wrapping_add(step.start).wrapping_add(quotient.wrapping_mul(step.rest));
    };
    let (whole, rest) = symbols.as_chunks::<LANES>();
    for (state, symbol) in states.iter_mut().zip(rest).rev() {
        put(state, *symbol);
    }
    for chunk in whole.iter().rev() {
        for (state, symbol) in states.iter_mut().zip(chunk).rev() {
            put(state, *symbol);
        }
    }
    states.iter().for_each(|state| bytes.extend_from_slice(&state.to_le_bytes()));
    bytes.extend(words[at..].iter().flat_map(|word| word.to_le_bytes()));
}

/// Decodes symbols until `symbols` is full.
///
/// # Errors
/// Bytes that [`encode`] cannot have written for so many symbols.
pub fn decode(frequencies: &Frequencies, bytes: &[u8], symbols: &mut [u8]) -> Result<()> {
    let slots = slots(frequencies);
    let wrong = || Error::new(format!("rans: {} bytes are not the coded symbols", bytes.len()));
    let (states, words) = bytes.split_at_checked(4 * LANES).ok_or_else(wrong)?;
    let mut lanes = [0; LANES];
    for (lane, bytes) in lanes.iter_mut().zip(states.as_chunks().0) {
        *lane = u32::from_le_bytes(*bytes);
    }
    let (words, odd) = words.as_chunks::<2>();
    let mut at = 0;
    let mut take = |state: &mut u32| {
        let slot = slots[(*state & (TOTAL - 1)) as usize];
        let x = (slot.size.wrapping_mul(*state >> BITS)).wrapping_add(slot.offset.into());
        let needs = x < FIRST;
        // Behind the end there are zeros; the check below finds that too many were read.
        let word = words.get(at).map_or(0, |word| u16::from_le_bytes(*word));
        *state = if needs { (x << 16) | u32::from(word) } else { x };
        at += usize::from(needs);
        slot.symbol
    };
    let (whole, rest) = symbols.as_chunks_mut::<LANES>();
    for chunk in whole {
        for (state, symbol) in lanes.iter_mut().zip(chunk) {
            *symbol = take(state);
        }
    }
    for (state, symbol) in lanes.iter_mut().zip(rest) {
        *symbol = take(state);
    }
    if lanes == [FIRST; LANES] && at == words.len() && odd.is_empty() {
        Ok(())
    } else {
        Err(wrong())
    }
}

/// One of 4096 remainders as the decoder needs it.
#[derive(Clone, Copy, Default)]
struct Slot {
    size: u32,
    offset: u16,
    symbol: u8,
}

#[allow(clippy::cast_possible_truncation)]
fn slots(frequencies: &Frequencies) -> Box<[Slot; TOTAL as usize]> {
    let mut slots = Box::new([Slot::default(); TOTAL as usize]);
    for (symbol, (size, start)) in frequencies.sizes.iter().zip(frequencies.starts).enumerate() {
        for (offset, slot) in
            slots[usize::from(start)..][..usize::from(*size)].iter_mut().enumerate()
        {
            *slot = Slot { size: (*size).into(), offset: offset as u16, symbol: symbol as u8 };
        }
    }
    slots
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(symbols: &[u8]) -> (usize, f64) {
        let counts = count(symbols);
        let frequencies = Frequencies::of(&counts).unwrap();
        let mut bytes = Vec::new();
        frequencies.write(&mut bytes);
        let table = bytes.len();
        encode(&frequencies, symbols, &mut bytes);
        let (read, rest) = Frequencies::read(&bytes).unwrap();
        assert_eq!(read, frequencies);
        assert_eq!(rest.len(), bytes.len() - table);
        let mut back = vec![0; symbols.len()];
        decode(&read, rest, &mut back).unwrap();
        assert_eq!(back, symbols);
        for cut in [0, 15, rest.len() / 2, rest.len() - 1] {
            assert!(decode(&read, &rest[..cut], &mut back).is_err());
        }
        assert!(decode(&read, &[rest, &[0, 0]].concat(), &mut back).is_err());
        (rest.len(), frequencies.coded_bytes(&counts))
    }

    proptest! {
        #[test]
        fn symbols_of_every_skew_come_back(
            symbols in prop::collection::vec(any::<u8>(), 1..3000),
            shift in 0_u32..8,
            rare in any::<u8>(),
        ) {
            let mut symbols: Vec<u8> = symbols.iter().map(|symbol| symbol >> shift).collect();
            symbols.push(rare);
            let (bytes, estimate) = round_trip(&symbols);
            prop_assert!((bytes as f64 - estimate).abs() <= 12.0, "{bytes} {estimate}");
        }

        #[test]
        fn any_table_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok((frequencies, rest)) = Frequencies::read(&bytes) {
                let mut symbols = [0; 50];
                let _ = decode(&frequencies, rest, &mut symbols);
            }
        }

        #[test]
        fn any_bytes_decode_to_something(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let frequencies = Frequencies::of(&count(&[1, 2, 2, 3, 3, 3, 3])).unwrap();
            let mut symbols = [0; 70];
            let _ = decode(&frequencies, &bytes, &mut symbols);
        }
    }

    #[test]
    fn one_symbol_alone_takes_no_words() {
        assert_eq!(round_trip(&[7; 1000]).0, 16);
        assert_eq!(Frequencies::of(&[0; 256]), None);
    }

    #[test]
    fn rare_symbols_keep_a_frequency() {
        let mut symbols = vec![0_u8; 1_000_000];
        symbols.extend(0..=255);
        round_trip(&symbols);
    }
}
