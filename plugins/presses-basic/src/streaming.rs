//! streaming-llm: the first tokens and the last ones, <https://arxiv.org/abs/2309.17453>.
//!
//! The paper also closes the gap between the two: `reposition = true` in the experiment.

use strait_sdk::prelude::*;

/// The later, the better, after the sinks.
#[derive(Debug)]
pub struct StreamingLlm;

impl Press for StreamingLlm {
    const INFO: PressInfo = PressInfo {
        id: "streaming-llm",
        summary: "the first `sinks` entries and the last ones",
        paper: "https://arxiv.org/abs/2309.17453",
        sinks: 4,
        ..PressInfo::DEFAULT
    };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(StreamingLlm)
    }

    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        let score = |position: &u32| *position as f32;
        Ok(layer.heads().iter().map(|h| h.positions().iter().map(score).collect()).collect())
    }
}
