//! Narrower ranges: percentiles, the smallest squared error, and a share of either.

use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

use crate::fit::{cell, levels};
use crate::grid::Grid;
use crate::kernels::{Extent, larger, smaller, squared_error};
use crate::params::largest;
use crate::{AffineParams, Range, Scheme};

/// Replaces the full range of every cell by the one that the parameters ask for.
pub(crate) fn narrow(
    params: &AffineParams,
    grid: &Grid,
    message: Message<'_>,
    extents: &mut [Extent],
) {
    let largest = largest(message.dtype());
    let mut sorted = Vec::new();
    if params.range != Range::Full && !extents.is_empty() {
        grid.for_each_cell(&message.to_f32(), message.channels(), |cell, values| {
            extents[cell] = match params.range {
                Range::Percentile => percentile(params, largest, values, &mut sorted),
                Range::Mse | Range::Full => search(params, largest, values, extents[cell]),
            };
        });
    }
    if params.clip < 1.0 {
        extents.iter_mut().for_each(|extent| *extent = share(params, *extent, params.clip));
    }
}

/// The range between two ranks of the values; NaN is left out.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn percentile(params: &AffineParams, largest: f32, values: &[f32], work: &mut Vec<f32>) -> Extent {
    let symmetric = params.scheme == Scheme::Symmetric;
    work.clear();
    work.extend(values.iter().filter(|value| !value.is_nan()).map(|value| {
        let value = value.clamp(-largest, largest);
        if symmetric { value.abs() } else { value }
    }));
    let Some(last) = work.len().checked_sub(1) else { return Extent::ZERO };
    let rank = |percent: f64| ((percent / 100.0 * last as f64).round() as usize).min(last);
    let mut at = |rank: usize| *work.select_nth_unstable_by(rank, f32::total_cmp).1;
    let high = at(rank(params.percentile));
    let low = if symmetric { -high } else { at(rank(100.0 - params.percentile)) };
    match params.scheme {
        Scheme::Minimum => Extent { low, high },
        Scheme::Symmetric | Scheme::Asymmetric => {
            Extent { low: smaller(0.0, low), high: larger(0.0, high) }
        }
    }
}

/// The share of the full range with the smallest squared error; of equal ones the largest.
fn search(params: &AffineParams, largest: f32, values: &[f32], full: Extent) -> Extent {
    let levels = levels(params);
    let mut best = (f64::INFINITY, full);
    for step in 0..params.steps {
        let part = 1.0 - f64::from(step) / f64::from(params.steps);
        if part <= 0.2 {
            break;
        }
        let extent = share(params, full, part);
        let cell = cell(params, extent);
        let error = vectorize(
            #[inline(always)]
            || squared_error(cell, levels, largest, values),
        );
        if error < best.0 {
            best = (error, extent);
        }
    }
    best.1
}

/// A share of a range: of both ends where 0 stays in it, else of the distance to its middle.
#[allow(clippy::cast_possible_truncation)]
fn share(params: &AffineParams, extent: Extent, part: f64) -> Extent {
    let (low, high) = (f64::from(extent.low), f64::from(extent.high));
    let middle = match params.scheme {
        Scheme::Minimum => f64::midpoint(low, high),
        Scheme::Symmetric | Scheme::Asymmetric => 0.0,
    };
    Extent {
        low: (middle + (low - middle) * part) as f32,
        high: (middle + (high - middle) * part) as f32,
    }
}

#[cfg(test)]
mod tests {
    use strait_sdk::serde_json::json;

    use super::*;

    #[test]
    fn ranks_leave_the_outliers_out() {
        let mut values: Vec<f32> = (0..101_u8).map(f32::from).collect();
        values[100] = 5000.0;
        values.push(f32::NAN);
        let found = |scheme: &str| {
            let params = json!({ "scheme": scheme, "percentile": 99.0 });
            let params = AffineParams::from_json(&params).unwrap();
            percentile(&params, 1e9, &values, &mut Vec::new())
        };
        assert_eq!(found("minimum"), Extent { low: 1.0, high: 99.0 });
        assert_eq!(found("asymmetric"), Extent { low: 0.0, high: 99.0 });
        assert_eq!(found("symmetric"), Extent { low: -99.0, high: 99.0 });
    }

    #[test]
    fn the_search_gives_up_a_lone_outlier_for_the_many() {
        let mut values: Vec<f32> =
            (0..1000).map(|i| ((i * 37) % 100) as f32 / 50.0 - 1.0).collect();
        values[7] = 1.6;
        let params = json!({ "bits": 2, "scheme": "symmetric", "scale_dtype": "f32" });
        let params = AffineParams::from_json(&params).unwrap();
        let found = search(&params, 1e9, &values, Extent { low: -1.0, high: 1.6 });
        assert!(found.high < 1.0, "{found:?}");
        let even = [1.0, -1.0, 0.0, 1.0];
        let full = Extent { low: -1.0, high: 1.0 };
        assert_eq!(search(&params, 1e9, &even, full), full);
    }

    #[test]
    fn a_share_keeps_the_middle_of_a_minimum() {
        let params = AffineParams::from_json(&json!({ "scheme": "minimum" })).unwrap();
        let extent = Extent { low: 100.0, high: 102.0 };
        assert_eq!(share(&params, extent, 0.5), Extent { low: 100.5, high: 101.5 });
        let wide = Extent { low: f32::MIN, high: f32::MAX };
        assert_eq!(share(&params, wide, 1.0), wide);
    }
}
