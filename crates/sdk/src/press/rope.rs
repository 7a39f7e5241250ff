//! Rope: putting a position into a query or a key, taking it out, and its mean over positions.

use std::borrow::Cow;

use strait_abi::press::{ROPE_HALVES, ROPE_PAIRS, RopeView};

use crate::{Error, Result};

/// [Rotary embedding](https://arxiv.org/abs/2104.09864) as the model applies it.
#[derive(Clone, Debug)]
pub struct Rope<'a> {
    inverse_frequencies: Cow<'a, [f32]>,
    attention_factor: f32,
    pairs: bool,
    keys_rotated: bool,
}

impl<'a> Rope<'a> {
    pub(super) fn new(view: &RopeView<'a>) -> Result<Self> {
        let pairs = match view.layout {
            ROPE_HALVES => false,
            ROPE_PAIRS => true,
            other => {
                return Err(Error::new(format!(
                    "rope layout: expected 0 (halves) or 1 (pairs), found {other}; rebuild the \
                     plugin with a newer strait-sdk"
                )));
            }
        };
        Ok(Rope {
            inverse_frequencies: Cow::Borrowed(view.inverse_frequencies.as_slice()),
            attention_factor: view.attention_factor,
            pairs,
            keys_rotated: view.keys_rotated,
        })
    }

    /// Whether the keys of the layer are given rotated.
    pub fn keys_are_rotated(&self) -> bool {
        self.keys_rotated
    }

    /// Rotates one query or key, `[head_dim]`, to a position.
    pub fn rotate(&self, row: &mut [f32], position: usize) {
        self.turn(row, |frequency| {
            let (sin, cos) = angle(position, frequency).sin_cos();
            (self.scaled(sin), self.scaled(cos))
        });
    }

    /// Takes the position out of one rotated query or key, `[head_dim]`.
    pub fn unrotate(&self, row: &mut [f32], position: usize) {
        let factor = f64::from(self.attention_factor);
        self.turn(row, |frequency| {
            let (sin, cos) = angle(position, frequency).sin_cos();
            ((-sin / factor) as f32, (cos / factor) as f32)
        });
    }

    /// Rotates one query or key, `[head_dim]`, by a sine and cosine for each pair of channels, as
    /// from [`mean_rotation`](Rope::mean_rotation).
    pub fn rotate_by(&self, row: &mut [f32], rotation: &[(f32, f32)]) {
        let mut rotation = rotation.iter();
        self.turn(row, |_| rotation.next().copied().unwrap_or((0.0, 1.0)));
    }

    /// Mean sine and cosine of each pair of channels over `count` positions from `first` on: the
    /// expected rotation of a future query. No rotation when `count` is 0.
    pub fn mean_rotation(&self, first: usize, count: usize) -> Vec<(f32, f32)> {
        let mean = |frequency: &f32| {
            if count == 0 {
                return (0.0, 1.0);
            }
            let (mut sin_sum, mut cos_sum) = (0.0, 0.0);
            for position in first..first.saturating_add(count) {
                let (sin, cos) = angle(position, *frequency).sin_cos();
                sin_sum += sin;
                cos_sum += cos;
            }
            (self.scaled(sin_sum / count as f64), self.scaled(cos_sum / count as f64))
        };
        self.inverse_frequencies.iter().map(mean).collect()
    }

    /// The channels of each pair in a row of `head_dim` channels.
    pub fn channel_pairs(&self, head_dim: usize) -> Vec<(usize, usize)> {
        let half = self.inverse_frequencies.len();
        let pair = |i: usize| if self.pairs { (2 * i, 2 * i + 1) } else { (i, i + half) };
        (0..half).map(pair).filter(|(a, b)| *a < head_dim && *b < head_dim).collect()
    }

    fn turn(&self, row: &mut [f32], mut sin_cos: impl FnMut(f32) -> (f32, f32)) {
        for ((a, b), frequency) in
            self.channel_pairs(row.len()).into_iter().zip(self.inverse_frequencies.iter())
        {
            let (sin, cos) = sin_cos(*frequency);
            let (x, y) = (row[a], row[b]);
            row[a] = x * cos - y * sin;
            row[b] = y * cos + x * sin;
        }
    }

    #[allow(clippy::cast_possible_truncation)]
    fn scaled(&self, value: f64) -> f32 {
        (value * f64::from(self.attention_factor)) as f32
    }
}

/// The product is rounded to f32, as models compute it.
fn angle(position: usize, frequency: f32) -> f64 {
    f64::from(position as f32 * frequency)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(layout: u32) -> Rope<'static> {
        let view = RopeView {
            inverse_frequencies: [1.0, 0.1].as_slice().into(),
            attention_factor: 1.25,
            layout,
            keys_rotated: true,
        };
        Rope::new(&view).unwrap()
    }

    #[test]
    fn a_position_goes_in_and_out() {
        for layout in [ROPE_HALVES, ROPE_PAIRS] {
            let rope = rope(layout);
            let row = [1.0, -2.0, 3.0, 0.5, 7.0];
            let mut turned = row;
            rope.rotate(&mut turned, 11);
            assert_eq!(turned[4], 7.0, "channels beyond the rotated ones stay");
            let length: f32 = turned[..4].iter().map(|x| x * x).sum();
            assert!((length / 14.25 - 1.25 * 1.25).abs() < 1e-5);
            rope.unrotate(&mut turned, 11);
            for (a, b) in turned.iter().zip(row) {
                assert!((a - b).abs() < 1e-6, "{a} {b}");
            }
        }
    }

    #[test]
    fn halves_turn_as_in_llama() {
        let mut row = [1.0, 0.0, 0.0, 1.0];
        rope(ROPE_HALVES).rotate(&mut row, 2);
        let expected = [2f32.cos(), -0.2f32.sin(), 2f32.sin(), 0.2f32.cos()];
        for (a, b) in row.iter().zip(expected) {
            assert!((a - 1.25 * b).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn the_mean_of_one_position_is_the_position() {
        let rope = rope(ROPE_PAIRS);
        let (mut one, mut mean) = ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]);
        rope.rotate(&mut one, 5);
        rope.rotate_by(&mut mean, &rope.mean_rotation(5, 1));
        assert_eq!(one, mean);
        assert!(
            Rope::new(&RopeView {
                inverse_frequencies: [].as_slice().into(),
                attention_factor: 1.0,
                layout: 9,
                keys_rotated: false
            })
            .is_err()
        );
    }
}
