//! `blockwise8`: the dynamic 8-bit map, with an absmax for each 4096 values of the message.

use strait_codec_kit::dynamic_map;
use strait_codec_kit::slices::{bounded, largest_magnitude};
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;
use strait_sdk::{narrow, widen};

use crate::{Scratch, check_length, search};

/// Values that share an absmax.
const BLOCK: usize = 4096;
/// Entries of the map.
const ENTRIES: usize = 256;
/// The smallest absmax that is divided by: its inverse is finite.
const SMALLEST: f32 = 1e-38;

/// Bytes before the indices: two lengths, an absmax for each block, and the map.
pub(crate) fn head_bytes(values: usize) -> usize {
    16 + 4 * values.div_ceil(BLOCK) + 4 * ENTRIES
}

pub(crate) fn append(scratch: &mut Scratch, payload: &mut Vec<u8>) {
    let Scratch { values, statistics: [absmax, _], .. } = scratch;
    let blocks = values.len().div_ceil(BLOCK);
    payload.extend_from_slice(&(blocks as u64).to_le_bytes());
    payload.extend_from_slice(&(ENTRIES as u64).to_le_bytes());
    let start = payload.len();
    payload.resize(start + head_bytes(values.len()) - 16 + values.len(), 0);
    let (absmax_bytes, rest) = payload[start..].split_at_mut(4 * blocks);
    let (map_bytes, codes) = rest.split_at_mut(4 * ENTRIES);
    let map = dynamic_map();
    narrow(Dtype::F32, &map, map_bytes);
    let mut borders = [f32::INFINITY; ENTRIES];
    for (border, pair) in borders.iter_mut().zip(map.windows(2)) {
        *border = (pair[0] + pair[1]) / 2.0;
    }
    absmax.resize(blocks, 0.0);
    let runs = values.chunks(BLOCK).zip(codes.chunks_mut(BLOCK));
    for ((values, codes), absmax) in runs.zip(absmax.iter_mut()) {
        vectorize(
            #[inline(always)]
            || {
                *absmax = largest_magnitude(values, f32::MAX);
                search::buckets(&borders, 1.0 / absmax.max(SMALLEST), values, codes);
            },
        );
    }
    narrow(Dtype::F32, absmax, absmax_bytes);
}

pub(crate) fn read(
    payload: &[u8],
    message: &mut MessageMut<'_>,
    scratch: &mut Scratch,
) -> Result<()> {
    let values = message.shape().values();
    let blocks = values.div_ceil(BLOCK);
    check_length(&payload[..8], blocks, "list of absmax")?;
    check_length(&payload[8..16], ENTRIES, "map")?;
    let (head, codes) = payload.split_at(head_bytes(values));
    let (absmax_bytes, map_bytes) = head[16..].split_at(4 * blocks);
    let absmax = &mut scratch.statistics[0];
    absmax.resize(blocks, 0.0);
    widen(Dtype::F32, absmax_bytes, absmax);
    let mut map = [0.0; ENTRIES];
    widen(Dtype::F32, map_bytes, &mut map);
    let most = message.dtype().largest();
    message.for_each_row(|row, values| {
        let mut first = row * values.len();
        let mut rest = values;
        // A row may begin and end within a block.
        while !rest.is_empty() {
            let count = rest.len().min(BLOCK - first % BLOCK);
            let (run, after) = rest.split_at_mut(count);
            let (absmax, codes) = (absmax[first / BLOCK], &codes[first..][..count]);
            vectorize(
                #[inline(always)]
                || {
                    for (value, code) in run.iter_mut().zip(codes) {
                        *value = bounded(map[usize::from(*code)] * absmax, most);
                    }
                },
            );
            (rest, first) = (after, first + count);
        }
        Ok(())
    })
}
