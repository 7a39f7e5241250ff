//! RMSNorm of a panel, and the rounding that follows every operation.

use pulp::Simd;
use strait_ops::Dtype;

/// Writes `norm(x) * weight` of one panel `[channels, NR]` to `out`.
///
/// Squares are summed over the channels in order, apart for every token; in a half type the value
/// is rounded before and after the weight, as Transformers does.
#[inline(always)]
pub(crate) fn norm<S: Simd, const NR: usize>(
    _simd: S,
    x: &[[f32; NR]],
    weight: &[f32],
    eps: f32,
    dtype: Dtype,
    out: &mut [[f32; NR]],
) {
    let mut squares = [0.0f32; NR];
    for row in x {
        for (square, value) in squares.iter_mut().zip(row) {
            *square = value.mul_add(*value, *square);
        }
    }
    let mut factor = [0.0f32; NR];
    for (factor, square) in factor.iter_mut().zip(squares) {
        *factor = 1.0 / (square / x.len() as f32 + eps).sqrt();
    }
    for ((out, row), weight) in out.iter_mut().zip(x).zip(weight) {
        for ((out, value), factor) in out.iter_mut().zip(row).zip(&factor) {
            *out = value * factor;
        }
        dtype.round(out);
        for out in out.iter_mut() {
            *out *= weight;
        }
        dtype.round(out);
    }
}

/// `y += bias`, rounded.
#[inline(always)]
pub(crate) fn add_bias<const NR: usize>(y: &mut [f32; NR], bias: f32, dtype: Dtype) {
    for y in y.iter_mut() {
        *y += bias;
    }
    dtype.round(y);
}

/// `x += y + bias`, rounded after each step.
#[inline(always)]
pub(crate) fn add_residual<const NR: usize>(
    x: &mut [f32; NR],
    y: &mut [f32; NR],
    bias: f32,
    dtype: Dtype,
) {
    add_bias(y, bias, dtype);
    for (x, y) in x.iter_mut().zip(y) {
        *x += *y;
    }
    dtype.round(x);
}
