//! Kept entries at new positions, as if the tokens that were removed had never been there.

use strait_model::HeadEntries;

/// Gives the entries the positions 0, 1, 2, … and rotates their keys by the difference, unless they
/// are kept as they are before RoPE.
pub(super) fn from_zero(
    head: &mut HeadEntries,
    frequencies: &[f32],
    dim: usize,
    before_rope: bool,
) {
    let half = frequencies.len();
    if !before_rope && head.key_channels.is_none() {
        for (entry, key) in head.keys.chunks_exact_mut(dim).enumerate() {
            let shift = entry as f64 - f64::from(head.positions[entry]);
            for (pair, &frequency) in frequencies.iter().enumerate() {
                let (sin, cos) = (shift * f64::from(frequency)).sin_cos();
                let (low, high) = (f64::from(key[pair]), f64::from(key[pair + half]));
                key[pair] = (low * cos - high * sin) as f32;
                key[pair + half] = (high * cos + low * sin) as f32;
            }
        }
    }
    head.positions = (0..head.len() as u32).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositioned_keys_are_rotated_by_the_difference() {
        let frequencies = [0.5f32, 0.1];
        let rotated = |position: f64, raw: [f64; 4]| -> Vec<f32> {
            let mut key = [0.0; 4];
            for pair in 0..2 {
                let (sin, cos) = (position * f64::from(frequencies[pair])).sin_cos();
                key[pair] = raw[pair] * cos - raw[pair + 2] * sin;
                key[pair + 2] = raw[pair + 2] * cos + raw[pair] * sin;
            }
            key.iter().map(|&value| value as f32).collect()
        };
        let raw = [1.0, -2.0, 0.5, 3.0];
        let mut head = HeadEntries {
            positions: vec![3, 70],
            keys: [rotated(3.0, raw), rotated(70.0, raw)].concat(),
            values: vec![0.0; 8],
            key_channels: None,
        };
        from_zero(&mut head, &frequencies, 4, false);
        assert_eq!(head.positions, [0, 1]);
        let expected = [rotated(0.0, raw), rotated(1.0, raw)].concat();
        for (found, expected) in head.keys.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }
}
