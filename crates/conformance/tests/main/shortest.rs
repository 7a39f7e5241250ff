//! shortest: the entries with the shortest keys stay. Say here what yours does.
//!
//! Paper: https://arxiv.org/abs/2406.11430. Kept per entry: key and value as they are.
//! Example: `press = "shortest"`, `params = { power = 2.0, sinks = 4 }`. Limits: none.
use strait_sdk::prelude::*;

#[derive(Params)]
struct Shortest {
    /// Power of the channels that is summed up.
    #[param(default = 2.0, min = 0.0)]
    power: f32,
}

impl Press for Shortest {
    const INFO: PressInfo = PressInfo {
        id: "shortest",
        summary: "the entries with the shortest keys",
        paper: "https://arxiv.org/abs/2406.11430",
        ..PressInfo::DEFAULT
    };
    type Params = Self;

    fn open(params: Self) -> Result<Self> {
        Ok(params)
    }
    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        let score = |key: &[f32]| -key.iter().map(|x| x.abs().powf(self.power)).sum::<f32>();
        Ok(layer.heads().iter().map(|head| head.keys().map(score).collect()).collect())
    }
}
strait_sdk::export!(presses: Shortest);
#[cfg(test)]
strait_conformance::check_press!(Shortest);
