//! Bit packing, least significant bit first: the first code is in the lowest bits of the first byte.
//!
//! [`pack`] and [`unpack`] handle codes of 1 to 8 bits in bulk; [`BitWriter`] and [`BitReader`]
//! handle fields of any width up to 32 bits, one at a time.

use strait_sdk::{Error, Result};

/// Bytes that `count` codes of `width` bits take.
pub const fn packed_bytes(width: u32, count: usize) -> usize {
    (count / 8) * width as usize + ((count % 8) * width as usize).div_ceil(8)
}

/// Packs codes of `width` bits (1 to 8); bits above the width are dropped.
///
/// # Panics
/// When `width` is not 1 to 8.
pub fn pack(width: u32, codes: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    pack_into(width, codes, &mut bytes);
    bytes
}

/// Appends packed codes of `width` bits (1 to 8) to `bytes`; bits above the width are dropped.
///
/// Inlined into its caller, so that [`vectorize`](strait_sdk::simd::vectorize) reaches it.
///
/// # Panics
/// When `width` is not 1 to 8.
#[inline(always)]
pub fn pack_into(width: u32, codes: &[u8], bytes: &mut Vec<u8>) {
    let start = bytes.len();
    bytes.resize(start + packed_bytes(width, codes.len()), 0);
    let out = &mut bytes[start..];
    match width {
        1 => pack_width::<1>(codes, out),
        2 => pack_width::<2>(codes, out),
        3 => pack_width::<3>(codes, out),
        4 => pack_nibbles(codes, out),
        5 => pack_width::<5>(codes, out),
        6 => pack_width::<6>(codes, out),
        7 => pack_width::<7>(codes, out),
        8 => out.copy_from_slice(codes),
        _ => wrong_width(width),
    }
}

/// Unpacks `count` codes of `width` bits (1 to 8).
///
/// # Errors
/// When `bytes` has not exactly [`packed_bytes`] bytes.
///
/// # Panics
/// When `width` is not 1 to 8.
pub fn unpack(width: u32, bytes: &[u8], count: usize) -> Result<Vec<u8>> {
    // Checked first, so that a hostile count allocates nothing.
    Error::check_payload_length(packed_bytes(width, count), bytes.len())?;
    let mut codes = vec![0; count];
    unpack_into(width, bytes, &mut codes)?;
    Ok(codes)
}

/// Unpacks codes of `width` bits (1 to 8) until `codes` is full.
///
/// Inlined into its caller, so that [`vectorize`](strait_sdk::simd::vectorize) reaches it.
///
/// # Errors
/// When `bytes` has not exactly [`packed_bytes`] bytes.
///
/// # Panics
/// When `width` is not 1 to 8.
#[inline(always)]
pub fn unpack_into(width: u32, bytes: &[u8], codes: &mut [u8]) -> Result<()> {
    Error::check_payload_length(packed_bytes(width, codes.len()), bytes.len())?;
    match width {
        1 => unpack_width::<1>(bytes, codes),
        2 => unpack_width::<2>(bytes, codes),
        3 => unpack_width::<3>(bytes, codes),
        4 => unpack_nibbles(bytes, codes),
        5 => unpack_width::<5>(bytes, codes),
        6 => unpack_width::<6>(bytes, codes),
        7 => unpack_width::<7>(bytes, codes),
        8 => codes.copy_from_slice(bytes),
        _ => wrong_width(width),
    }
    Ok(())
}

/// Eight codes of `W` bits are exactly `W` bytes: one 64-bit word moves them.
#[inline(always)]
fn pack_width<const W: usize>(codes: &[u8], bytes: &mut [u8]) {
    let (whole, rest) = codes.as_chunks::<8>();
    let (whole_bytes, rest_bytes) = bytes.split_at_mut(whole.len() * W);
    for (codes, bytes) in whole.iter().zip(whole_bytes.as_chunks_mut::<W>().0) {
        bytes.copy_from_slice(&word_of::<W>(codes).to_le_bytes()[..W]);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    rest_bytes.copy_from_slice(&word_of::<W>(&last).to_le_bytes()[..rest_bytes.len()]);
}

#[inline(always)]
fn unpack_width<const W: usize>(bytes: &[u8], codes: &mut [u8]) {
    let (whole, rest) = codes.as_chunks_mut::<8>();
    let (whole_bytes, rest_bytes) = bytes.split_at(whole.len() * W);
    for (codes, bytes) in whole.iter_mut().zip(whole_bytes.as_chunks::<W>().0) {
        *codes = codes_of::<W>(bytes);
    }
    let last = codes_of::<W>(rest_bytes);
    rest.copy_from_slice(&last[..rest.len()]);
}

#[inline(always)]
fn word_of<const W: usize>(codes: &[u8; 8]) -> u64 {
    let mask = (1_u64 << W) - 1;
    let mut word = 0;
    for (i, code) in codes.iter().enumerate() {
        word |= (u64::from(*code) & mask) << (i * W);
    }
    word
}

#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
fn codes_of<const W: usize>(bytes: &[u8]) -> [u8; 8] {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    let word = u64::from_le_bytes(word);
    let mask = (1_u64 << W) - 1;
    std::array::from_fn(|i| ((word >> (i * W)) & mask) as u8)
}

#[inline(always)]
fn pack_nibbles(codes: &[u8], bytes: &mut [u8]) {
    let (pairs, rest) = codes.as_chunks::<2>();
    for (pair, byte) in pairs.iter().zip(bytes.iter_mut()) {
        *byte = (pair[0] & 15) | (pair[1] << 4);
    }
    if let ([code], Some(byte)) = (rest, bytes.last_mut()) {
        *byte = code & 15;
    }
}

#[inline(always)]
fn unpack_nibbles(bytes: &[u8], codes: &mut [u8]) {
    let (pairs, rest) = codes.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = [byte & 15, byte >> 4];
    }
    if let ([code], Some(byte)) = (rest, bytes.last()) {
        *code = byte & 15;
    }
}

#[cold]
#[allow(clippy::panic)]
fn wrong_width(width: u32) -> ! {
    panic!("bit packing: expected a width of 1 to 8 bits, found {width}")
}

/// Appends fields of up to 32 bits to a payload.
#[derive(Debug)]
pub struct BitWriter<'a> {
    bytes: &'a mut Vec<u8>,
    word: u64,
    bits: u32,
}

impl<'a> BitWriter<'a> {
    /// Appends to `bytes`, starting at a byte boundary.
    pub fn new(bytes: &'a mut Vec<u8>) -> Self {
        BitWriter { bytes, word: 0, bits: 0 }
    }

    /// Appends the lowest `width` bits of `value`; `width` is at most 32.
    #[inline]
    pub fn put(&mut self, value: u32, width: u32) {
        debug_assert!(width <= 32);
        self.word |= (u64::from(value) & ((1 << width) - 1)) << self.bits;
        self.bits += width;
        if self.bits >= 32 {
            self.bytes.extend_from_slice(&self.word.to_le_bytes()[..4]);
            self.word >>= 32;
            self.bits -= 32;
        }
    }

    /// Writes the last, partly filled byte; its unused bits are 0.
    pub fn finish(self) {
        let bytes = self.bits.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.word.to_le_bytes()[..bytes]);
    }
}

/// Reads fields of up to 32 bits from a payload.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    next: usize,
    word: u64,
    bits: u32,
}

impl<'a> BitReader<'a> {
    /// Reads from the first bit of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, next: 0, word: 0, bits: 0 }
    }

    /// Reads `width` bits; `width` is at most 32.
    ///
    /// # Errors
    /// When the payload ends before.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    pub fn get(&mut self, width: u32) -> Result<u32> {
        debug_assert!(width <= 32);
        while self.bits < width {
            let Some(byte) = self.bytes.get(self.next) else {
                return Err(Error::new(format!(
                    "payload: expected {width} more bits, found {} at its end",
                    self.bits
                )));
            };
            self.word |= u64::from(*byte) << self.bits;
            self.bits += 8;
            self.next += 1;
        }
        let value = self.word & ((1 << width) - 1);
        self.word >>= width;
        self.bits -= width;
        Ok(value as u32)
    }

    /// Ends the reading: only 0 bits that fill up the last byte may be left.
    ///
    /// # Errors
    /// When whole bytes or bits that are 1 are left.
    pub fn finish(self) -> Result<()> {
        Error::check_payload_length(self.next, self.bytes.len())?;
        if self.word == 0 {
            Ok(())
        } else {
            Err("payload: its last byte has bits set past its end".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pack_is_what_the_bit_writer_writes(
            width in 1_u32..=8,
            codes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let packed = pack(width, &codes);
            let mut written = Vec::new();
            let mut writer = BitWriter::new(&mut written);
            for code in &codes {
                writer.put(u32::from(*code), width);
            }
            writer.finish();
            prop_assert_eq!(&packed, &written);
            prop_assert_eq!(packed.len(), packed_bytes(width, codes.len()));
            let mask = ((1_u32 << width) - 1) as u8;
            let masked: Vec<u8> = codes.iter().map(|code| code & mask).collect();
            prop_assert_eq!(unpack(width, &packed, codes.len()).unwrap(), masked);
        }

        #[test]
        fn fields_round_trip(fields in prop::collection::vec((any::<u32>(), 0_u32..=32), 0..100)) {
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            for (value, width) in &fields {
                writer.put(*value, *width);
            }
            writer.finish();
            let mut reader = BitReader::new(&bytes);
            for (value, width) in &fields {
                let expected = u64::from(*value) & ((1_u64 << width) - 1);
                prop_assert_eq!(u64::from(reader.get(*width).unwrap()), expected);
            }
            prop_assert!(reader.finish().is_ok());
        }
    }

    #[test]
    fn wrong_lengths_are_errors() {
        assert_eq!(unpack(4, &[0; 3], 7).unwrap_err(), Error::payload_length(4, 3));
        assert!(unpack(3, &[0; 2], usize::MAX / 4).is_err());
        assert!(BitReader::new(&[1]).get(9).is_err());
        assert!(BitReader::new(&[0, 0]).finish().is_err());
    }
}
