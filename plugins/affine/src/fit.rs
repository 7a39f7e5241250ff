//! Scale, zero point and minimum of every cell of a message.

use strait_codec_kit::bits;
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;
use strait_sdk::{narrow, widen};

use crate::grid::Grid;
use crate::kernels::{Cell, Extent, larger, magnitude, magnitude_sum, smaller};
use crate::params::largest;
use crate::{AffineParams, Scheme, ranges};

/// Measures the message, appends the planes of scales and zeros to the payload, and returns the
/// cells as the decoder will read them.
pub(crate) fn fit(
    params: &AffineParams,
    grid: &Grid,
    message: Message<'_>,
    payload: &mut Vec<u8>,
) -> Result<Vec<Cell>> {
    let start = payload.len();
    let mut scales = vec![0.0; grid.cells];
    let mut lows = Vec::new();
    if is_sign(params) {
        mean_magnitudes(grid, message, &mut scales)?;
    } else {
        lows = vec![0.0; grid.cells];
        let mut extents = extents(grid, params, message)?;
        for extent in &mut extents {
            *extent = extent.finite(largest(message.dtype()));
        }
        ranges::narrow(params, grid, message, &mut extents);
        for (i, extent) in extents.into_iter().enumerate() {
            lows[i] = extent.low;
            scales[i] = scale(params, extent);
        }
    }
    append(params, &mut scales, payload);
    match params.scheme {
        Scheme::Symmetric => {}
        Scheme::Minimum => append(params, &mut lows, payload),
        Scheme::Asymmetric => {
            let zeros: Vec<u8> = lows
                .iter()
                .zip(&scales)
                .map(|(low, scale)| zero_point(*low, *scale, levels(params)))
                .collect();
            bits::pack_into(params.bits, &zeros, payload);
        }
    }
    read(params, grid, &payload[start..])
}

/// Reads the cells from the planes at the start of a payload of the right length.
pub(crate) fn read(params: &AffineParams, grid: &Grid, payload: &[u8]) -> Result<Vec<Cell>> {
    let (scale_bytes, zero_bytes) =
        payload[..grid.scale_bytes + grid.zero_bytes].split_at(grid.scale_bytes);
    let dtype = params.scale_dtype.dtype();
    let mut scales = vec![0.0; grid.cells];
    widen(dtype, scale_bytes, &mut scales);
    let mut bases = vec![0.0; grid.cells];
    let mut zeros = vec![0.0; grid.cells];
    match params.scheme {
        // Codes 0 and 1 stand for -scale and +scale: (code - 0.5) * 2 scale.
        Scheme::Symmetric if is_sign(params) => {
            zeros.fill(0.5);
            scales.iter_mut().for_each(|scale| *scale *= 2.0);
        }
        Scheme::Symmetric => zeros.fill((levels(params) / 2.0).ceil()),
        Scheme::Minimum => widen(dtype, zero_bytes, &mut bases),
        Scheme::Asymmetric => {
            let codes = bits::unpack(params.bits, zero_bytes, grid.cells)?;
            for (zero, code) in zeros.iter_mut().zip(codes) {
                *zero = f32::from(code);
            }
        }
    }
    let cells = scales.into_iter().zip(zeros).zip(bases);
    Ok(cells.map(|((scale, zero), base)| Cell { scale, zero, base }).collect())
}

/// The cell of a range as the decoder will read it.
pub(crate) fn cell(params: &AffineParams, extent: Extent) -> Cell {
    let dtype = params.scale_dtype.dtype();
    let stored = |value: f32| {
        let (mut bytes, mut values) = ([0; 4], [value.clamp(-largest(dtype), largest(dtype))]);
        let bytes = &mut bytes[..dtype.size()];
        narrow(dtype, &values, bytes);
        widen(dtype, bytes, &mut values);
        values[0]
    };
    let scale = stored(scale(params, extent));
    let levels = levels(params);
    let (zero, base) = match params.scheme {
        Scheme::Symmetric => ((levels / 2.0).ceil(), 0.0),
        Scheme::Minimum => (0.0, stored(extent.low)),
        Scheme::Asymmetric => (zero_point(extent.low, scale, levels).into(), 0.0),
    };
    Cell { scale, zero, base }
}

/// The scale of a range, not yet rounded to its stored type.
fn scale(params: &AffineParams, extent: Extent) -> f32 {
    let Extent { low, high } = extent;
    let levels = levels(params);
    match params.scheme {
        Scheme::Symmetric => larger(high, -low) / (levels / 2.0).floor(),
        Scheme::Asymmetric | Scheme::Minimum => spread(low, high, levels),
    }
}

/// The highest code: 2^bits - 1.
pub(crate) fn levels(params: &AffineParams) -> f32 {
    f32::from(u8::MAX >> (8 - params.bits))
}

/// Whether a code is a mere sign.
pub(crate) fn is_sign(params: &AffineParams) -> bool {
    params.bits == 1 && params.scheme == Scheme::Symmetric
}

fn extents(grid: &Grid, params: &AffineParams, message: Message<'_>) -> Result<Vec<Extent>> {
    let empty = match params.scheme {
        Scheme::Minimum => Extent::EMPTY,
        Scheme::Symmetric | Scheme::Asymmetric => Extent::ZERO,
    };
    let mut extents = vec![empty; grid.cells];
    message.for_each_row(|row, values| {
        let cells = &mut extents[grid.first_cell(row, values.len())..];
        vectorize(
            #[inline(always)]
            || {
                if grid.is_per_channel() {
                    for (cell, value) in cells.iter_mut().zip(values) {
                        cell.low = smaller(cell.low, *value);
                        cell.high = larger(cell.high, *value);
                    }
                } else {
                    for (cell, values) in cells.iter_mut().zip(values.chunks(grid.run)) {
                        *cell = cell.widened(values);
                    }
                }
            },
        );
        Ok(())
    })?;
    Ok(extents)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn mean_magnitudes(grid: &Grid, message: Message<'_>, means: &mut [f32]) -> Result<()> {
    let largest = largest(message.dtype());
    let mut sums = vec![(0.0, 0_usize); grid.cells];
    message.for_each_row(|row, values| {
        let cells = &mut sums[grid.first_cell(row, values.len())..];
        if grid.is_per_channel() {
            for ((sum, count), value) in cells.iter_mut().zip(values) {
                *sum += magnitude(*value, largest);
                *count += 1;
            }
        } else {
            for ((sum, count), values) in cells.iter_mut().zip(values.chunks(grid.run)) {
                *sum += vectorize(
                    #[inline(always)]
                    || magnitude_sum(values, largest),
                );
                *count += values.len();
            }
        }
        Ok(())
    })?;
    for (mean, (sum, count)) in means.iter_mut().zip(sums) {
        *mean = (sum / count.max(1) as f64) as f32;
    }
    Ok(())
}

/// (high - low) / levels, also where the difference overflows.
fn spread(low: f32, high: f32, levels: f32) -> f32 {
    let scale = (high - low) / levels;
    if scale.is_finite() { scale } else { smaller(f32::MAX, high / levels - low / levels) }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn zero_point(low: f32, scale: f32, levels: f32) -> u8 {
    let scale = if scale > 0.0 { scale } else { 1.0 };
    (-low / scale).round_ties_even().clamp(0.0, levels) as u8
}

/// Appends values in the stored type, each at most its largest finite value in magnitude.
fn append(params: &AffineParams, values: &mut [f32], payload: &mut Vec<u8>) {
    let dtype = params.scale_dtype.dtype();
    for value in values.iter_mut() {
        *value = value.clamp(-largest(dtype), largest(dtype));
    }
    let start = payload.len();
    payload.resize(start + values.len() * dtype.size(), 0);
    narrow(dtype, values, &mut payload[start..]);
    widen(dtype, &payload[start..], values);
}
