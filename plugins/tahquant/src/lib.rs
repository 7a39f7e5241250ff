//! tahquant: tiles of 64 values on an asymmetric grid, 3 bits for the tokens of lowest entropy and 4 for
//! the others, and a Hadamard rotation of the tiles that hold a lone outlier.
//!
//! Paper: [TAH-Quant](https://arxiv.org/abs/2506.01352), as its published compressor computes it:
//!
//! 1. Per token, p = |x| / Σ|x| and H = -Σ p ln p; the ⌊tokens (1 - share)⌋ tokens of the lowest H take
//!    `low_bits`, the others `high_bits`.
//! 2. A tile whose largest magnitude is at least twice the second has it swapped to the front and is
//!    multiplied by H_T/√T (Sylvester's order).
//! 3. zero = min and scale = max(1e-30, (max - min) / (2^b - 1)), both in f16; q = clamp(round((y -
//!    zero)/scale), 0, 2^b - 1), ties to even; y' = q scale + zero; then the rotation is undone.
//!
//! Stored: one bit per token (1: fewer bits); one bit per full tile (1: rotated); log2 T bits per rotated
//! tile, where the outlier was; zero and scale of every tile in f16; the codes, each row ending at a
//! byte. With the defaults and many tokens 0.8 · 4 + 0.2 · 3 + 32/64 + 1/64 = 4.316 bits a value, and up
//! to 0.094 more for rotated tiles.
//!
//! ```
//! # strait_conformance::check_example::<strait_tahquant::Tahquant>(r#"
//! [[compressor]]
//! codec = "tahquant"
//! params = { high_bits = 4, low_bits = 3, share = 0.8 }
//! # "#);
//! ```
//!
//! Error: half a scale and the rounding of zero in a plain tile; in a rotated one every value mixes the
//! errors of all. Limits: NaN counts as 0, an infinity as the largest finite value of the message's dtype; zero
//! and scale saturate at 65504, and a scale below 3e-8 becomes 0 and the tile constant; the result is always
//! finite. A last tile that is shorter is never rotated. A token's bits depend on the other tokens of its
//! message, and a message of fewer than 1/(1 - share) tokens has none with fewer.

mod params;
mod tile;
mod tokens;

use strait_codec_kit::bits::{self, BitReader, BitWriter, packed_bytes};
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

pub use params::TahquantParams;

/// The codec `tahquant`.
#[derive(Debug)]
pub struct Tahquant {
    params: TahquantParams,
    values: Vec<f32>,
    codes: Vec<u8>,
}

/// Tiles and maps of a message.
#[derive(Clone, Copy)]
struct Layout {
    /// Full tiles of a row, which may be rotated.
    full: usize,
    /// Tiles of a row.
    tiles: usize,
    /// Bytes of the two maps.
    token_map: usize,
    tile_map: usize,
    /// Bytes of all zeros and scales.
    grids: usize,
    /// Bits of a pivot.
    pivot_bits: u32,
}

impl Codec for Tahquant {
    const INFO: CodecInfo = CodecInfo {
        id: "tahquant",
        summary: "tiles on an asymmetric grid, fewer bits for tokens of low entropy, rotated outliers",
        paper: "https://arxiv.org/abs/2506.01352",
        ..CodecInfo::DEFAULT
    };
    type Params = TahquantParams;

    fn open(params: TahquantParams) -> Result<Self> {
        if !params.tile.is_power_of_two() {
            return Err(Error::new(format!(
                "tile: expected a power of two, found {}",
                params.tile
            )));
        }
        Ok(Tahquant { params, values: Vec::new(), codes: Vec::new() })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let shape = message.shape();
        let layout = self.layout(shape);
        let largest = tile::largest(shape.dtype);
        let low = tokens::low(self.params.share, largest, message)?;
        let Tahquant { params, values, codes } = self;
        let mut rotated = vec![0; shape.rows * layout.full];
        let mut pivots = Vec::new();
        let mut grids = vec![0; layout.grids];
        let mut packed = Vec::with_capacity(shape.rows * packed_bytes(8, shape.channels));
        values.resize(shape.channels, 0.0);
        codes.resize(shape.channels, 0);
        let mut pivot_writer = BitWriter::new(&mut pivots);
        message.for_each_row(|row, x| {
            let width = params.bits_of(low[row]);
            let levels = f32::from(u8::MAX >> (8 - width));
            let grids = &mut grids[row * layout.tiles * 4..][..layout.tiles * 4];
            let rotated = &mut rotated[row * layout.full..][..layout.full];
            vectorize(
                #[inline(always)]
                || {
                    for (value, x) in values.iter_mut().zip(x) {
                        *value = tile::bounded(*x, largest);
                    }
                    let tiles = values.chunks_mut(params.tile).zip(codes.chunks_mut(params.tile));
                    for (i, ((values, codes), bytes)) in tiles.zip(grids.chunks_mut(4)).enumerate()
                    {
                        if let Some(flag) = rotated.get_mut(i)
                            && let Some(pivot) = tile::pivot(values)
                        {
                            *flag = 1;
                            #[allow(clippy::cast_possible_truncation)]
                            pivot_writer.put(pivot as u32, layout.pivot_bits);
                            tile::rotate(values, pivot);
                        }
                        let mut grid = tile::grid(values, levels);
                        tile::stored(&mut grid, bytes);
                        tile::encode(grid[0], grid[1], levels, values, codes);
                    }
                    bits::pack_into(width, codes, &mut packed);
                },
            );
            Ok(())
        })?;
        pivot_writer.finish();
        let low: Vec<u8> = low.into_iter().map(u8::from).collect();
        bits::pack_into(1, &low, payload);
        bits::pack_into(1, &rotated, payload);
        for part in [&pivots, &grids, &packed] {
            payload.extend_from_slice(part);
        }
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let shape = message.shape();
        let layout = self.layout(shape);
        let Tahquant { params, codes, .. } = self;
        let maps = layout.token_map + layout.tile_map;
        let Some((head, rest)) = payload.split_at_checked(maps) else {
            return Err(Error::payload_length(maps, payload.len()));
        };
        let (token_map, tile_map) = head.split_at(layout.token_map);
        let low = bits::unpack(1, token_map, shape.rows)?;
        let rotated = bits::unpack(1, tile_map, shape.rows * layout.full)?;
        let pivots = rotated.iter().filter(|flag| **flag == 1).count();
        let pivot_bytes = (pivots * layout.pivot_bits as usize).div_ceil(8);
        let row_bytes = |low: u8| packed_bytes(params.bits_of(low == 1), shape.channels);
        let code_bytes: usize = low.iter().map(|low| row_bytes(*low)).sum();
        let expected = pivot_bytes + layout.grids + code_bytes;
        Error::check_payload_length(maps + expected, payload.len())?;
        let (pivots, rest) = rest.split_at(pivot_bytes);
        let (grids, mut packed) = rest.split_at(layout.grids);
        let mut pivots = BitReader::new(pivots);
        let largest = tile::largest(shape.dtype);
        codes.resize(shape.channels, 0);
        let mut grid = vec![0.0; layout.tiles * 2];
        message.for_each_row(|row, values| {
            let grids = &grids[row * layout.tiles * 4..][..layout.tiles * 4];
            strait_sdk::widen(Dtype::F16, grids, &mut grid);
            let rotated = &rotated[row * layout.full..][..layout.full];
            let codes_of_row;
            (codes_of_row, packed) = packed.split_at(row_bytes(low[row]));
            vectorize(
                #[inline(always)]
                || {
                    bits::unpack_into(params.bits_of(low[row] == 1), codes_of_row, codes)?;
                    let tiles = values.chunks_mut(params.tile).zip(codes.chunks(params.tile));
                    for (i, ((values, codes), grid)) in tiles.zip(grid.chunks(2)).enumerate() {
                        tile::decode(grid[0], grid[1], codes, values);
                        if rotated.get(i) == Some(&1) {
                            tile::rotate_back(values, pivots.get(layout.pivot_bits)? as usize);
                        }
                    }
                    for value in values {
                        *value = tile::bounded(*value, largest);
                    }
                    Ok(())
                },
            )
        })?;
        pivots.finish()
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        let layout = self.layout(shape);
        let most_bits = self.params.high_bits.max(self.params.low_bits);
        let pivots = (shape.rows * layout.full * layout.pivot_bits as usize).div_ceil(8);
        let codes = shape.rows * packed_bytes(most_bits, shape.channels);
        PayloadBytes::AtMost(layout.token_map + layout.tile_map + pivots + layout.grids + codes)
    }
}

impl Tahquant {
    fn layout(&self, shape: Shape) -> Layout {
        let tile = self.params.tile;
        let full = shape.channels / tile;
        let tiles = shape.channels.div_ceil(tile);
        Layout {
            full,
            tiles,
            token_map: packed_bytes(1, shape.rows),
            tile_map: packed_bytes(1, shape.rows * full),
            grids: shape.rows * tiles * 4,
            pivot_bits: tile.ilog2(),
        }
    }
}

impl TahquantParams {
    fn bits_of(&self, low: bool) -> u32 {
        if low { self.low_bits } else { self.high_bits }
    }
}

strait_sdk::export!(Tahquant);
