//! The payload of a block format: one scale byte a block of all rows, then the packed codes of each
//! row; and the loops that write and read it.

use strait_codec_kit::bits;
use strait_codec_kit::slices::{bounded, largest_magnitude};
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

use super::element::Element;

/// Where the scales and the codes of a message of this shape are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Planes {
    /// Values per block; a row's last block may be shorter.
    block: usize,
    /// Blocks in a row.
    per_row: usize,
    /// Bytes of all scales.
    scale_bytes: usize,
    /// Bytes of the codes of one row.
    row_bytes: usize,
    /// Bytes of the scales and the codes.
    pub(super) bytes: usize,
}

impl Planes {
    /// The planes for blocks of `block` values with codes of `width` bits.
    pub(super) fn new(block: usize, width: u32, shape: Shape) -> Planes {
        let per_row = shape.channels.div_ceil(block);
        let scale_bytes = shape.rows * per_row;
        let row_bytes = bits::packed_bytes(width, shape.channels);
        let bytes = scale_bytes + shape.rows * row_bytes;
        Planes { block, per_row, scale_bytes, row_bytes, bytes }
    }

    /// Appends both planes. `byte` is the scale byte of a block's largest magnitude, `scale` the
    /// scale of that byte; a code is that of value / scale. `codes` is scratch.
    pub(super) fn append<T: Element>(
        &self,
        message: Message<'_>,
        codes: &mut Vec<u8>,
        payload: &mut Vec<u8>,
        byte: impl Fn(f32) -> u8,
        scale: impl Fn(u8) -> f32,
    ) -> Result<()> {
        let start = payload.len();
        payload.resize(start + self.scale_bytes, 0);
        codes.resize(message.channels(), 0);
        let most = message.dtype().largest();
        message.for_each_row(|row, values| {
            vectorize(
                #[inline(always)]
                || {
                    let bytes = &mut payload[start + row * self.per_row..][..self.per_row];
                    let blocks = values.chunks(self.block).zip(codes.chunks_mut(self.block));
                    for ((values, codes), byte_of_block) in blocks.zip(bytes) {
                        *byte_of_block = byte(largest_magnitude(values, most));
                        encode::<T>(scale(*byte_of_block), values, codes);
                    }
                    bits::pack_into(T::BITS, codes, payload);
                },
            );
            Ok(())
        })
    }

    /// Fills the message from both planes: value of a code × scale, within the dtype. `planes` has
    /// [`bytes`](Planes::bytes) bytes.
    ///
    /// # Errors
    /// When `scale` refuses a byte.
    pub(super) fn read<T: Element>(
        &self,
        planes: &[u8],
        message: &mut MessageMut<'_>,
        codes: &mut Vec<u8>,
        scale: impl Fn(u8) -> Result<f32>,
    ) -> Result<()> {
        let (scales, rows) = planes.split_at(self.scale_bytes);
        let most = message.dtype().largest();
        codes.resize(message.channels(), 0);
        message.for_each_row(|row, values| {
            let scales = &scales[row * self.per_row..][..self.per_row];
            let packed = &rows[row * self.row_bytes..][..self.row_bytes];
            vectorize(
                #[inline(always)]
                || {
                    bits::unpack_into(T::BITS, packed, codes)?;
                    let blocks = values.chunks_mut(self.block).zip(codes.chunks(self.block));
                    for ((values, codes), byte) in blocks.zip(scales) {
                        decode::<T>(scale(*byte)?, most, codes, values);
                    }
                    Ok(())
                },
            )
        })
    }
}

#[inline(always)]
fn encode<T: Element>(scale: f32, values: &[f32], codes: &mut [u8]) {
    for (code, value) in codes.iter_mut().zip(values) {
        *code = T::code(if value.is_nan() { 0.0 } else { *value / scale });
    }
}

#[inline(always)]
fn decode<T: Element>(scale: f32, most: f32, codes: &[u8], values: &mut [f32]) {
    for (value, code) in values.iter_mut().zip(codes) {
        *value = bounded(T::value(*code) * scale, most);
    }
}
