//! Bootstrap intervals from resampled windows, because tokens of one window are not independent of
//! one another.

use crate::{PairedSums, quantile};

/// A bootstrap over blocks: whole windows are drawn with replacement, as many as there are, and the
/// figure is computed from each draw. The standard errors of [`crate::Paired`] assume independent
/// tokens; the bootstrap does not, and it assumes no particular distribution either.
///
/// The same seed gives the same bits on every machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Number of draws.
    pub resamples: usize,
    /// Seed of the random draws.
    pub seed: u64,
    /// Share of the draws inside the interval, in 0..=1; the rest is cut off equally at both ends.
    pub level: f64,
}

/// The percentile interval of a bootstrap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Default for Bootstrap {
    /// The 95 % interval from 2000 draws with seed 0.
    fn default() -> Self {
        Self { resamples: 2000, seed: 0, level: 0.95 }
    }
}

impl Bootstrap {
    /// The interval of any figure: `statistic` receives the indices of the drawn blocks, `blocks` of
    /// them from `0..blocks`. `None` for fewer than two blocks or no draws.
    #[must_use]
    pub fn interval(
        &self,
        blocks: usize,
        mut statistic: impl FnMut(&[usize]) -> f64,
    ) -> Option<Interval> {
        if blocks < 2 || self.resamples == 0 {
            return None;
        }
        let mut random = SplitMix(self.seed);
        let mut drawn = vec![0; blocks];
        let mut figures: Vec<f64> = (0..self.resamples)
            .map(|_| {
                drawn.fill_with(|| random.below(blocks));
                statistic(&drawn)
            })
            .collect();
        figures.sort_unstable_by(|a, b| a.is_nan().cmp(&b.is_nan()).then(a.total_cmp(b)));
        let tail = (1.0 - self.level.clamp(0.0, 1.0)) / 2.0;
        Some(Interval { low: quantile(&figures, tail), high: quantile(&figures, 1.0 - tail) })
    }

    /// The interval of a figure of the summed `windows`, such as ΔPPL with `|sums|
    /// sums.summary().delta`.
    #[must_use]
    pub fn of_windows(
        &self,
        windows: &[PairedSums],
        figure: impl Fn(&PairedSums) -> f64,
    ) -> Option<Interval> {
        self.interval(windows.len(), |drawn| {
            let mut sums = PairedSums::default();
            drawn.iter().for_each(|&window| sums.merge(&windows[window]));
            figure(&sums)
        })
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): a counter and a mixing function.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number in `0..limit`, biased by less than `limit` / 2⁶⁴.
    fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(drawn: &[usize]) -> f64 {
        drawn.iter().sum::<usize>() as f64 / drawn.len() as f64
    }

    #[test]
    fn splitmix_is_the_published_generator() {
        // The first outputs for seed 1234567, as in the reference implementation's test vector.
        let mut random = SplitMix(1_234_567);
        assert_eq!(
            [random.next(), random.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }

    #[test]
    fn every_draw_is_whole_and_deterministic() {
        let bootstrap = Bootstrap { resamples: 50, ..Bootstrap::default() };
        let mut seen = [false; 7];
        let first = bootstrap.interval(7, |drawn| {
            assert_eq!(drawn.len(), 7);
            drawn.iter().for_each(|&block| seen[block] = true);
            mean(drawn)
        });
        let Interval { low, high } = first.unwrap();
        assert!(low < 3.0 && high > 3.0 && seen == [true; 7]);
        assert_eq!(bootstrap.interval(7, mean), first);
        assert_ne!(Bootstrap { seed: 1, ..bootstrap }.interval(7, mean), first);
    }

    #[test]
    fn too_little_to_resample() {
        let bootstrap = Bootstrap::default();
        assert_eq!(bootstrap.interval(1, |_| 1.0), None);
        assert_eq!(Bootstrap { resamples: 0, ..bootstrap }.interval(5, |_| 1.0), None);
        let equal = bootstrap.interval(2, |_| 1.5).unwrap();
        assert_eq!((equal.low, equal.high), (1.5, 1.5));
    }
}
