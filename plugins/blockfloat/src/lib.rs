//! blockfloat: 4 bits a value, the nearest of 16 table entries times the largest magnitude (absmax)
//! of a block.
//!
//! The formats with an 8-bit scale per block are codecs of their own in this file: [`mx`](Mx) and
//! [`nvfp4`](Nvfp4).
//!
//! Paper: [QLoRA](https://arxiv.org/abs/2305.14314), NF4 and double quantisation; tables and rounding
//! of [bitsandbytes](https://github.com/bitsandbytes-foundation/bitsandbytes): code = nearest entry to
//! x (1 / absmax), the lower one on a tie, x' = entry × absmax.
//!
//! Stored per value: 4 bits, the index into the table in ascending order, lower nibble first; each row
//! ends at a byte. Stored per block: absmax in `f32` (4.5 bits a value at block 64), `f16` (4.25), or
//! `nested8` (4.127): 8 bits of the dynamic table, an f32 per 256 blocks and an f32 per message. All
//! absmax come first.
//!
//! ```
//! # strait_conformance::check_example::<strait_blockfloat::Blockfloat>(r#"
//! [[compressor]]
//! codec = "blockfloat"
//! params = { code = "nf4", block = 64, absmax = "nested8" }
//! # "#);
//! ```
//!
//! Blocks never cross rows: where `block` divides the row this is bitsandbytes' flattened order, and
//! elsewhere the last block of each row is shorter. Error: at most half the widest gap of the table
//! times absmax (NF4: 0.1520, FP4: 0.1667), plus the rounding of a stored f16 absmax; `nested8`
//! moves a whole block by the error of its absmax, which is relative to the largest of 256 blocks, so
//! one massive block costs its neighbours. Its mean makes a token's value depend on the whole message.
//! Limits: NaN is left out of absmax and encoded as 0; an infinity counts as the largest finite value of
//! the message's dtype, and the result is always finite; absmax in f16 saturates at 65504; a block
//! below 1e-38 loses precision.

mod absmax;
mod kernels;
mod micro;
mod params;
mod tables;

use strait_codec_kit::{bits, slices};
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

pub use micro::{Format, Mx, MxParams, Nvfp4, ScaleRule};
pub use params::{Absmax, BlockfloatParams, Code};

use tables::{FP4, NF4, Table};

/// The codec `blockfloat`.
#[derive(Debug)]
pub struct Blockfloat {
    params: BlockfloatParams,
    table: &'static Table,
    codes: Vec<u8>,
}

impl Blockfloat {
    fn blocks_per_row(&self, channels: usize) -> usize {
        channels.div_ceil(self.params.block)
    }

    /// Bytes of the absmax plane and of one row of codes.
    fn plane_and_row_bytes(&self, shape: Shape) -> (usize, usize) {
        let blocks = shape.rows * self.blocks_per_row(shape.channels);
        (absmax::plane_bytes(self.params.absmax, blocks), bits::packed_bytes(4, shape.channels))
    }
}

impl Codec for Blockfloat {
    const INFO: CodecInfo = CodecInfo {
        id: "blockfloat",
        summary: "4 bits a value: NF4 or FP4 table entries times the absmax of a block",
        paper: "https://arxiv.org/abs/2305.14314",
        ..CodecInfo::DEFAULT
    };
    type Params = BlockfloatParams;

    fn open(params: BlockfloatParams) -> Result<Self> {
        let table = match params.code {
            Code::Nf4 => &NF4,
            Code::Fp4 => &FP4,
        };
        Ok(Blockfloat { params, table, codes: Vec::new() })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let per_row = self.blocks_per_row(message.channels());
        let Blockfloat { params, table, codes } = self;
        let block = params.block;
        let largest = message.dtype().largest();
        let mut blocks = vec![0.0; message.rows() * per_row];
        message.for_each_row(|row, values| {
            let absmax = &mut blocks[row * per_row..][..per_row];
            vectorize(
                #[inline(always)]
                || {
                    for (absmax, values) in absmax.iter_mut().zip(values.chunks(block)) {
                        *absmax = slices::largest_magnitude(values, largest);
                    }
                },
            );
            Ok(())
        })?;
        absmax::append(params.absmax, &mut blocks, payload);
        codes.resize(message.channels(), 0);
        message.for_each_row(|row, values| {
            let absmax = &blocks[row * per_row..][..per_row];
            vectorize(
                #[inline(always)]
                || {
                    let runs = values.chunks(block).zip(codes.chunks_mut(block));
                    for ((values, codes), absmax) in runs.zip(absmax) {
                        kernels::encode(table, *absmax, values, codes);
                    }
                    bits::pack_into(4, codes, payload);
                },
            );
            Ok(())
        })
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let shape = message.shape();
        let per_row = self.blocks_per_row(shape.channels);
        let (plane_bytes, row_bytes) = self.plane_and_row_bytes(shape);
        Error::check_payload_length(plane_bytes + shape.rows * row_bytes, payload.len())?;
        let Blockfloat { params, table, codes } = self;
        let (plane, rows) = payload.split_at(plane_bytes);
        let blocks = absmax::read(params.absmax, plane, shape.rows * per_row);
        let largest = shape.dtype.largest();
        codes.resize(shape.channels, 0);
        message.for_each_row(|row, values| {
            let absmax = &blocks[row * per_row..][..per_row];
            let packed = &rows[row * row_bytes..][..row_bytes];
            vectorize(
                #[inline(always)]
                || {
                    bits::unpack_into(4, packed, codes)?;
                    let runs = values.chunks_mut(params.block).zip(codes.chunks(params.block));
                    for ((values, codes), absmax) in runs.zip(absmax) {
                        kernels::decode(table, *absmax, largest, codes, values);
                    }
                    Ok(())
                },
            )
        })
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        let (plane_bytes, row_bytes) = self.plane_and_row_bytes(shape);
        PayloadBytes::Exact(plane_bytes + shape.rows * row_bytes)
    }
}

strait_sdk::export!(Blockfloat, Mx, Nvfp4);
