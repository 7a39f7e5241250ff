//! random: entries that chance chooses, the baseline that every other press must beat.

use strait_sdk::prelude::*;

/// A random score that depends on the seed, the layer, the head and the token's position alone.
#[derive(Debug)]
pub struct Random;

impl Press for Random {
    const INFO: PressInfo = PressInfo {
        id: "random",
        summary: "entries that chance chooses: the baseline",
        ..PressInfo::DEFAULT
    };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(Random)
    }

    #[allow(clippy::cast_possible_truncation)]
    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        let score = |head: usize, position: u32| {
            let seeds = [layer.seed(), layer.index() as u64, head as u64, u64::from(position)];
            strait_codec_kit::Random::new(&seeds).uniform() as f32
        };
        let heads = layer.heads().iter().enumerate();
        Ok(heads.map(|(h, head)| head.positions().iter().map(|p| score(h, *p)).collect()).collect())
    }
}
