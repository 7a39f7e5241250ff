//! compactor: leverage and non-causal attention together.

use strait_codec_kit::scores::raise;
use strait_sdk::prelude::*;
use strait_sdk::press::abi::QUERIES;

use crate::{leverage, noncausal};

/// Parameters of compactor.
#[derive(Params, Debug)]
pub struct CompactorParams {
    /// Entries of a chunk of the attention. The last one may be shorter, where kvpress counts padding.
    #[param(default = 256, min = 1)]
    chunk: usize,
    /// Random directions that keys are projected to.
    #[param(default = 48, min = 1)]
    sketch: usize,
    /// Weight of the leverage; by default the ratio that goes. The paper has 0.35.
    #[param(min = 0.0)]
    blending: Option<f64>,
    /// First entries that are left out of the scores and get the largest one.
    #[param(default = 8)]
    first: usize,
    /// Last entries that are left out of the scores and get the largest one.
    #[param(default = 4)]
    last: usize,
}

/// `blending * leverage + attention`, both standardized over the entries in between.
#[derive(Debug)]
pub struct Compactor(CompactorParams);

impl Press for Compactor {
    const INFO: PressInfo = PressInfo {
        id: "compactor",
        summary: "a blend of leverage and non-causal attention",
        paper: "https://arxiv.org/abs/2507.08143",
        side_information: &[QUERIES],
        ..PressInfo::DEFAULT
    };
    type Params = CompactorParams;

    fn open(params: CompactorParams) -> Result<Self> {
        Ok(Compactor(params))
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::AllQueries]
    }

    #[allow(clippy::cast_possible_truncation)]
    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        let CompactorParams { chunk, sketch, blending, first, last } = self.0;
        let between = |kv_head: usize| {
            let entries = layer.heads()[kv_head].len();
            let begin = first.min(entries);
            begin..begin.max(entries.saturating_sub(last))
        };
        let attention = noncausal::scores(layer, chunk, between)?;
        let leverage = leverage::scores(layer, sketch, between)?;
        let blending = blending.unwrap_or(layer.ratio()) as f32;
        let mut scores: Scores = Vec::with_capacity(attention.len());
        for (kv_head, (attention, leverage)) in attention.iter().zip(&leverage).enumerate() {
            let mut row = vec![0.0; layer.heads()[kv_head].len()];
            for (score, (a, l)) in
                row[between(kv_head)].iter_mut().zip(attention.iter().zip(leverage))
            {
                *score = blending * l + a;
            }
            scores.push(row);
        }
        raise(&mut scores, 0.0, |head, entry| !between(head).contains(&entry));
        Ok(scores)
    }
}
