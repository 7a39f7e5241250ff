//! snapkv: the attention of the last queries, <https://arxiv.org/abs/2404.14469>; and pyramidkv, the
//! same scores with more entries in the first layers, <https://arxiv.org/abs/2406.02069>.

use strait_codec_kit::scores::{average_pool, raise};
use strait_sdk::prelude::*;
use strait_sdk::press::abi::QUERIES;

/// Parameters of snapkv and pyramidkv.
#[derive(Params, Debug)]
pub struct SnapKvParams {
    /// Last tokens whose queries are looked at; their entries stay.
    #[param(default = 64, min = 1)]
    window: usize,
    /// Neighbours over which attention is averaged, an odd number.
    #[param(default = 5, min = 1)]
    kernel: usize,
}

/// Mean attention of the window's queries (softmax over all entries), averaged over neighbours, mean
/// over the heads of a group. The entries of the window get the largest score plus 1.
#[derive(Debug)]
pub struct SnapKv(SnapKvParams);

impl Press for SnapKv {
    const INFO: PressInfo = PressInfo {
        id: "snapkv",
        summary: "the entries that the last queries attend to, and those of their own tokens",
        paper: "https://arxiv.org/abs/2404.14469",
        side_information: &[QUERIES],
        ..PressInfo::DEFAULT
    };
    type Params = SnapKvParams;

    fn open(params: SnapKvParams) -> Result<Self> {
        if params.kernel.is_multiple_of(2) {
            return Err(format!("kernel: expected an odd number, found {}", params.kernel).into());
        }
        Ok(SnapKv(params))
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Queries(self.0.window)]
    }

    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        let SnapKvParams { window, kernel } = self.0;
        let begin = layer.tokens_seen().saturating_sub(window);
        // Entries before the window; positions ascend.
        let counts: Vec<usize> = layer
            .heads()
            .iter()
            .map(|head| head.positions().partition_point(|p| (*p as usize) < begin))
            .collect();
        let group = layer.group();
        let mut sums: Vec<Vec<f32>> =
            (0..layer.query_heads()).map(|head| vec![0.0; counts[head / group]]).collect();
        let tokens = layer.attend(window, |head, _, attention| {
            sums[head].iter_mut().zip(attention).for_each(|(sum, a)| *sum += a);
            Ok(())
        })?;
        let mut scores: Scores = Vec::with_capacity(counts.len());
        for (kv_head, head) in layer.heads().iter().enumerate() {
            let mut mean = vec![0.0; head.len()];
            for sums in &mut sums[kv_head * group..(kv_head + 1) * group] {
                sums.iter_mut().for_each(|sum| *sum /= tokens.max(1) as f32);
                let pooled = average_pool(sums, kernel);
                mean.iter_mut().zip(&pooled).for_each(|(m, score)| *m += score / group as f32);
            }
            scores.push(mean);
        }
        raise(&mut scores, 1.0, |head, entry| entry >= counts[head]);
        Ok(scores)
    }
}

/// snapkv with a pyramid of budgets over the layers.
#[derive(Debug)]
pub struct PyramidKv(SnapKv);

impl Press for PyramidKv {
    const INFO: PressInfo = PressInfo {
        id: "pyramidkv",
        summary: "snapkv with more entries in the first layers and fewer in the last",
        paper: "https://arxiv.org/abs/2406.02069",
        layers: "pyramid",
        ..SnapKv::INFO
    };
    type Params = SnapKvParams;

    fn open(params: SnapKvParams) -> Result<Self> {
        Ok(PyramidKv(SnapKv::open(params)?))
    }

    fn needs(&self) -> Vec<Need> {
        self.0.needs()
    }

    fn score(&mut self, layer: &Layer<'_>) -> Result<Scores> {
        self.0.score(layer)
    }
}
