//! A block format, and rows of blocks.

use strait_codec_kit::minifloat::F16;
use strait_sdk::simd::vectorize;

/// A format of blocks of `VALUES` values in `BYTES` bytes.
pub(crate) trait Block<const VALUES: usize, const BYTES: usize> {
    /// Writes a block of finite values.
    fn quantize(values: &[f32; VALUES], block: &mut [u8; BYTES]);

    /// Reads a block; false when a scale is not finite.
    fn dequantize(block: &[u8; BYTES], values: &mut [f32; VALUES]) -> bool;
}

/// Values of a small block.
pub(crate) const SMALL: usize = 32;
/// Values of a large block.
pub(crate) const LARGE: usize = 256;

/// Encodes and decodes whole blocks of one format.
#[derive(Clone, Copy, Debug)]
struct Run {
    values: usize,
    bytes: usize,
    encode: fn(&[f32], &mut [u8]),
    decode: fn(&[u8], &mut [f32]) -> bool,
}

impl Run {
    fn of<B: Block<VALUES, BYTES>, const VALUES: usize, const BYTES: usize>() -> Run {
        Run {
            values: VALUES,
            bytes: BYTES,
            encode: encode::<B, VALUES, BYTES>,
            decode: decode::<B, VALUES, BYTES>,
        }
    }
}

/// The format of what is left of a row after its large blocks, or of the whole row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail(Run);

impl Tail {
    /// Small blocks of this format.
    pub(crate) fn of<B: Block<SMALL, BYTES>, const BYTES: usize>() -> Tail {
        Tail(Run::of::<B, SMALL, BYTES>())
    }
}

/// How a row is cut into blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    large: Option<Run>,
    small: Run,
}

impl Rows {
    /// Small blocks alone.
    pub(crate) fn small(tail: Tail) -> Rows {
        Rows { large: None, small: tail.0 }
    }

    /// Large blocks, then small ones.
    pub(crate) fn large<B: Block<LARGE, BYTES>, const BYTES: usize>(tail: Tail) -> Rows {
        Rows { large: Some(Run::of::<B, LARGE, BYTES>()), small: tail.0 }
    }

    /// Bytes of a row.
    pub(crate) fn bytes(&self, channels: usize) -> usize {
        let (values, bytes) = self.large_part(channels);
        bytes + (channels - values).div_ceil(self.small.values) * self.small.bytes
    }

    /// Values and bytes of the large blocks of a row.
    fn large_part(&self, channels: usize) -> (usize, usize) {
        self.large.map_or((0, 0), |run| {
            let blocks = channels / run.values;
            (blocks * run.values, blocks * run.bytes)
        })
    }

    /// Encodes a row, padded to whole small blocks.
    pub(crate) fn encode(&self, padded: &[f32], row: &mut [u8]) {
        let (values, bytes) = self.large_part(padded.len());
        if let Some(large) = self.large {
            (large.encode)(&padded[..values], &mut row[..bytes]);
        }
        (self.small.encode)(&padded[values..], &mut row[bytes..]);
    }

    /// Decodes a row, padded to whole small blocks; false when a scale is not finite.
    pub(crate) fn decode(&self, row: &[u8], padded: &mut [f32]) -> bool {
        let (values, bytes) = self.large_part(padded.len());
        let large = self.large.is_none_or(|run| (run.decode)(&row[..bytes], &mut padded[..values]));
        large & (self.small.decode)(&row[bytes..], &mut padded[values..])
    }
}

fn encode<B: Block<VALUES, BYTES>, const VALUES: usize, const BYTES: usize>(
    values: &[f32],
    bytes: &mut [u8],
) {
    vectorize(
        #[inline(always)]
        || {
            let blocks = bytes.as_chunks_mut::<BYTES>().0;
            for (values, block) in values.as_chunks::<VALUES>().0.iter().zip(blocks) {
                B::quantize(values, block);
            }
        },
    );
}

fn decode<B: Block<VALUES, BYTES>, const VALUES: usize, const BYTES: usize>(
    bytes: &[u8],
    values: &mut [f32],
) -> bool {
    vectorize(
        #[inline(always)]
        || {
            let mut finite = true;
            let blocks = bytes.as_chunks::<BYTES>().0;
            for (values, block) in values.as_chunks_mut::<VALUES>().0.iter_mut().zip(blocks) {
                finite &= B::dequantize(block, values);
            }
            finite
        },
    )
}

/// Writes an f16 at a place of a block; returns it as it is read back.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn put_f16(block: &mut [u8], at: usize, value: f32) -> f32 {
    let code = F16::code(value);
    block[at..at + 2].copy_from_slice(&(code as u16).to_le_bytes());
    F16::value(code)
}

/// Reads an f16 at a place of a block.
#[inline(always)]
pub(crate) fn get_f16(block: &[u8], at: usize) -> f32 {
    F16::value(u32::from(u16::from_le_bytes([block[at], block[at + 1]])))
}

/// The inverse of a scale; 0 for 0 and for what has no finite inverse.
#[inline(always)]
pub(crate) fn inverse(scale: f32) -> f32 {
    if scale.abs() >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 }
}

/// Writes 32 codes of 4 bits: code j in the lower half of byte j, code j + 16 in its upper half.
#[inline(always)]
pub(crate) fn put_nibbles(codes: &[u8; SMALL], bytes: &mut [u8]) {
    for (j, byte) in bytes[..16].iter_mut().enumerate() {
        *byte = (codes[j] & 15) | (codes[j + 16] << 4);
    }
}

/// Reads what [`put_nibbles`] wrote.
#[inline(always)]
pub(crate) fn get_nibbles(bytes: &[u8]) -> [u8; SMALL] {
    let mut codes = [0; SMALL];
    for (j, byte) in bytes[..16].iter().enumerate() {
        codes[j] = byte & 15;
        codes[j + 16] = byte >> 4;
    }
    codes
}

/// Writes bit 4 of 32 codes as one word.
#[inline(always)]
pub(crate) fn put_fifth_bits(codes: &[u8; SMALL], bytes: &mut [u8]) {
    let mut word = 0;
    for (j, code) in codes.iter().enumerate() {
        word |= u32::from(code >> 4) << j;
    }
    bytes[..4].copy_from_slice(&word.to_le_bytes());
}

/// Adds bit 4 to 32 codes.
#[inline(always)]
pub(crate) fn get_fifth_bits(bytes: &[u8], codes: &mut [u8; SMALL]) {
    let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    for (j, code) in codes.iter_mut().enumerate() {
        *code |= u8::from(word >> j & 1 == 1) << 4;
    }
}
