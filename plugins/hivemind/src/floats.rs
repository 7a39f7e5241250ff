//! The two 16-bit methods.

use strait_codec_kit::slices::{bounded, copy_finite, sum};
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;
use strait_sdk::{narrow, widen};

use crate::Scratch;

/// The smallest standard deviation that is divided by.
const SMALLEST_STD: f32 = f32::EPSILON;

pub(crate) fn append_float16(
    message: Message<'_>,
    scratch: &mut Scratch,
    payload: &mut Vec<u8>,
) -> Result<()> {
    let row_bytes = message.channels() * 2;
    let start = payload.len();
    payload.resize(start + message.rows() * row_bytes, 0);
    let row = &mut scratch.values;
    row.resize(message.channels(), 0.0);
    message.for_each_row(|i, values| {
        vectorize(
            #[inline(always)]
            || {
                for (kept, value) in row.iter_mut().zip(values) {
                    *kept = bounded(*value, Dtype::F16.largest());
                }
            },
        );
        narrow(Dtype::F16, row, &mut payload[start + i * row_bytes..][..row_bytes]);
        Ok(())
    })
}

pub(crate) fn read_float16(payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
    let row_bytes = message.channels() * 2;
    message.for_each_row(|i, values| {
        widen(Dtype::F16, &payload[i * row_bytes..][..row_bytes], values);
        Ok(())
    })
}

pub(crate) fn append_meanstd16(
    message: Message<'_>,
    scratch: &mut Scratch,
    payload: &mut Vec<u8>,
) -> Result<()> {
    let row_bytes = message.channels() * 2;
    let start = payload.len();
    payload.resize(start + message.rows() * row_bytes, 0);
    let most = message.dtype().largest();
    let Scratch { values: row, statistics: [means, stds], .. } = scratch;
    row.resize(message.channels(), 0.0);
    means.resize(message.rows(), 0.0);
    stds.resize(message.rows(), 0.0);
    message.for_each_row(|i, values| {
        (means[i], stds[i]) = vectorize(
            #[inline(always)]
            || {
                copy_finite(values, most, row);
                standardize(row)
            },
        );
        narrow(Dtype::F16, row, &mut payload[start + i * row_bytes..][..row_bytes]);
        Ok(())
    })?;
    for statistics in [means, stds] {
        let start = payload.len();
        payload.resize(start + statistics.len() * 4, 0);
        narrow(Dtype::F32, statistics, &mut payload[start..]);
    }
    Ok(())
}

/// Replaces the values by (x - mean) / std within f16; returns mean and std.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn standardize(row: &mut [f32]) -> (f32, f32) {
    let mean = (sum(row) / row.len() as f64) as f32;
    for value in row.iter_mut() {
        *value = bounded(*value - mean, f32::MAX);
    }
    let std = (square_sum(row) / row.len() as f64).sqrt() as f32;
    let std = std.clamp(SMALLEST_STD, f32::MAX);
    for value in row.iter_mut() {
        *value = bounded(*value / std, Dtype::F16.largest());
    }
    (mean, std)
}

pub(crate) fn read_meanstd16(
    payload: &[u8],
    message: &mut MessageMut<'_>,
    scratch: &mut Scratch,
) -> Result<()> {
    let row_bytes = message.channels() * 2;
    let most = message.dtype().largest();
    let [means, stds] = &mut scratch.statistics;
    let planes = &payload[message.rows() * row_bytes..];
    for (statistics, bytes) in [means, stds].into_iter().zip(planes.chunks(message.rows() * 4)) {
        statistics.resize(message.rows(), 0.0);
        widen(Dtype::F32, bytes, statistics);
    }
    let [means, stds] = &scratch.statistics;
    message.for_each_row(|i, values| {
        widen(Dtype::F16, &payload[i * row_bytes..][..row_bytes], values);
        let (mean, std) = (means[i], stds[i]);
        vectorize(
            #[inline(always)]
            || {
                for value in values.iter_mut() {
                    *value = bounded(*value * std + mean, most);
                }
            },
        );
        Ok(())
    })
}

/// Sum of squares in f64.
#[inline(always)]
pub(crate) fn square_sum(values: &[f32]) -> f64 {
    let (whole, rest) = values.as_chunks::<16>();
    let mut sums = [0.0; 16];
    for chunk in whole {
        for lane in 0..16 {
            let value = f64::from(chunk[lane]);
            sums[lane] += value * value;
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum += f64::from(*value) * f64::from(*value);
    }
    sums.iter().sum()
}
