//! Reads stored codes as values before scaling, a few rows at a time: bytes, nibbles and packed integers.

use super::aqlm::Sums;
use super::numbers;
use super::vptq::Vectors;

/// Where a weight's codes are stored and what value each represents. Lengths have been checked against the
/// shape.
pub(super) enum Codes<'a> {
    /// One byte per value, row-major.
    Bytes { bytes: &'a [u8], values: &'static [f32; 256] },
    /// Two values per byte, row-major over the whole tensor.
    Nibbles { bytes: &'a [u8], values: [f32; 16], first_is_high: bool },
    /// Integers in 32-bit words along the inputs: `[out, words]`.
    Rows { words: &'a [[u8; 4]], words_per_row: usize, packing: Packing, offset: f32 },
    /// Integers in 32-bit words along the inputs, words of one input range side by side: `[words, out]` (GPTQ).
    Columns { words: &'a [[u8; 4]], outputs: usize, packing: Packing },
    /// Eight 4-bit integers per word, one for each of eight outputs: `[in, out / 8]`.
    Interleaved { words: &'a [[u8; 4]], words_per_input: usize, octets: Octets },
    /// Integers of the flattened tensor, those of several rows of a matrix in one byte or word.
    Stacked(Items<'a>, Stacked),
    /// Sums of vectors from codebooks.
    Sums(Sums<'a>),
    /// Vectors along the outputs, from codebooks.
    Vectors(Vectors<'a>),
    /// Eight-byte IEEE doubles, row-major.
    Doubles { bytes: &'a [[u8; 8]] },
}

impl Codes<'_> {
    /// Number of rows that share memory, so that they are best read together.
    pub(super) fn rows_together(&self) -> usize {
        match self {
            // The number of words in a cache line.
            Self::Columns { .. } => 16,
            Self::Interleaved { .. } => 64,
            _ => 1,
        }
    }

    /// Writes the values of rows `first..`, each of `columns` values, as many rows as fit into `out`.
    pub(super) fn read(&self, first: usize, columns: usize, out: &mut [f32]) {
        match self {
            Self::Bytes { bytes, values } => {
                for (value, byte) in out.iter_mut().zip(&bytes[first * columns..]) {
                    *value = values[usize::from(*byte)];
                }
            }
            Self::Doubles { bytes } => {
                for (value, bytes) in out.iter_mut().zip(&bytes[first * columns..]) {
                    *value = f64::from_le_bytes(*bytes) as f32;
                }
            }
            Self::Vectors(vectors) => vectors.read(first, columns, out),
            Self::Sums(sums) => sums.read(first, columns, out),
            Self::Stacked(items, stacked) => stacked.read(items, first * columns, out),
            Self::Nibbles { bytes, values, first_is_high } => {
                let start = first * columns;
                for (at, value) in out.iter_mut().enumerate() {
                    let index = start + at;
                    let high = index.is_multiple_of(2) == *first_is_high;
                    let byte = bytes[index / 2];
                    *value = values[usize::from(if high { byte >> 4 } else { byte & 15 })];
                }
            }
            Self::Rows { words, words_per_row, packing, offset } => {
                for (row, out) in out.chunks_mut(columns).enumerate() {
                    let words = &words[(first + row) * words_per_row..][..*words_per_row];
                    for (column, value) in out.iter_mut().enumerate() {
                        *value = packing.get(column, |word| words[word]) as f32 - offset;
                    }
                }
            }
            Self::Columns { words, outputs, packing } => {
                for column in 0..columns {
                    for (row, out) in out.chunks_mut(columns).enumerate() {
                        let at = first + row;
                        out[column] = packing.get(column, |word| words[word * outputs + at]) as f32;
                    }
                }
            }
            Self::Interleaved { words, words_per_input, octets } => {
                for column in 0..columns {
                    let words = &words[column * words_per_input..][..*words_per_input];
                    for (row, out) in out.chunks_mut(columns).enumerate() {
                        out[column] = octets.get(words, first + row);
                    }
                }
            }
        }
    }
}

/// What [`Stacked`] integers share.
pub(super) enum Items<'a> {
    Bytes(&'a [u8]),
    Words(&'a [[u8; 4]]),
}

/// Integers of a matrix, in which each row of items holds `parts` rows that are `rows` apart.
#[derive(Clone, Copy)]
pub(super) struct Stacked {
    /// Bits per value, 1 to 8.
    pub(super) bits: u32,
    /// Number of values per item.
    pub(super) parts: usize,
    /// Columns of the matrix.
    pub(super) width: usize,
    /// Rows of items.
    pub(super) rows: usize,
    /// Whether the first of an item's values lies in its highest bits.
    pub(super) first_is_high: bool,
    /// Subtracted from each value.
    pub(super) offset: f32,
}

impl Stacked {
    /// Number of bytes that items of `item` bytes take, or `None` if that overflows.
    pub(super) fn bytes(self, item: usize) -> Option<usize> {
        self.rows.checked_mul(self.width)?.checked_mul(item)
    }

    /// Writes the values from `start` on, counted through the flattened matrix.
    fn read(self, items: &Items<'_>, start: usize, out: &mut [f32]) {
        let mut done = 0;
        while done < out.len() {
            let (row, column) = ((start + done) / self.width, (start + done) % self.width);
            let count = (self.width - column).min(out.len() - done);
            let out = &mut out[done..done + count];
            let part = row / self.rows;
            let part = if self.first_is_high { self.parts - 1 - part } else { part };
            let (shift, mask) = (part as u32 * self.bits, (1u32 << self.bits) - 1);
            let first = row % self.rows * self.width + column;
            let value = |item: u32| (item >> shift & mask) as f32 - self.offset;
            match items {
                Items::Bytes(bytes) => {
                    for (out, byte) in out.iter_mut().zip(&bytes[first..]) {
                        *out = value(u32::from(*byte));
                    }
                }
                Items::Words(words) => {
                    for (out, word) in out.iter_mut().zip(&words[first..]) {
                        *out = value(u32::from_le_bytes(*word));
                    }
                }
            }
            done += count;
        }
    }
}

/// How integers of `bits` bits fill 32-bit words, lowest bits first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packing {
    /// Bits per value, 1 to 8.
    bits: u32,
    /// Whether the values form one stream without gaps; otherwise a word holds only whole values and its upper
    /// bits may be unused.
    dense: bool,
}

impl Packing {
    /// A packing in which values may straddle words.
    pub(super) const fn dense(bits: u32) -> Self {
        Self { bits, dense: true }
    }

    /// A packing in which values stay within a word.
    pub(super) const fn whole_values(bits: u32) -> Self {
        Self { bits, dense: false }
    }

    /// Number of words that `values` values take, or `None` if that overflows.
    pub(super) fn words(self, values: usize) -> Option<usize> {
        if self.dense {
            values.checked_mul(self.bits as usize).map(|bits| bits.div_ceil(32))
        } else {
            Some(values.div_ceil((32 / self.bits) as usize))
        }
    }

    /// The value at `index`; `word` returns the stored words.
    pub(super) fn get(self, index: usize, word: impl Fn(usize) -> [u8; 4]) -> u32 {
        let mask = (1u32 << self.bits) - 1;
        let word = |at| u32::from_le_bytes(word(at));
        if !self.dense {
            let per_word = (32 / self.bits) as usize;
            let shift = (index % per_word) as u32 * self.bits;
            return word(index / per_word) >> shift & mask;
        }
        let bit = index * self.bits as usize;
        let (at, shift) = (bit / 32, (bit % 32) as u32);
        let low = word(at) >> shift;
        if shift + self.bits <= 32 {
            return low & mask;
        }
        (low | word(at + 1) << (32 - shift)) & mask
    }
}

/// How eight 4-bit integers share a word.
#[derive(Clone, Copy)]
pub(super) struct Octets {
    /// The nibble of each of the eight.
    pub(super) nibbles: [u32; 8],
    /// Whether they are signed.
    pub(super) signed: bool,
}

impl Octets {
    /// AWQ's order: nibble `k` holds integer `[0, 2, 4, 6, 1, 3, 5, 7][k]`.
    pub(super) const AWQ: Self = Self { nibbles: [0, 4, 1, 5, 2, 6, 3, 7], signed: false };

    /// The integer at `index` of a row of words.
    pub(super) fn get(self, words: &[[u8; 4]], index: usize) -> f32 {
        let word = u32::from_le_bytes(words[index / 8]);
        let nibble = word >> (4 * self.nibbles[index % 8]) & 15;
        // Two's complement is the excess of 8 with its highest bit flipped.
        if self.signed { (nibble ^ 8) as f32 - 8.0 } else { nibble as f32 }
    }
}

/// Bytes as signed 8-bit integers.
pub(super) fn signed_bytes(bytes: &[u8]) -> Codes<'_> {
    Codes::Bytes { bytes, values: &numbers::I8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(values: &[u32], packing: Packing) -> Vec<[u8; 4]> {
        let mut words = vec![0u32; packing.words(values.len()).unwrap()];
        for (index, &value) in values.iter().enumerate() {
            let bit = if packing.dense {
                index * packing.bits as usize
            } else {
                let per_word = (32 / packing.bits) as usize;
                index / per_word * 32 + index % per_word * packing.bits as usize
            };
            let wide = u64::from(value) << (bit % 32);
            words[bit / 32] |= wide as u32;
            if wide >> 32 != 0 {
                words[bit / 32 + 1] |= (wide >> 32) as u32;
            }
        }
        words.iter().map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn every_width_comes_back_from_both_packings() {
        for bits in 1..=8 {
            let values: Vec<u32> = (0..77u32)
                .map(|n| n.wrapping_mul(2_654_435_761) >> 7 & ((1 << bits) - 1))
                .collect();
            for packing in [Packing::dense(bits), Packing::whole_values(bits)] {
                let words = pack(&values, packing);
                let found: Vec<u32> =
                    (0..values.len()).map(|index| packing.get(index, |word| words[word])).collect();
                assert_eq!(found, values, "{packing:?}");
            }
        }
    }

    #[test]
    fn word_counts_follow_the_packing() {
        assert_eq!(Packing::dense(3).words(32), Some(3));
        assert_eq!(Packing::whole_values(3).words(32), Some(4));
        assert_eq!(Packing::dense(8).words(usize::MAX), None);
    }

    #[test]
    fn nibbles_start_at_either_end() {
        let mut values = [0.0; 16];
        (0..16).for_each(|n| values[n] = n as f32);
        let bytes = [0x21, 0x43, 0x65];
        let mut out = [0.0; 3];
        Codes::Nibbles { bytes: &bytes, values, first_is_high: false }.read(1, 3, &mut out);
        assert_eq!(out, [4.0, 5.0, 6.0]);
        Codes::Nibbles { bytes: &bytes, values, first_is_high: true }.read(1, 3, &mut out);
        assert_eq!(out, [3.0, 6.0, 5.0]);
    }
}
