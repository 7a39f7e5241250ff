//! What earlier tokens say about the next one; the same on both sides.

use strait_codec_kit::slices::bounded;
use strait_sdk::prelude::*;

use crate::DeltaParams;

/// What a token is predicted from.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predict {
    /// The token before it.
    Previous,
    /// The straight line through the two tokens before it.
    Linear,
    /// A running average of the tokens before it.
    Average,
    /// The token before it, times a factor that is learnt for each channel.
    Adaptive,
}

/// Predicts the next token of a sequence.
#[derive(Debug)]
pub(crate) struct Predictor {
    predict: Predict,
    decay: f32,
    rate: f32,
    /// Tokens seen.
    tokens: usize,
    /// The last token, or the average.
    last: Vec<f32>,
    /// The token before the last one; for `adaptive` the sums n and d.
    before: Vec<f32>,
    squares: Vec<f32>,
}

impl Predictor {
    pub(crate) fn new(params: &DeltaParams) -> Self {
        let DeltaParams { predict, decay, rate, .. } = *params;
        let (last, before, squares) = (Vec::new(), Vec::new(), Vec::new());
        Predictor { predict, decay, rate, tokens: 0, last, before, squares }
    }

    pub(crate) fn reset(&mut self) {
        self.tokens = 0;
        self.last.fill(0.0);
        self.before.fill(0.0);
        self.squares.fill(0.0);
    }

    /// Starts anew when the number of channels changes.
    pub(crate) fn begin(&mut self, channels: usize) {
        if self.last.len() != channels {
            self.last.resize(channels, 0.0);
            self.before.resize(channels, 0.0);
            self.squares.resize(channels, 0.0);
            self.reset();
        }
    }

    /// The next token, within ±`most`.
    pub(crate) fn predict(&self, most: f32, prediction: &mut [f32]) {
        let linear = self.predict == Predict::Linear && self.tokens > 1;
        for (i, predicted) in prediction.iter_mut().enumerate() {
            let last = self.last[i];
            let next = match self.predict {
                Predict::Linear if linear => 2.0 * last - self.before[i],
                Predict::Adaptive if self.squares[i] > 0.0 => {
                    bounded(self.before[i] / self.squares[i], 1.0) * last
                }
                Predict::Adaptive => 0.0,
                _ => last,
            };
            let next = self.decay * next;
            // Sums of squares of huge values are infinite.
            *predicted = if next.is_nan() { 0.0 } else { bounded(next, most) };
        }
    }

    /// Takes a decoded token.
    #[inline(always)]
    pub(crate) fn learn(&mut self, token: &[f32]) {
        match self.predict {
            Predict::Average if self.tokens > 0 => {
                for (last, value) in self.last.iter_mut().zip(token) {
                    *last += self.rate * (value - *last);
                }
            }
            Predict::Adaptive => {
                let kept = 1.0 - self.rate;
                let sums = self.before.iter_mut().zip(&mut self.squares);
                for ((last, value), (n, d)) in self.last.iter_mut().zip(token).zip(sums) {
                    *n = kept * *n + value * *last;
                    *d = kept * *d + *last * *last;
                    *last = *value;
                }
            }
            _ => {
                self.before.copy_from_slice(&self.last);
                self.last.copy_from_slice(token);
            }
        }
        self.tokens += 1;
    }
}
