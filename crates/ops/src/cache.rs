//! Cached keys and values of earlier tokens, and probes of the attention to them.

use std::ops::Range;

/// The keys and values of one sequence in one attention block, in host memory. Key heads may keep
/// different tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CacheContents {
    /// Entries of each key head.
    pub heads: Vec<HeadEntries>,
}

/// What one key head keeps, in the order of the entries' positions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeadEntries {
    /// Position of every entry, ascending.
    pub positions: Vec<u32>,
    /// Key channels that are kept, ascending; `None` keeps all.
    pub key_channels: Option<Vec<u16>>,
    /// `[entries, key channels]`, rotated by their positions (RoPE) unless the cache keeps them unrotated.
    pub keys: Vec<f32>,
    /// `[entries, value_dim]`.
    pub values: Vec<f32>,
}

impl HeadEntries {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether the head keeps nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Whether the fields are consistent with each other, for keys of `dim` channels and values of
    /// `value_dim`.
    #[must_use]
    pub fn fits(&self, dim: usize, value_dim: usize) -> bool {
        let rising = |first: bool, pair: bool| first && pair;
        let kept = self.key_channels.as_ref().map_or(dim, Vec::len);
        let channels = self.key_channels.iter().all(|channels| {
            channels.windows(2).map(|pair| pair[0] < pair[1]).fold(true, rising)
                && channels.last().is_none_or(|&last| usize::from(last) < dim)
        });
        self.positions.windows(2).map(|pair| pair[0] < pair[1]).fold(true, rising)
            && channels
            && self.keys.len() == self.len() * kept
            && self.values.len() == self.len() * value_dim
    }

    /// Writes key `entry` with all its channels to `out`; channels that were removed are zero.
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

/// The caches that a run of tokens attends to and extends, one for each sequence.
#[derive(Debug)]
pub struct Past<'a, C> {
    /// One cache for each sequence.
    pub caches: &'a mut [C],
    /// Position of the run's first token.
    pub first_position: usize,
}

impl<C> Past<'_, C> {
    /// Reborrows it for another call.
    pub fn again(&mut self) -> Past<'_, C> {
        Past { caches: self.caches, first_position: self.first_position }
    }
}

/// What to probe of the attention of a run of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeRequest {
    /// The tokens to probe, counted from the first of the run.
    pub rows: Range<usize>,
    /// Whether to return their queries before rotation by position (RoPE).
    pub queries: bool,
    /// Whether to return the attention that they pay to every entry, summed over the tokens.
    pub sums: bool,
    /// Whether to return the attention that each of them pays to every entry.
    pub each: bool,
    /// Whether to return the entropy of each token's attention, in nats.
    pub entropy: bool,
    /// Whether to return what the block reads of them: its input after its norm.
    pub states: bool,
    /// Whether to return how much each entry's value alone can add to the stream.
    pub outputs: bool,
}

impl ProbeRequest {
    /// A request for nothing about `rows`.
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

    /// Whether the request needs attention probabilities.
    #[must_use]
    pub fn attention(&self) -> bool {
        self.sums || self.each || self.entropy
    }
}

/// What a probe found. Every field but `states` has one element per query head; fields that were not requested
/// are empty. Query head `h` attends to the entries of key head `h / (heads / kv_heads)`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProbeResult {
    /// Queries of each head, `[rows, head_dim]`.
    pub queries: Vec<Vec<f32>>,
    /// Attention to every entry, summed over the rows, `[entries]`.
    pub sums: Vec<Vec<f32>>,
    /// Attention of each row to every entry, `[rows, entries]`.
    pub each: Vec<Vec<f32>>,
    /// Entropy of each row's attention in nats, `[rows]`.
    pub entropy: Vec<Vec<f32>>,
    /// The block's input after its norm, `[rows, hidden]`.
    pub states: Vec<f32>,
    /// The 1-norm of `W v`, each value times the head's part of the output projection, `[entries]`.
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
        assert!(head.fits(3, 3) && !head.fits(3, 2) && head.len() == 2 && !head.is_empty());
        let mut key = [9.0; 3];
        head.key(1, &mut key);
        assert_eq!(key, [0.0, 3.0, 4.0]);
        head.positions = vec![3, 3];
        assert!(!head.fits(3, 3));
        head.positions = vec![0, 3];
        head.key_channels = Some(vec![1, 3]);
        assert!(!head.fits(3, 3));
        head.key_channels = None;
        assert!(!head.fits(3, 3) && HeadEntries::default().fits(3, 3));
    }
}
