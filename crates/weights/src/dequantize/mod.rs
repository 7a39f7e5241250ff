//! Converts stored bytes to f32, with one file per family of formats, in parallel over rows.
//!
//! Every formula keeps the operation order of the `gguf` package's reference, so results agree with it to the
//! last bit (`golden/`).

mod conversion;
mod grids;
mod iq_grids;
mod k_quants;
mod levels;
mod plain;
mod simple_blocks;
mod ternary;

use rayon::prelude::*;

use crate::format::Format;
pub(crate) use conversion::{Adjust, Conversion, Order};

/// Fewest values per task, so that small rows are not dominated by scheduling.
const VALUES_PER_TASK: usize = 1 << 16;

/// Makes a whole tensor dense and undoes what its converter did. `bytes` must be exactly the stored bytes in
/// `format`. `shape` is the dense shape; the stored one differs only for [`Order::Transposed`].
pub(crate) fn dense(
    format: Format,
    bytes: &[u8],
    shape: &[usize],
    conversion: Conversion,
) -> Vec<f32> {
    let values: usize = shape.iter().product();
    if values == 0 {
        return Vec::new();
    }
    let fill = |bytes: &[u8], out: &mut [f32]| {
        convert(format, bytes, out);
        conversion.adjust.apply(out);
    };
    let mut data = vec![0.0; values];
    match (conversion.order, shape) {
        (Order::Transposed, &[rows, columns]) => {
            fill_in_order(format, bytes, rows, &mut data, fill);
            conversion::transposed(&data, rows, columns)
        }
        (Order::AsStored | Order::Transposed, _) => {
            fill_in_order(format, bytes, *shape.last().unwrap_or(&1), &mut data, fill);
            data
        }
        (order, &[length]) => {
            fill(bytes, &mut data);
            (0..length).map(|row| data[order.stored_row(row, length)]).collect()
        }
        (order, _) => {
            let columns = *shape.last().unwrap_or(&1);
            let (rows, row_bytes) = (values / columns, row_bytes(format, columns));
            data.par_chunks_mut(columns)
                .with_min_len(VALUES_PER_TASK.div_ceil(columns))
                .enumerate()
                .for_each(|(row, out)| {
                    let start = order.stored_row(row, rows) * row_bytes;
                    fill(&bytes[start..start + row_bytes], out);
                });
            data
        }
    }
}

/// Converts rows of `columns` values in their stored order.
fn fill_in_order(
    format: Format,
    bytes: &[u8],
    columns: usize,
    data: &mut [f32],
    fill: impl Fn(&[u8], &mut [f32]) + Sync,
) {
    let rows_per_task = VALUES_PER_TASK.div_ceil(columns);
    let bytes_per_task = rows_per_task * row_bytes(format, columns);
    data.par_chunks_mut(rows_per_task * columns)
        .zip(bytes.par_chunks(bytes_per_task))
        .for_each(|(out, bytes)| fill(bytes, out));
}

/// The first infinity or NaN with its index. Quantized values are finite unless a scale is damaged.
pub(crate) fn first_not_finite(data: &[f32]) -> Option<(usize, f32)> {
    // A branch-free loop runs at memory speed.
    let damaged = |values: &[f32]| values.iter().fold(false, |bad, value| bad | !value.is_finite());
    let task = data.par_chunks(VALUES_PER_TASK).position_first(damaged)?;
    let start = task * VALUES_PER_TASK;
    data[start..]
        .iter()
        .position(|value| !value.is_finite())
        .map(|index| (start + index, data[start + index]))
}

fn row_bytes(format: Format, columns: usize) -> usize {
    columns / format.block_values() * format.block_bytes()
}

/// Converts whole blocks: `bytes` and `out` hold the same number of blocks.
fn convert(format: Format, bytes: &[u8], out: &mut [f32]) {
    match format {
        Format::F32 => plain::f32(bytes, out),
        Format::F16 => plain::f16(bytes, out),
        Format::BF16 => plain::bf16(bytes, out),
        Format::Q4_0 => blocks(bytes, out, simple_blocks::q4_0),
        Format::Q4_1 => blocks(bytes, out, simple_blocks::q4_1),
        Format::Q5_0 => blocks(bytes, out, simple_blocks::q5_0),
        Format::Q5_1 => blocks(bytes, out, simple_blocks::q5_1),
        Format::Q8_0 => blocks(bytes, out, simple_blocks::q8_0),
        Format::Q2K => blocks(bytes, out, k_quants::q2_k),
        Format::Q3K => blocks(bytes, out, k_quants::q3_k),
        Format::Q4K => blocks(bytes, out, k_quants::q4_k),
        Format::Q5K => blocks(bytes, out, k_quants::q5_k),
        Format::Q6K => blocks(bytes, out, k_quants::q6_k),
        Format::Q8K => blocks(bytes, out, k_quants::q8_k),
        Format::IQ1S => blocks(bytes, out, iq_grids::iq1_s),
        Format::IQ1M => blocks(bytes, out, iq_grids::iq1_m),
        Format::IQ2XXS => blocks(bytes, out, iq_grids::iq2_xxs),
        Format::IQ2XS => blocks(bytes, out, iq_grids::iq2_xs),
        Format::IQ2S => blocks(bytes, out, iq_grids::iq2_s),
        Format::IQ3XXS => blocks(bytes, out, iq_grids::iq3_xxs),
        Format::IQ3S => blocks(bytes, out, iq_grids::iq3_s),
        Format::IQ4NL => blocks(bytes, out, levels::iq4_nl),
        Format::IQ4XS => blocks(bytes, out, levels::iq4_xs),
        Format::TQ1_0 => blocks(bytes, out, ternary::tq1_0),
        Format::TQ2_0 => blocks(bytes, out, ternary::tq2_0),
        Format::MXFP4 => blocks(bytes, out, levels::mxfp4),
        Format::NVFP4 => blocks(bytes, out, levels::nvfp4),
    }
}

fn blocks<const BYTES: usize, const VALUES: usize>(
    bytes: &[u8],
    out: &mut [f32],
    block: impl Fn(&[u8; BYTES], &mut [f32; VALUES]),
) {
    let (stored, _) = bytes.as_chunks::<BYTES>();
    let (dense, _) = out.as_chunks_mut::<VALUES>();
    for (stored, dense) in stored.iter().zip(dense) {
        block(stored, dense);
    }
}

/// The f16 at byte `at` of a block.
fn half_at(block: &[u8], at: usize) -> f32 {
    half::f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversion(order: Order) -> Conversion {
        Conversion { order, ..Conversion::default() }
    }

    #[test]
    fn permutes_matrices_and_vectors_alike() {
        let values: Vec<f32> = (0..8).map(|value| value as f32).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let order = conversion(Order::InterleavedHeads(2));
        let vector = dense(Format::F32, &bytes, &[8], order);
        assert_eq!(vector, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
        assert_eq!(dense(Format::F32, &bytes, &[8, 1], order), vector);
        assert_eq!(dense(Format::F32, &bytes, &[4, 2], Conversion::default()), values);
        let transposed = dense(Format::F32, &bytes, &[2, 4], conversion(Order::Transposed));
        assert_eq!(transposed, [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0]);
    }

    #[test]
    fn adjusts_values() {
        let bytes: Vec<u8> = [1.0f32, -2.5].iter().flat_map(|value| value.to_le_bytes()).collect();
        let adjusted = |adjust| {
            let conversion = Conversion { adjust, ..Conversion::default() };
            dense(Format::F32, &bytes, &[2], conversion)
        };
        assert_eq!(adjusted(Adjust::MinusOne), [0.0, -3.5]);
        assert_eq!(adjusted(Adjust::Times(4.0)), [4.0, -10.0]);
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_found() {
        let mut values = vec![1.0; 3 * VALUES_PER_TASK];
        assert_eq!(first_not_finite(&values), None);
        values[2 * VALUES_PER_TASK + 7] = f32::NAN;
        values[VALUES_PER_TASK + 5] = f32::NEG_INFINITY;
        assert_eq!(first_not_finite(&values), Some((VALUES_PER_TASK + 5, f32::NEG_INFINITY)));
    }

    #[test]
    fn tasks_meet_without_gaps() {
        let (rows, columns) = (4099, 48);
        let bytes: Vec<u8> = (0..rows * columns)
            .flat_map(|value| half::f16::from_f32((value % 2048) as f32).to_le_bytes())
            .collect();
        let dense = dense(Format::F16, &bytes, &[rows, columns], Conversion::default());
        assert!(dense.iter().enumerate().all(|(index, &value)| value == (index % 2048) as f32));
    }
}
