//! Numbers that a seed determines.

/// A stream of numbers (SplitMix64). The same seed, name and index give the same stream on every machine, so that one
/// mutation out of thousands can be made again alone.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream of one mutation: of a seed, what is mutated, and its index.
    #[must_use]
    pub fn new(seed: u64, name: &str, index: u64) -> Self {
        let name = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut mixed = Self(seed ^ name.rotate_left(17));
        // The index is added behind a mix, so that neighbours have nothing in common.
        Self(mixed.draw().wrapping_add(index.wrapping_mul(0xa076_1d64_78bd_642f)))
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let wide = u128::from(self.draw()) * end as u128;
        (wide >> 64) as usize
    }

    /// One of several things.
    pub fn one_of<'a, T>(&mut self, things: &'a [T]) -> Option<&'a T> {
        things.get(self.below(things.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn a_stream_is_that_of_its_seed_name_and_index() {
        let first = |seed, name, index| Dice::new(seed, name, index).draw();
        assert_eq!(first(1, "record", 7), first(1, "record", 7));
        let all = [first(1, "record", 7), first(2, "record", 7), first(1, "gguf", 7)];
        assert!(!all.contains(&first(1, "record", 8)));
        assert!(all[0] != all[1] && all[0] != all[2]);
    }

    #[test]
    fn numbers_stay_below_their_end_and_reach_it() {
        let mut dice = Dice::new(1, "", 0);
        let seen: std::collections::BTreeSet<usize> = (0..200).map(|_| dice.below(5)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(dice.below(0), 0);
        assert_eq!(dice.one_of::<u8>(&[]), None);
    }
}
