//! Kept entries at new positions, as if the tokens that were removed had never been there.

use strait_model::HeadEntries;

/// Closes the gaps between the entries: they get the last positions before `seen`, which is the next
/// token's, and their keys are rotated by the difference, unless the cache keeps them unrotated.
///
/// With RoPE, attention depends only on differences between positions, so this is equivalent to numbering
/// the kept entries from 0 and continuing after them. But it works for every head and layer, however many
/// entries each keeps, without giving later tokens a different position in each of them.
///
/// # Errors
/// When keys that have lost channels would have to be rotated.
pub(super) fn close_up(
    head: &mut HeadEntries,
    frequencies: &[f32],
    dim: usize,
    seen: usize,
    before_rope: bool,
) -> Result<(), String> {
    let first = seen.saturating_sub(head.len());
    let half = frequencies.len();
    if !before_rope {
        if head.key_channels.is_some() {
            return Err(lost_channels());
        }
        for (entry, key) in head.keys.chunks_exact_mut(dim).enumerate() {
            let shift = (first + entry) as f64 - f64::from(head.positions[entry]);
            for (pair, &frequency) in frequencies.iter().enumerate() {
                let (sin, cos) = (shift * f64::from(frequency)).sin_cos();
                let (low, high) = (f64::from(key[pair]), f64::from(key[pair + half]));
                key[pair] = (low * cos - high * sin) as f32;
                key[pair + half] = (high * cos + low * sin) as f32;
            }
        }
    }
    head.positions = (first..first + head.len()).map(|position| position as u32).collect();
    Ok(())
}

/// Why a cell cannot reposition keys of which a press has removed channels.
pub(super) fn lost_channels() -> String {
    "reposition: expected keys with all their channels, found some that a press has removed; leave one of \
     them out, or keep keys unturned (`before_rope = true`)"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of two pairs of channels, rotated to a position.
    fn rotated(position: f64, frequencies: [f32; 2], raw: [f64; 4]) -> Vec<f32> {
        let mut key = [0.0; 4];
        for pair in 0..2 {
            let (sin, cos) = (position * f64::from(frequencies[pair])).sin_cos();
            key[pair] = raw[pair] * cos - raw[pair + 2] * sin;
            key[pair + 2] = raw[pair + 2] * cos + raw[pair] * sin;
        }
        key.iter().map(|&value| value as f32).collect()
    }

    #[test]
    fn what_is_kept_ends_where_the_next_token_stands() {
        let frequencies = [0.5f32, 0.1];
        let raw = [1.0, -2.0, 0.5, 3.0];
        let head = HeadEntries {
            positions: vec![3, 70],
            keys: [rotated(3.0, frequencies, raw), rotated(70.0, frequencies, raw)].concat(),
            values: vec![0.0; 8],
            key_channels: None,
        };
        let mut closed = head.clone();
        close_up(&mut closed, &frequencies, 4, 80, false).unwrap();
        assert_eq!(closed.positions, [78, 79]);
        let expected = [rotated(78.0, frequencies, raw), rotated(79.0, frequencies, raw)].concat();
        for (found, expected) in closed.keys.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
        let mut unrotated = head.clone();
        close_up(&mut unrotated, &frequencies, 4, 80, true).unwrap();
        assert_eq!((unrotated.positions, unrotated.keys), (closed.positions, head.keys));
    }

    #[test]
    fn keys_without_some_channels_cannot_be_rotated() {
        let mut head = HeadEntries {
            positions: vec![3],
            keys: vec![1.0; 3],
            values: vec![0.0; 4],
            key_channels: Some(vec![0, 1, 3]),
        };
        let error = close_up(&mut head.clone(), &[0.5, 0.1], 4, 9, false).unwrap_err();
        assert!(error.contains("channels"), "{error}");
        close_up(&mut head, &[0.5, 0.1], 4, 9, true).unwrap();
        assert_eq!(head.positions, [8]);
    }
}
