//! The activation functions between the projections of an MLP.

use std::f32::consts::FRAC_1_SQRT_2;

use strait_ops::{Activation, Dtype};

use crate::math::{erf, silu, tanh};

/// `sqrt(2 / pi)`.
const ROOT: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

/// Replaces every value by its activation, rounded.
#[inline(always)]
pub(crate) fn activate(activation: Activation, values: &mut [f32], dtype: Dtype) {
    match activation {
        Activation::Silu => {
            for x in values.iter_mut() {
                *x = silu(*x);
            }
        }
        Activation::Gelu => {
            for x in values.iter_mut() {
                *x = *x * 0.5 * (1.0 + erf(*x * FRAC_1_SQRT_2));
            }
        }
        Activation::GeluTanh => {
            for x in values.iter_mut() {
                *x = 0.5 * *x * (1.0 + tanh(ROOT * (*x + CUBIC * *x * *x * *x)));
            }
        }
        Activation::GeluNew => {
            for x in values.iter_mut() {
                let cube = rounded(rounded(*x * *x, dtype) * *x, dtype);
                let sum = rounded(*x + rounded(CUBIC * cube, dtype), dtype);
                *x = half(*x, rounded(ROOT * sum, dtype), dtype);
            }
        }
        Activation::GeluFast => {
            for x in values.iter_mut() {
                let square = rounded(rounded(CUBIC * *x, dtype) * *x, dtype);
                let factor = rounded(1.0 + square, dtype);
                *x = half(*x, rounded(rounded(*x * ROOT, dtype) * factor, dtype), dtype);
            }
        }
        Activation::Relu => {
            for x in values.iter_mut() {
                *x = x.max(0.0);
            }
        }
        Activation::ReluSquared => {
            for x in values.iter_mut() {
                let positive = x.max(0.0);
                *x = positive * positive;
            }
        }
    }
    dtype.round(values);
}

/// Computes `x / 2 (1 + tanh(inner))`, with every step rounded.
#[inline(always)]
fn half(x: f32, inner: f32, dtype: Dtype) -> f32 {
    let sum = rounded(1.0 + rounded(tanh(inner), dtype), dtype);
    rounded(0.5 * x, dtype) * sum
}

#[inline(always)]
fn rounded(value: f32, dtype: Dtype) -> f32 {
    let mut one = [value];
    dtype.round(&mut one);
    one[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activated(activation: Activation, dtype: Dtype, x: f32) -> f32 {
        let mut values = [x];
        activate(activation, &mut values, dtype);
        values[0]
    }

    #[test]
    fn values_of_torch() {
        // Reference values from torch 2.15: torch.nn.functional.gelu and gelu(approximate="tanh")
        // of f64 values.
        for (x, exact, tanh) in GELU {
            let found = activated(Activation::Gelu, Dtype::F32, x);
            assert!((f64::from(found) - exact).abs() < 6e-7, "{x}: {found} {exact}");
            for kind in [Activation::GeluTanh, Activation::GeluNew, Activation::GeluFast] {
                let found = activated(kind, Dtype::F32, x);
                assert!((f64::from(found) - tanh).abs() < 6e-7, "{kind:?} {x}: {found} {tanh}");
            }
        }
    }

    #[test]
    fn what_is_negative_becomes_zero() {
        for (x, plain, squared) in [(-2.5, 0.0, 0.0), (0.0, 0.0, 0.0), (1.5, 1.5, 2.25)] {
            assert_eq!(activated(Activation::Relu, Dtype::F32, x), plain);
            assert_eq!(activated(Activation::ReluSquared, Dtype::F32, x), squared);
        }
        assert_eq!(activated(Activation::ReluSquared, Dtype::Bf16, 1.0078125), 1.015625);
    }

    #[test]
    fn steps_are_rounded_as_in_torch() {
        // Reference values from transformers 5.23: NewGELUActivation and FastGELUActivation of
        // bfloat16 values.
        for (x, new, fast) in STEPS {
            assert_eq!(f64::from(activated(Activation::GeluNew, Dtype::Bf16, x)), new, "{x}");
            assert_eq!(f64::from(activated(Activation::GeluFast, Dtype::Bf16, x)), fast, "{x}");
        }
    }

    const GELU: [(f32, f64, f64); 12] = [
        (-6.0, -5.919525869479969e-09, -8.43964897967453e-11),
        (-3.5, -0.0008142017766243903, -0.0006161976553737403),
        (-1.25, -0.13206221708356905, -0.13228579703028542),
        (-0.5, -0.15426876936299344, -0.15428599017485606),
        (-0.015625, -0.0077151059453142235, -0.007715105964926623),
        (0.0, 0.0, 0.0),
        (0.0009765625, 0.0004886617109460747, 0.0004886617109457754),
        (0.375, 0.2423136625022714, 0.24230776689151162),
        (1.0, 0.841344746068543, 0.8411919906082768),
        (2.25, 2.2224949365261493, 2.222798670102711),
        (4.5, 4.4999847104709385, 4.499994863262588),
        (9.0, 9.0, 9.0),
    ];
    const STEPS: [(f32, f64, f64); 8] = [
        (-1.6875, -0.07568359375, -0.0791015625),
        (-1.265625, -0.12890625, -0.130859375),
        (-0.828125, -0.16796875, -0.169921875),
        (-1.4375, -0.109375, -0.1064453125),
        (-1.59375, -0.09033203125, -0.0869140625),
        (-0.890625, -0.1669921875, -0.1650390625),
        (-1.796875, -0.06298828125, -0.06689453125),
        (-0.8203125, -0.169921875, -0.16796875),
    ];
}
