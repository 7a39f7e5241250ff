//! knorm: short keys receive the most attention, <https://arxiv.org/abs/2406.11430>.

use strait_codec_kit::scores::norm;
use strait_sdk::prelude::*;

/// The shorter the key, the better: `-|k|`.
#[derive(Debug)]
pub struct Knorm;

impl Press for Knorm {
    const INFO: PressInfo = PressInfo {
        id: "knorm",
        summary: "the entries with the shortest keys",
        paper: "https://arxiv.org/abs/2406.11430",
        ..PressInfo::DEFAULT
    };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(Knorm)
    }

    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        Ok(layer.heads().iter().map(|head| head.keys().map(|key| -norm(key)).collect()).collect())
    }
}
