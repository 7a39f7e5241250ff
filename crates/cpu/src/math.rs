//! Elementwise functions that the compiler turns into vector code.

/// Computes `e^x` to about one unit in the last place; 0 below the normal range, NaN for NaN.
///
/// Cody-Waite reduction and the polynomial of Cephes `expf`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let value = exp_nonpositive(x);
    if x > 88.0 { f32::INFINITY } else { value }
}

/// Like [`exp`], for `x` up to 88; beyond that the result is meaningless.
#[inline(always)]
pub(crate) fn exp_nonpositive(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to a whole number.
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let p = 1.987_569_1e-4f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 5.0e-1);
    let p = p.mul_add(r * r, r) + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    let value = p * f32::from_bits(exponent);
    if x < -87.0 { 0.0 } else { value }
}

/// `x / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// The hyperbolic tangent, to about 2 units in the last place.
///
/// Near 0 it is the polynomial of Cephes `tanhf`, elsewhere it is computed from the exponential.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let size = x.abs();
    let z = x * x;
    let p = -5.704_988_7e-3f32;
    let p = p.mul_add(z, 2.063_908_8e-2);
    let p = p.mul_add(z, -5.373_971_5e-2);
    let p = p.mul_add(z, 1.333_144_2e-1);
    let p = p.mul_add(z, -3.333_328e-1);
    let near = (p * z).mul_add(x, x);
    let far = (1.0 - 2.0 / (exp(2.0 * size) + 1.0)).copysign(x);
    if size < 0.625 { near } else { far }
}

/// The error function, with an absolute error of at most 4e-7.
///
/// A rational function of `x` up to 3.95, beyond which erf is 1 to within 3e-8. The coefficients
/// come from a least-squares fit of `erf(x) / x` in f64, reweighted until its largest error, 2e-8,
/// was level.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let x = if x > 3.95 { 3.95 } else { x };
    let x = if x < -3.95 { -3.95 } else { x };
    let z = x * x;
    let p = 2.025_918e-6_f32;
    let p = p.mul_add(z, 2.846_856e-4);
    let p = p.mul_add(z, 3.808_082_3e-3);
    let p = p.mul_add(z, 5.287_520_2e-2);
    let p = p.mul_add(z, 1.915_485_1e-1);
    let p = p.mul_add(z, std::f32::consts::FRAC_2_SQRT_PI);
    let q = 3.783_179e-5f32;
    let q = q.mul_add(z, 1.170_705_9e-3);
    let q = q.mul_add(z, 1.505_493_3e-2);
    let q = q.mul_add(z, 1.145_588_8e-1);
    let q = q.mul_add(z, 5.030_881e-1);
    let q = q.mul_add(z, 1.0);
    x * p / q
}

/// Replaces every value by its exponential.
#[inline(always)]
pub(crate) fn exp_in_place(values: &mut [f32]) {
    for value in values {
        *value = exp(*value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_a_few_units() {
        let mut worst = 0.0f64;
        for step in 0..200_000 {
            let x = -86.9 + step as f32 * (174.0 / 200_000.0);
            let exact = f64::from(x).exp();
            worst = worst.max(((f64::from(exp(x)) - exact) / exact).abs());
        }
        assert!(worst < 2.0e-7, "{worst}");
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn silu_at_its_ends() {
        assert_eq!(silu(0.0), 0.0);
        assert_eq!(silu(100.0), 100.0);
        assert_eq!(silu(-100.0), 0.0);
        assert!((silu(1.0) - 0.731_058_6).abs() < 1e-7);
    }

    #[test]
    fn tanh_is_exact_to_a_few_units() {
        for step in 1..200_000 {
            let x = step as f32 * 5e-5;
            let exact = f64::from(x).tanh();
            let error = (f64::from(tanh(x)) - exact).abs() / exact;
            assert!(error < 2.5e-7, "{x}: {error}");
            assert_eq!(tanh(-x), -tanh(x));
        }
        assert_eq!((tanh(0.0), tanh(100.0), tanh(f32::NEG_INFINITY)), (0.0, 1.0, -1.0));
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn erf_agrees_with_its_series() {
        for step in 0..100_000 {
            let x = step as f32 * 5e-5;
            let z = f64::from(x);
            // erf(z) = 2 / sqrt(pi) e^(-z^2) sum of 2^n z^(2n+1) / (1 3 5 ... (2n+1))
            let (mut term, mut sum) = (z, z);
            for n in 1..120 {
                term *= 2.0 * z * z / f64::from(2 * n + 1);
                sum += term;
            }
            let exact = std::f64::consts::FRAC_2_SQRT_PI * (-z * z).exp() * sum;
            let error = (f64::from(erf(x)) - exact).abs();
            assert!(error < 4e-7, "{x}: {error}");
            assert_eq!(erf(-x), -erf(x));
        }
        assert!(erf(f32::NAN).is_nan());
    }
}
