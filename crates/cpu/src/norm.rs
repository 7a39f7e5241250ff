//! Norms of a panel: every token's channels are processed in order and independently of other
//! tokens.

use pulp::Simd;
use strait_ops::{NormKind, NormTensors};

use crate::rules::Rules;

/// A norm's weights, rounded to the model's dtype.
pub struct Norm {
    weight: Vec<f32>,
    /// As long as `weight`.
    bias: Vec<f32>,
    eps: f32,
}

impl Norm {
    pub(crate) fn new(tensors: NormTensors, rules: Rules) -> Norm {
        let NormTensors { mut weight, bias, eps } = tensors;
        let eps = eps.map_or(rules.eps, |eps| eps as f32);
        let mut bias = bias.unwrap_or_else(|| vec![0.0; weight.len()]);
        rules.dtype.round(&mut weight);
        rules.dtype.round(&mut bias);
        if rules.norm == NormKind::RmsPlusOne {
            weight.iter_mut().for_each(|weight| *weight += 1.0);
        }
        Norm { weight, bias, eps }
    }

    /// Channels that the norm is taken over.
    pub(crate) fn channels(&self) -> usize {
        self.weight.len()
    }

    /// Writes the norm of one panel `[channels, NR]` to `out`.
    #[inline(always)]
    pub(crate) fn write<S: Simd, const NR: usize>(
        &self,
        _simd: S,
        x: &[[f32; NR]],
        out: &mut [[f32; NR]],
        rules: Rules,
    ) {
        let moments = Moments::of(x, self.eps, rules);
        let weights = self.weight.iter().zip(&self.bias);
        for ((out, row), (weight, bias)) in out.iter_mut().zip(x).zip(weights) {
            *out = *row;
            moments.apply(out, *weight, *bias, rules);
        }
    }

    /// Replaces one panel `[channels, NR]` by its norm.
    #[inline(always)]
    pub(crate) fn replace<S: Simd, const NR: usize>(
        &self,
        _simd: S,
        x: &mut [[f32; NR]],
        rules: Rules,
    ) {
        let moments = Moments::of(x, self.eps, rules);
        for ((row, weight), bias) in x.iter_mut().zip(&self.weight).zip(&self.bias) {
            moments.apply(row, *weight, *bias, rules);
        }
    }
}

/// What a norm subtracts from a token's channels, and the factor it multiplies them by.
struct Moments<const NR: usize> {
    mean: [f32; NR],
    factor: [f32; NR],
}

impl<const NR: usize> Moments<NR> {
    #[inline(always)]
    fn of(x: &[[f32; NR]], eps: f32, rules: Rules) -> Moments<NR> {
        let count = x.len() as f32;
        let (mut mean, mut squares) = ([0.0f32; NR], [0.0f32; NR]);
        if rules.norm == NormKind::Layer {
            for row in x {
                for (sum, value) in mean.iter_mut().zip(row) {
                    *sum += value;
                }
            }
            for mean in &mut mean {
                *mean /= count;
            }
            for row in x {
                for ((square, value), mean) in squares.iter_mut().zip(row).zip(&mean) {
                    *square = (value - mean).mul_add(value - mean, *square);
                }
            }
        } else {
            for row in x {
                for (square, value) in squares.iter_mut().zip(row) {
                    *square = value.mul_add(*value, *square);
                }
            }
        }
        let mut factor = [0.0f32; NR];
        for (factor, square) in factor.iter_mut().zip(squares) {
            *factor = 1.0 / (square / count + eps).sqrt();
        }
        Moments { mean, factor }
    }

    #[inline(always)]
    fn apply(&self, row: &mut [f32; NR], weight: f32, bias: f32, rules: Rules) {
        if rules.norm == NormKind::Layer {
            for ((value, mean), factor) in row.iter_mut().zip(&self.mean).zip(&self.factor) {
                *value = ((*value - mean) * factor).mul_add(weight, bias);
            }
        } else {
            for (value, factor) in row.iter_mut().zip(&self.factor) {
                *value *= factor;
            }
            if rules.norm == NormKind::Rms {
                rules.dtype.round(row);
            }
            for value in row.iter_mut() {
                *value *= weight;
            }
        }
        rules.dtype.round(row);
    }
}
