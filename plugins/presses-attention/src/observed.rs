//! observed-attention: the attention that entries have received, as in H2O,
//! <https://arxiv.org/abs/2306.14048>.

use strait_codec_kit::scores::group_mean;
use strait_sdk::prelude::*;
use strait_sdk::press::abi::{ATTENTION_COUNT, ATTENTION_SUM};

/// Attention received, divided by the number of queries that could see the entry; mean over the heads
/// of a group. H2O does not divide, which favours the first tokens.
#[derive(Debug)]
pub struct ObservedAttention;

impl Press for ObservedAttention {
    const INFO: PressInfo = PressInfo {
        id: "observed-attention",
        summary: "the entries that have received the most attention per query (H2O)",
        paper: "https://arxiv.org/abs/2306.14048",
        side_information: &[ATTENTION_SUM, ATTENTION_COUNT],
        ..PressInfo::DEFAULT
    };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(ObservedAttention)
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::AttentionSum]
    }

    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        let (sums, counts) = (layer.attention_sum()?, layer.attention_count()?);
        let head = |kv_head: usize| {
            let mean = group_mean(layer, kv_head, |head| sums.head(head));
            mean.iter().zip(counts.head(kv_head)).map(|(sum, count)| sum / count.max(1.0)).collect()
        };
        Ok((0..layer.heads().len()).map(head).collect())
    }
}
