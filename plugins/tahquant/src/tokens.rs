//! Which tokens take fewer bits: those whose magnitudes are the least evenly spread.

use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

use crate::tile::magnitude;

const LANES: usize = 16;

/// Marks the ⌊rows (1 - share)⌋ tokens of the lowest entropy; of equal ones the first.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(crate) fn low(share: f64, largest: f32, message: Message<'_>) -> Result<Vec<bool>> {
    let rows = message.rows();
    let count = ((rows as f64 * (1.0 - share)) as usize).min(rows);
    let mut low = vec![false; rows];
    if count == 0 {
        return Ok(low);
    }
    let mut entropies = vec![0.0; rows];
    message.for_each_row(|row, values| {
        entropies[row] = vectorize(
            #[inline(always)]
            || entropy(values, largest),
        );
        Ok(())
    })?;
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by(|a, b| entropies[*a].total_cmp(&entropies[*b]));
    order.iter().take(count).for_each(|row| low[*row] = true);
    Ok(low)
}

/// -Σ p ln p with p = |x| / Σ|x|, which is ln Σ|x| - Σ|x| ln|x| / Σ|x|; 0 of all zeros.
#[inline(always)]
fn entropy(values: &[f32], largest: f32) -> f64 {
    let mut sums = [0.0_f64; LANES];
    let mut products = [0.0_f64; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    let mut last = [0.0; LANES];
    last[..rest.len()].copy_from_slice(rest);
    for chunk in whole.iter().chain([&last]) {
        for lane in 0..LANES {
            let x = magnitude(chunk[lane], largest);
            sums[lane] += f64::from(x);
            products[lane] += f64::from(x) * f64::from(ln(x));
        }
    }
    let (sum, product): (f64, f64) = (sums.iter().sum(), products.iter().sum());
    if sum > 0.0 { sum.ln() - product / sum } else { 0.0 }
}

/// Natural logarithm to about 2e-7, without branches; that of 0 is finite.
#[inline(always)]
fn ln(x: f32) -> f32 {
    // x = 2^e m with m from √½ to √2, and ln m = 2 artanh((m - 1) / (m + 1)).
    let bits = x.to_bits().wrapping_sub(0x3f35_04f3).cast_signed();
    #[allow(clippy::cast_precision_loss)]
    let exponent = (bits >> 23) as f32;
    let m = f32::from_bits((bits.cast_unsigned() & 0x7f_ffff).wrapping_add(0x3f35_04f3));
    let t = (m - 1.0) / (m + 1.0);
    let s = t * t;
    let series = 1.0 + s * (1.0 / 3.0 + s * (0.2 + s * (1.0 / 7.0 + s * (1.0 / 9.0))));
    exponent * std::f32::consts::LN_2 + 2.0 * t * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_that_of_the_library() {
        for exponent in -126..127 {
            for mantissa in [1.0, 1.2, 1.414, 1.4143, 1.7, 1.999_999] {
                let x = mantissa * 2.0_f32.powi(exponent);
                assert!((ln(x) - x.ln()).abs() <= 2e-7 * x.ln().abs() + 2e-7, "{x}");
            }
        }
        assert!(ln(0.0).is_finite());
    }

    #[test]
    fn even_magnitudes_have_the_highest_entropy() {
        assert!((entropy(&[3.0; 50], 10.0) - 50.0_f64.ln()).abs() < 1e-6);
        assert!((entropy(&[f32::INFINITY, -10.0, f32::NAN], 10.0) - 2.0_f64.ln()).abs() < 1e-6);
        assert_eq!(entropy(&[0.0; 20], 10.0), 0.0);
        let one = [0.0, 5.0, 0.0];
        assert!(entropy(&one, 10.0).abs() < 1e-6);
    }
}
