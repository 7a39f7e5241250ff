//! tova: the attention of the last query, <https://arxiv.org/abs/2401.06104>.

use strait_codec_kit::scores::raise;
use strait_sdk::prelude::*;
use strait_sdk::press::abi::QUERIES;

/// Attention of the last query, mean over all heads, the same for every kv head; the last token gets
/// the largest score plus 1.
///
/// Where heads have different entries, the mean at a position is over all heads, with 0 for those
/// that no longer have it.
#[derive(Debug)]
pub struct Tova;

impl Press for Tova {
    const INFO: PressInfo = PressInfo {
        id: "tova",
        summary: "the entries that the last query of all heads attends to",
        paper: "https://arxiv.org/abs/2401.06104",
        side_information: &[QUERIES],
        ..PressInfo::DEFAULT
    };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(Tova)
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Queries(1)]
    }

    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        let (heads, group) = (layer.query_heads() as f32, layer.group());
        let mut means = vec![0.0; layer.tokens_seen()];
        layer.attend(1, |head, _, attention| {
            let positions = layer.heads()[head / group].positions();
            for (position, a) in positions.iter().zip(attention) {
                means[*position as usize] += a / heads;
            }
            Ok(())
        })?;
        let score = |position: &u32| means[*position as usize];
        let mut scores: Scores =
            layer.heads().iter().map(|h| h.positions().iter().map(score).collect()).collect();
        let last = layer.tokens_seen().saturating_sub(1);
        let is_last =
            |head: usize, entry: usize| layer.heads()[head].positions()[entry] as usize == last;
        raise(&mut scores, 1.0, is_last);
        Ok(scores)
    }
}
