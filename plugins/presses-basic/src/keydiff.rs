//! keydiff: keys that differ from the mean direction, <https://arxiv.org/abs/2504.15364>.
//!
//! The paper presses block by block: `unit = "block"`.

use strait_codec_kit::scores::norm;
use strait_sdk::prelude::*;
use strait_sdk::press::dot;

/// `-cos(k, mean of k / |k|)`.
#[derive(Debug)]
pub struct KeyDiff;

/// Lengths below this count as this.
const SHORTEST: f32 = 1e-8;

impl Press for KeyDiff {
    const INFO: PressInfo = PressInfo {
        id: "keydiff",
        summary: "the entries whose keys differ most from the mean direction of all keys",
        paper: "https://arxiv.org/abs/2504.15364",
        ..PressInfo::DEFAULT
    };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(KeyDiff)
    }

    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        let scores = layer.heads().iter().map(|head| {
            let mut anchor = vec![0.0_f64; layer.head_dim()];
            for key in head.keys() {
                let length = norm(key).max(SHORTEST);
                anchor.iter_mut().zip(key).for_each(|(sum, x)| *sum += f64::from(x / length));
            }
            let count = head.len().max(1) as f64;
            #[allow(clippy::cast_possible_truncation)]
            let anchor: Vec<f32> = anchor.iter().map(|sum| (sum / count) as f32).collect();
            let anchor_length = norm(&anchor).max(SHORTEST);
            let cosine = |key| dot(key, &anchor) / (norm(key).max(SHORTEST) * anchor_length);
            head.keys().map(|key| -cosine(key)).collect()
        });
        Ok(scores.collect())
    }
}
