//! Which channels of a token are kept.

/// Upper bits of a magnitude that the first pass sorts by: the exponent and three of the mantissa.
const BINS: usize = 1 << 11;
const SHIFT: u32 = 20;

/// Work space of the selection.
#[derive(Debug, Default)]
pub(crate) struct Selector {
    counts: Vec<u32>,
    candidates: Vec<u64>,
    stamps: Vec<u32>,
    stamp: u32,
}

impl Selector {
    /// The `k` channels of the largest magnitudes, ascending; of equal magnitudes the first. `values`
    /// are finite, `k` is at most their number.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn top(&mut self, values: &[f32], k: usize, chosen: &mut Vec<u32>) {
        let Selector { counts, candidates, .. } = self;
        chosen.clear();
        counts.clear();
        counts.resize(BINS, 0);
        for value in values {
            counts[bin(*value)] += 1;
        }
        // Everything above the edge is kept, and `open` of those in the bin at the edge.
        let (mut edge, mut open) = (BINS, k);
        for (bin, count) in counts.iter().enumerate().rev() {
            edge = bin;
            if *count as usize >= open {
                break;
            }
            open -= *count as usize;
        }
        candidates.clear();
        for (i, value) in values.iter().enumerate() {
            match bin(*value).cmp(&edge) {
                std::cmp::Ordering::Greater => chosen.push(i as u32),
                // The larger magnitude is first, then the smaller index.
                std::cmp::Ordering::Equal => {
                    let magnitude = value.abs().to_bits();
                    candidates.push((u64::from(!magnitude) << 32) | i as u64);
                }
                std::cmp::Ordering::Less => {}
            }
        }
        if open < candidates.len() {
            if open > 0 {
                candidates.select_nth_unstable(open - 1);
            }
            candidates.truncate(open);
        }
        chosen.extend(candidates.iter().map(|candidate| *candidate as u32));
        chosen.sort_unstable();
    }

    /// `k` of `channels` channels, each set as likely as any other, ascending: Floyd's sampling with
    /// SplitMix64 from `seed` and the number of the token.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn random(
        &mut self,
        seed: u64,
        token: u64,
        channels: usize,
        k: usize,
        chosen: &mut Vec<u32>,
    ) {
        let Selector { stamps, stamp, .. } = self;
        chosen.clear();
        if stamps.len() != channels || *stamp == u32::MAX {
            stamps.clear();
            stamps.resize(channels, 0);
            *stamp = 0;
        }
        *stamp += 1;
        let mut state = mix(seed ^ mix(token));
        for last in channels - k..channels {
            state = state.wrapping_add(GOLDEN);
            // Multiply and shift: a uniform number of 0 ..= last.
            let drawn = (u128::from(mix(state)) * (last as u128 + 1)) >> 64;
            let drawn = drawn as usize;
            let taken = if stamps[drawn] == *stamp { last } else { drawn };
            stamps[taken] = *stamp;
            chosen.push(taken as u32);
        }
        chosen.sort_unstable();
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output step of [SplitMix64](https://doi.org/10.1145/2714064.2660195).
fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[inline(always)]
fn bin(value: f32) -> usize {
    (value.abs().to_bits() >> SHIFT) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_are_those_of_a_full_sort() {
        let mut state = 3_u64;
        for length in [1, 2, 5, 64, 500] {
            let values: Vec<f32> = (0..length)
                .map(|_| {
                    state = state.wrapping_add(GOLDEN);
                    ((mix(state) % 41) as f32 - 20.0) / 7.0
                })
                .collect();
            for k in [0, 1, length / 3, length] {
                let mut expected: Vec<u32> = (0..length as u32).collect();
                expected.sort_by(|a, b| {
                    values[*b as usize].abs().total_cmp(&values[*a as usize].abs())
                });
                expected.truncate(k);
                expected.sort_unstable();
                let mut chosen = Vec::new();
                Selector::default().top(&values, k, &mut chosen);
                assert_eq!(chosen, expected, "{k} of {length}");
            }
        }
    }

    #[test]
    fn random_channels_are_different_and_evenly_spread() {
        let (mut selector, mut chosen) = (Selector::default(), Vec::new());
        let mut counts = [0; 20];
        for token in 0..4000 {
            selector.random(9, token, 20, 5, &mut chosen);
            assert!(chosen.len() == 5 && chosen.windows(2).all(|pair| pair[0] < pair[1]));
            chosen.iter().for_each(|channel| counts[*channel as usize] += 1);
        }
        // 1000 each, with a deviation of 27.
        assert!(counts.iter().all(|count| (870..1130).contains(count)), "{counts:?}");
    }
}
