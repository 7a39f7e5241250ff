//! simlayer: layers that only look at the first and the last tokens keep only those,
//! <https://arxiv.org/abs/2410.13846>.

use strait_sdk::prelude::*;
use strait_sdk::press::abi::QUERIES;
use strait_sdk::press::{Budget, Head};

/// Parameters of simlayer.
#[derive(Params, Debug)]
pub struct SimLayerParams {
    /// Share of the attention on first and last entries from which a layer is lazy.
    #[param(default = 0.9, min = 0.0, max = 1.0)]
    threshold: f64,
    /// Last tokens whose queries decide.
    #[param(default = 1, min = 1)]
    queries: usize,
    /// First entries that a lazy layer keeps.
    #[param(default = 4)]
    initial: usize,
    /// Last entries that a lazy layer keeps; by default what the experiment's budget leaves. The paper
    /// has 1024.
    recent: Option<usize>,
    /// Entries before the queries' own whose attention, with that on the first ones, decides; by default
    /// `recent`. kvpress's `n_recent` is this one, and it keeps `n_last`, here `queries`, fewer.
    watched: Option<usize>,
}

/// A layer is lazy if the mean attention of the last queries over the first and the last entries is
/// more than the threshold. Lazy layers keep those entries, the others keep everything.
#[derive(Debug)]
pub struct SimLayer(SimLayerParams);

impl Press for SimLayer {
    const INFO: PressInfo = PressInfo {
        id: "simlayer",
        summary: "lazy layers keep the first and the last entries, the others keep all",
        paper: "https://arxiv.org/abs/2410.13846",
        budget: Budget::Own,
        side_information: &[QUERIES],
        ..PressInfo::DEFAULT
    };
    type Params = SimLayerParams;

    fn open(params: SimLayerParams) -> Result<Self> {
        Ok(SimLayer(params))
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Queries(self.0.queries)]
    }

    fn press(&mut self, layer: &Layer<'_>, _: &Selection) -> Result<Vec<Kept>> {
        let SimLayerParams { threshold, queries, initial, recent, watched } = self.0;
        let recent = recent.unwrap_or(layer.target().saturating_sub(initial));
        let watched = watched.unwrap_or(recent);
        let longest = layer.heads().iter().map(Head::len).max().unwrap_or(0);
        let all = |head: &Head<'_>| Kept::entries((0..head.len()).collect());
        if longest <= initial + recent.max(watched) + queries
            || attention_on_ends(layer, queries, initial, watched)? <= threshold
        {
            return Ok(layer.heads().iter().map(all).collect());
        }
        let ends = |head: &Head<'_>| {
            let entries = head.len();
            let first = initial.min(entries);
            Kept::entries(
                (0..first).chain(first.max(entries.saturating_sub(recent))..entries).collect(),
            )
        };
        Ok(layer.heads().iter().map(ends).collect())
    }
}

/// Mean attention of the last queries on the first `initial` entries and on the `watched` entries
/// before the queries' own.
fn attention_on_ends(
    layer: &Layer<'_>,
    queries: usize,
    initial: usize,
    watched: usize,
) -> Result<f64> {
    let begin = layer.tokens_seen().saturating_sub(queries);
    let group = layer.group();
    let mut sum = 0.0;
    let tokens = layer.attend(queries, |head, _, attention| {
        let positions = layer.heads()[head / group].positions();
        let before = positions.partition_point(|p| (*p as usize) < begin);
        let first = attention[..initial.min(before)].iter();
        let last = attention[before.saturating_sub(watched)..before].iter();
        sum += first.chain(last).copied().map(f64::from).sum::<f64>();
        Ok(())
    })?;
    Ok(sum / (tokens * layer.query_heads()).max(1) as f64)
}
