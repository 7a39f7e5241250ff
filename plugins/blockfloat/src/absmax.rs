//! The plane of the blocks' largest magnitudes: in f32, in f16, or doubly quantised.
//!
//! Doubly quantised as bitsandbytes does: the mean of all absmax (one f32) is subtracted; of every
//! 256 differences the largest magnitude is kept in f32; each difference divided by it becomes the
//! nearest entry of the dynamic 8-bit table. Order in the payload: mean, largest, indices.

use strait_codec_kit::dynamic_map;
use strait_sdk::prelude::*;
use strait_sdk::{narrow, widen};

use crate::Absmax;
use crate::tables::nearest;

/// Blocks that share one largest difference.
const NESTED: usize = 256;

/// Bytes of the plane for `blocks` blocks.
pub(crate) fn plane_bytes(kind: Absmax, blocks: usize) -> usize {
    match kind {
        Absmax::F32 => blocks * 4,
        Absmax::F16 => blocks * 2,
        Absmax::Nested8 if blocks == 0 => 0,
        Absmax::Nested8 => 4 + blocks.div_ceil(NESTED) * 4 + blocks,
    }
}

/// Appends the plane and sets `absmax` to what the values are to be divided by: the stored f16, or
/// the exact absmax, which is what bitsandbytes divides by before it quantises the absmax.
pub(crate) fn append(kind: Absmax, absmax: &mut [f32], payload: &mut Vec<u8>) {
    let start = payload.len();
    payload.resize(start + plane_bytes(kind, absmax.len()), 0);
    let plane = &mut payload[start..];
    match kind {
        Absmax::F32 => narrow(Dtype::F32, absmax, plane),
        Absmax::F16 => {
            absmax.iter_mut().for_each(|value| *value = value.min(Dtype::F16.largest()));
            narrow(Dtype::F16, absmax, plane);
            widen(Dtype::F16, plane, absmax);
        }
        Absmax::Nested8 if absmax.is_empty() => {}
        Absmax::Nested8 => write_nested(absmax, mean(absmax), plane),
    }
}

/// Reads the plane back; `plane` has [`plane_bytes`] bytes.
pub(crate) fn read(kind: Absmax, plane: &[u8], blocks: usize) -> Vec<f32> {
    let mut absmax = vec![0.0; blocks];
    match kind {
        Absmax::F32 => widen(Dtype::F32, plane, &mut absmax),
        Absmax::F16 => widen(Dtype::F16, plane, &mut absmax),
        Absmax::Nested8 if blocks == 0 => {}
        Absmax::Nested8 => read_nested(plane, &mut absmax),
    }
    absmax
}

fn write_nested(absmax: &[f32], mean: f32, plane: &mut [u8]) {
    let map = dynamic_map();
    let groups = absmax.len().div_ceil(NESTED);
    let (head, indices) = plane.split_at_mut(4 + 4 * groups);
    let mut largest = Vec::with_capacity(1 + groups);
    largest.push(mean);
    for (absmax, indices) in absmax.chunks(NESTED).zip(indices.chunks_mut(NESTED)) {
        let most = absmax.iter().map(|value| (value - mean).abs()).fold(0.0, f32::max);
        let factor = if most > 0.0 { 1.0 / most } else { 0.0 };
        for (index, value) in indices.iter_mut().zip(absmax) {
            *index = nearest(&map, (value - mean) * factor);
        }
        largest.push(most);
    }
    narrow(Dtype::F32, &largest, head);
}

fn read_nested(plane: &[u8], absmax: &mut [f32]) {
    let map = dynamic_map();
    let groups = absmax.len().div_ceil(NESTED);
    let (head, indices) = plane.split_at(4 + 4 * groups);
    let mut largest = vec![0.0; 1 + groups];
    widen(Dtype::F32, head, &mut largest);
    let runs = absmax.chunks_mut(NESTED).zip(indices.chunks(NESTED));
    for ((absmax, indices), most) in runs.zip(&largest[1..]) {
        for (value, index) in absmax.iter_mut().zip(indices) {
            *value = map[usize::from(*index)] * most + largest[0];
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn mean(values: &[f32]) -> f32 {
    (values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f16_divides_by_what_is_stored() {
        let mut absmax = [1.0 / 3.0, 1e9];
        let mut payload = vec![9];
        append(Absmax::F16, &mut absmax, &mut payload);
        assert_eq!(absmax, [0.333_251_95, 65504.0]);
        assert_eq!(read(Absmax::F16, &payload[1..], 2), absmax);
    }

    #[test]
    fn nested_is_near_and_leaves_the_divisors_exact() {
        let mut absmax: Vec<f32> = (0..600_u16).map(|i| 1.0 + f32::from(i % 97) / 50.0).collect();
        let exact = absmax.clone();
        let mut payload = Vec::new();
        append(Absmax::Nested8, &mut absmax, &mut payload);
        assert_eq!(absmax, exact);
        assert_eq!(payload.len(), plane_bytes(Absmax::Nested8, 600));
        assert_eq!(payload.len(), 4 + 3 * 4 + 600);
        for (value, back) in exact.iter().zip(read(Absmax::Nested8, &payload, 600)) {
            assert!((value - back).abs() < 0.01, "{value} {back}");
        }
    }

    #[test]
    fn nested_of_equal_blocks_is_exact() {
        let mut payload = Vec::new();
        append(Absmax::Nested8, &mut [2.5; 3], &mut payload);
        assert_eq!(read(Absmax::Nested8, &payload, 3), [2.5; 3]);
    }
}
