//! From sample messages to an artifact, and from an artifact to transforms.
//!
//! Artifact, little-endian: `strait-frontier-1`, then for every width of rows that the samples had: the
//! width and the block limit (u32 each), the deviation of an ordinary channel (f32), the mean (f32 for
//! each channel), the deviation of each coefficient (f32), and the rotations: an i16 for each element,
//! in units of 1/32767. They are made orthogonal again when they are read.

use std::collections::BTreeMap;

use strait_sdk::prelude::*;

use crate::eigen::eigen;
use crate::matrix::Matrix;
use crate::step::deviation;
use crate::transform::{Transform, widths};

const MAGIC: &[u8] = b"strait-frontier-1";

/// A row counts in full up to this many times the median norm: sinks must not take the first vectors.
const USUAL: f64 = 4.0;

/// How much of a covariance is believed to hold for other texts.
const TRUST: f64 = 0.7;

/// Unit of the elements of a rotation.
const UNIT: f32 = 1.0 / 32767.0;

/// Makes an artifact with rotations of at most `block` channels.
pub(crate) fn fit(samples: &[Message<'_>], block: usize) -> Result<Vec<u8>> {
    let mut rows: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.shape().values() > 0) {
        let finite = sample.to_f32();
        let rows = rows.entry(sample.channels()).or_default();
        for row in finite.chunks_exact(sample.channels()) {
            if row.iter().all(|value| value.is_finite()) {
                rows.extend_from_slice(row);
            }
        }
    }
    let mut artifact = MAGIC.to_vec();
    for (channels, rows) in rows.iter().filter(|(_, rows)| !rows.is_empty()) {
        fit_width(rows, *channels, block, &mut artifact)?;
    }
    if artifact.len() == MAGIC.len() {
        return Err("fit: expected at least one finite row, found none".into());
    }
    Ok(artifact)
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn fit_width(rows: &[f32], channels: usize, block: usize, artifact: &mut Vec<u8>) -> Result<()> {
    let count = |count: usize| {
        u32::try_from(count).map_err(|_| Error::new(format!("fit: {count} channels are too many")))
    };
    artifact.extend_from_slice(&count(channels)?.to_le_bytes());
    artifact.extend_from_slice(&count(block.min(channels))?.to_le_bytes());
    let rows: Vec<&[f32]> = rows.chunks_exact(channels).collect();
    let norm = |row: &[f32]| row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    let norms: Vec<f64> = rows.iter().map(|row| norm(row)).collect();
    let limit = USUAL * median(norms.clone());
    let usual: Vec<&[f32]> =
        rows.iter().zip(&norms).filter(|(_, norm)| **norm <= limit).map(|(row, _)| *row).collect();
    let mut scratch = Vec::new();
    let sigma = median(usual.iter().map(|row| deviation(row, &mut scratch)).collect());
    artifact.extend_from_slice(&(sigma as f32).to_le_bytes());
    let mut mean = vec![0.0_f64; channels];
    for row in &usual {
        mean.iter_mut().zip(*row).for_each(|(mean, value)| *mean += f64::from(*value));
    }
    let mean: Vec<f32> = mean.iter().map(|sum| (sum / usual.len() as f64) as f32).collect();
    mean.iter().for_each(|mean| artifact.extend_from_slice(&mean.to_le_bytes()));
    let (mut deviations, mut bases) = (Vec::new(), Vec::new());
    let mut start = 0;
    for width in widths(channels, block) {
        let covariance = covariance(&usual, &mean, start, width);
        let (values, vectors) = eigen(covariance, width);
        deviations.extend(values.iter().map(|value| value.max(0.0).sqrt() as f32));
        bases.extend(vectors.iter().map(|element| (*element as f32 / UNIT).round() as i16));
        start += width;
    }
    deviations.iter().for_each(|value| artifact.extend_from_slice(&value.to_le_bytes()));
    bases.iter().for_each(|element| artifact.extend_from_slice(&element.to_le_bytes()));
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Covariance of some channels, moved towards its diagonal.
#[allow(clippy::cast_precision_loss)]
fn covariance(rows: &[&[f32]], mean: &[f32], start: usize, width: usize) -> Vec<f64> {
    let mut sums = vec![0.0_f64; width * width];
    let mut part = vec![0.0_f32; width * width];
    let mut centred = vec![0.0_f32; width];
    // Sums of a few rows are exact enough in f32.
    for rows in rows.chunks(64) {
        part.fill(0.0);
        for row in rows {
            let values = row[start..][..width].iter().zip(&mean[start..]);
            centred.iter_mut().zip(values).for_each(|(c, (value, mean))| *c = value - mean);
            for (part, value) in part.chunks_exact_mut(width).zip(&centred) {
                part.iter_mut().zip(&centred).for_each(|(part, other)| *part += value * other);
            }
        }
        sums.iter_mut().zip(&part).for_each(|(sum, part)| *sum += f64::from(*part));
    }
    for (row, sums) in sums.chunks_exact_mut(width).enumerate() {
        for (column, sum) in sums.iter_mut().enumerate() {
            let kept = if row == column { 1.0 } else { TRUST };
            *sum *= kept / rows.len() as f64;
        }
    }
    sums
}

/// Reads an artifact.
///
/// # Errors
/// Bytes that [`fit`] cannot have written.
pub(crate) fn read(artifact: &[u8]) -> Result<Vec<Transform>> {
    let Some(rest) = artifact.strip_prefix(MAGIC) else {
        return Err("artifact: expected one that `frontier-fitted` made, found other bytes".into());
    };
    let mut reader = Reader(rest);
    let mut transforms: Vec<Transform> = Vec::new();
    while !reader.0.is_empty() {
        let (channels, block) = (reader.u32()? as usize, reader.u32()? as usize);
        let deviation = reader.floats(1)?[0];
        let (mean, deviations) = (reader.floats(channels)?, reader.floats(channels)?);
        let mut bases = Vec::new();
        for width in widths(channels, block) {
            let elements = reader.take(width.saturating_mul(width).saturating_mul(2))?;
            let elements = elements.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes));
            let basis: Vec<f32> = elements.map(|element| f32::from(element) * UNIT).collect();
            bases.extend(orthogonal(&basis, width));
        }
        let numbers = [&mean, &deviations, &bases];
        if channels == 0 || numbers.into_iter().flatten().any(|x| !x.is_finite()) {
            return Err("artifact: expected finite numbers, found others".into());
        }
        transforms.push(Transform::new(
            deviation,
            mean,
            deviations,
            widths(channels, block),
            &bases,
        ));
    }
    Ok(transforms)
}

/// One Newton step to the nearest orthogonal matrix, (3 U − U Uᵀ U) / 2, undoes the rounding.
fn orthogonal(basis: &[f32], width: usize) -> Vec<f32> {
    let transposed = Matrix::new(width, |row, column| basis[column * width + row]);
    let plain = Matrix::new(width, |row, column| basis[row * width + column]);
    let (mut gram, mut cubed) = (vec![0.0; basis.len()], vec![0.0; basis.len()]);
    transposed.multiply(basis, &mut gram, width, 0);
    plain.multiply(&gram, &mut cubed, width, 0);
    basis.iter().zip(&cubed).map(|(one, three)| 1.5 * one - 0.5 * three).collect()
}

/// Takes numbers from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or_else(|| {
            Error::new(format!("artifact: expected {bytes} more bytes, found {}", self.0.len()))
        })?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().unwrap_or_default()))
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f32>> {
        let bytes = self.take(count.saturating_mul(4))?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_of_other_bytes_are_refused() {
        let values: Vec<u8> = (0..5 * 4 * 7_u8).map(|i| i.wrapping_mul(37) % 61).collect();
        let shape = Shape { rows: 20, channels: 7, dtype: Dtype::F32 };
        let bytes: Vec<u8> = values.iter().flat_map(|v| f32::from(*v).to_le_bytes()).collect();
        let sample = Message::new(shape, &bytes, &[]).unwrap();
        let artifact = fit(&[sample], 4).unwrap();
        assert_eq!(read(&artifact).unwrap()[0].channels(), 7);
        for cut in 0..artifact.len() {
            // Only a whole artifact, or one of no widths, which no `fit` makes.
            assert_eq!(read(&artifact[..cut]).is_ok(), cut == MAGIC.len(), "{cut}");
        }
        assert!(fit(&[], 4).is_err());
    }
}
