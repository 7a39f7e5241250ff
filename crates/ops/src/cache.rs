//! Cached keys and values of earlier tokens, and what can be asked about attention to them.

use std::ops::Range;

/// The keys and values of one sequence in one attention block, in host memory. Key heads may keep
/// different tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CacheContents {
    /// One for each key head.
    pub heads: Vec<HeadEntries>,
}

/// What one key head keeps. Entries are in the order of their positions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeadEntries {
    /// Position of every entry, rising.
    pub positions: Vec<u32>,
    /// Key channels that are left, rising; all where there is none.
    pub key_channels: Option<Vec<u16>>,
    /// `[entries, key channels]`, rotated by their positions (RoPE) unless the cache keeps them unrotated.
    pub keys: Vec<f32>,
    /// `[entries, head_dim]`.
    pub values: Vec<f32>,
}

impl HeadEntries {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Whether the parts fit each other, for heads of `dim` channels.
    #[must_use]
    pub fn fits(&self, dim: usize) -> bool {
        let rising = |first: bool, pair: bool| first && pair;
        let kept = self.key_channels.as_ref().map_or(dim, Vec::len);
        let channels = self.key_channels.iter().all(|channels| {
            channels.windows(2).map(|pair| pair[0] < pair[1]).fold(true, rising)
                && channels.last().is_none_or(|&last| usize::from(last) < dim)
        });
        self.positions.windows(2).map(|pair| pair[0] < pair[1]).fold(true, rising)
            && channels
            && self.keys.len() == self.len() * kept
            && self.values.len() == self.len() * dim
    }

    /// Key `entry` with all channels, those that are gone as zeros.
    pub fn key(&self, entry: usize, out: &mut [f32]) {
        match &self.key_channels {
            None => out.copy_from_slice(&self.keys[entry * out.len()..][..out.len()]),
            Some(channels) => {
                out.fill(0.0);
                let key = &self.keys[entry * channels.len()..][..channels.len()];
                for (&channel, &value) in channels.iter().zip(key) {
                    out[usize::from(channel)] = value;
                }
            }
        }
    }
}

/// The caches that a run of tokens attends to, one for each sequence, to which it adds its own.
#[derive(Debug)]
pub struct Past<'a, C> {
    /// One for each sequence.
    pub caches: &'a mut [C],
    /// Position of the run's first token.
    pub first_position: usize,
}

impl<C> Past<'_, C> {
    /// The same for another call.
    pub fn again(&mut self) -> Past<'_, C> {
        Past { caches: self.caches, first_position: self.first_position }
    }
}

/// What is probed of the attention of a run of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeRequest {
    /// The tokens that are asked about, counted from the run's first.
    pub rows: Range<usize>,
    /// Their queries before they are rotated by their positions (RoPE).
    pub queries: bool,
    /// How much attention they pay to every entry, together.
    pub sums: bool,
    /// How much each of them pays to every entry.
    pub each: bool,
    /// The entropy of each of them, in nats.
    pub entropy: bool,
    /// What the block reads of them: its input behind its norm.
    pub states: bool,
    /// How much each entry's value alone can add to the stream.
    pub outputs: bool,
}

impl ProbeRequest {
    /// Nothing about `rows`.
    #[must_use]
    pub fn at(rows: Range<usize>) -> ProbeRequest {
        ProbeRequest {
            rows,
            queries: false,
            sums: false,
            each: false,
            entropy: false,
            states: false,
            outputs: false,
        }
    }

    /// Whether probabilities are needed.
    #[must_use]
    pub fn attention(&self) -> bool {
        self.sums || self.each || self.entropy
    }
}

/// What a probe found, all but `states` for every query head; empty where it was not asked for. Query head `h`
/// attends to the entries of key head `h / (heads / kv_heads)`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProbeResult {
    /// `[rows, head_dim]`.
    pub queries: Vec<Vec<f32>>,
    /// `[entries]`: the sum of the rows' probabilities.
    pub sums: Vec<Vec<f32>>,
    /// `[rows, entries]`.
    pub each: Vec<Vec<f32>>,
    /// `[rows]`.
    pub entropy: Vec<Vec<f32>>,
    /// `[rows, hidden]`.
    pub states: Vec<f32>,
    /// `[entries]`: the 1-norm of `W v`, the value times the head's part of the output projection.
    pub outputs: Vec<Vec<f32>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_must_fit() {
        let mut head = HeadEntries {
            positions: vec![0, 3],
            key_channels: Some(vec![1, 2]),
            keys: vec![1.0, 2.0, 3.0, 4.0],
            values: vec![0.0; 6],
        };
        assert!(head.fits(3) && head.len() == 2 && !head.is_empty());
        let mut key = [9.0; 3];
        head.key(1, &mut key);
        assert_eq!(key, [0.0, 3.0, 4.0]);
        head.positions = vec![3, 3];
        assert!(!head.fits(3));
        head.positions = vec![0, 3];
        head.key_channels = Some(vec![1, 3]);
        assert!(!head.fits(3));
        head.key_channels = None;
        assert!(!head.fits(3) && HeadEntries::default().fits(3));
    }
}
