//! `uniform8` and `quantile8`: a codebook of bucket means, and an index a value.

use strait_codec_kit::slices::{bounded, sum};
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;
use strait_sdk::{narrow, widen};

use crate::floats::square_sum;
use crate::{Scratch, check_length, quantile, search};

/// Entries of a codebook.
const ENTRIES: usize = 256;
/// Bytes before the indices: the number of entries, and the entries.
pub(crate) const HEAD: usize = 8 + 4 * ENTRIES;
/// Even buckets cover this many standard deviations.
const SIGMAS: f32 = 6.0;
/// The bucket of the mean.
const MIDDLE: f32 = 128.0;

/// Adding this to a number of magnitude below 2^22 rounds it to an integer, ties to even, and
/// leaves that integer in the lowest bits.
const ROUND: f32 = 12_582_912.0;

pub(crate) fn append_uniform(scratch: &Scratch, payload: &mut Vec<u8>) {
    append(&scratch.values, payload, |values, codes| {
        let (mean, scale) = vectorize(
            #[inline(always)]
            || mean_and_scale(values),
        );
        let factor = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        vectorize(
            #[inline(always)]
            || {
                for (code, value) in codes.iter_mut().zip(values) {
                    *code = even_bucket((*value - mean) * factor);
                }
            },
        );
    });
}

pub(crate) fn append_quantile(scratch: &mut Scratch, payload: &mut Vec<u8>) {
    let borders = quantile::borders(&scratch.values, &mut scratch.keys);
    append(&scratch.values, payload, |values, codes| {
        vectorize(
            #[inline(always)]
            || search::buckets(&borders, 1.0, values, codes),
        );
    });
}

pub(crate) fn read(payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
    let (head, codes) = payload.split_at(HEAD);
    check_length(&head[..8], ENTRIES, "codebook")?;
    let most = message.dtype().largest();
    let mut codebook = [0.0; ENTRIES];
    widen(Dtype::F32, &head[8..], &mut codebook);
    let codebook = codebook.map(|entry| bounded(entry, most));
    message.for_each_row(|row, values| {
        let codes = &codes[row * values.len()..][..values.len()];
        vectorize(
            #[inline(always)]
            || {
                for (value, code) in values.iter_mut().zip(codes) {
                    *value = codebook[usize::from(*code)];
                }
            },
        );
        Ok(())
    })
}

/// Appends the head and the indices that `fill` writes; the codebook has the mean of each bucket.
fn append(values: &[f32], payload: &mut Vec<u8>, fill: impl FnOnce(&[f32], &mut [u8])) {
    payload.extend_from_slice(&(ENTRIES as u64).to_le_bytes());
    let start = payload.len();
    payload.resize(start + 4 * ENTRIES + values.len(), 0);
    let (codebook, codes) = payload[start..].split_at_mut(4 * ENTRIES);
    fill(values, codes);
    narrow(Dtype::F32, &bucket_means(values, codes), codebook);
}

/// Mean of all values, and the width of a bucket: 6 / 256 unbiased standard deviations.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn mean_and_scale(values: &[f32]) -> (f32, f32) {
    let count = values.len() as f64;
    let mean = (sum(values) / count) as f32;
    let (whole, rest) = values.as_chunks::<256>();
    let mut squares = 0.0;
    let mut centered = [0.0; 256];
    for values in whole {
        for (centered, value) in centered.iter_mut().zip(values) {
            *centered = bounded(*value - mean, f32::MAX);
        }
        squares += square_sum(&centered);
    }
    for value in rest {
        squares += f64::from(bounded(*value - mean, f32::MAX)).powi(2);
    }
    let std = (squares / (count - 1.0).max(1.0)).sqrt() as f32;
    (mean, ((f64::from(SIGMAS) * f64::from(std)) / 256.0) as f32)
}

/// The bucket of a value this many bucket widths from the mean.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
fn even_bucket(steps: f32) -> u8 {
    let steps = if steps > 255.0 - MIDDLE { 255.0 - MIDDLE } else { steps };
    let steps = if steps > -MIDDLE { steps } else { -MIDDLE };
    ((steps + ROUND).to_bits() as u8).wrapping_add(MIDDLE as u8)
}

/// The mean of the values of each bucket; 0 where there is none.
#[allow(clippy::cast_possible_truncation)]
fn bucket_means(values: &[f32], codes: &[u8]) -> [f32; ENTRIES] {
    // Four tables, so that equal neighbours do not wait for each other.
    let mut sums = [[0.0_f64; ENTRIES]; 4];
    let mut counts = [[0_u32; ENTRIES]; 4];
    for (values, codes) in values.chunks(4).zip(codes.chunks(4)) {
        for (lane, (value, code)) in values.iter().zip(codes).enumerate() {
            sums[lane & 3][usize::from(*code)] += f64::from(*value);
            counts[lane & 3][usize::from(*code)] += 1;
        }
    }
    std::array::from_fn(|i| {
        let sum: f64 = sums.iter().map(|sums| sums[i]).sum();
        let count: f64 = counts.iter().map(|counts| f64::from(counts[i])).sum();
        (sum / count.max(1.0)) as f32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_buckets_round_to_even_and_saturate() {
        let steps = [0.0, 0.5, 1.5, -0.5, -1.5, 126.6, 1e30, -128.4, -1e30, f32::NAN];
        let expected = [128, 128, 130, 128, 126, 255, 255, 0, 0, 0];
        assert_eq!(steps.map(even_bucket), expected);
    }

    #[test]
    fn equal_values_share_the_middle_bucket() {
        let scratch = Scratch { values: vec![3.25; 5], ..Scratch::default() };
        let mut payload = Vec::new();
        append_uniform(&scratch, &mut payload);
        assert_eq!(payload[HEAD..], [128; 5]);
        assert_eq!(payload[8 + 4 * 128..][..4], 3.25_f32.to_le_bytes());
    }
}
