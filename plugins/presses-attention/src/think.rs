//! think: key channels that matter little to the last queries go, <https://arxiv.org/abs/2407.21018>.

use strait_sdk::prelude::*;
use strait_sdk::press::Budget;
use strait_sdk::press::abi::QUERIES;

/// Parameters of think.
#[derive(Params, Debug)]
pub struct ThinkParams {
    /// Share of the key channels that goes; by default the experiment's ratio.
    #[param(min = 0.0, max = 1.0)]
    channels: Option<f64>,
    /// Last tokens whose queries are looked at.
    #[param(default = 32, min = 1)]
    window: usize,
}

/// The importance of a key channel is the mean square of the window's queries there, mean over the
/// heads of a group, times the mean square of the keys. Every entry stays; the least important
/// channels are removed from the stored keys, so a cache of equally wide keys and values loses half
/// the ratio of its bytes. Keys of later tokens are whole until the press works again, which then takes
/// channels of those alone; with the experiment's `cut_later_keys = true` they lose the same channels as
/// the first keys, at once.
#[derive(Debug)]
pub struct Think(ThinkParams);

impl Press for Think {
    const INFO: PressInfo = PressInfo {
        id: "think",
        summary: "removes the key channels that matter least to the last queries",
        paper: "https://arxiv.org/abs/2407.21018",
        budget: Budget::Channels,
        side_information: &[QUERIES],
        ..PressInfo::DEFAULT
    };
    type Params = ThinkParams;

    fn open(params: ThinkParams) -> Result<Self> {
        Ok(Think(params))
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Queries(self.0.window)]
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn press(&mut self, layer: &Layer<'_>, _: &Selection) -> Result<Vec<Kept>> {
        let share = self.0.channels.unwrap_or(layer.ratio());
        let gone = ((layer.head_dim() as f64 * share + 1e-9) as usize).min(layer.head_dim());
        let all = layer.heads().iter().map(|head| Kept::entries((0..head.len()).collect()));
        let mut kept: Vec<Kept> = all.collect();
        if gone == 0 {
            return Ok(kept);
        }
        for (kept, scores) in kept.iter_mut().zip(self.channel_scores(layer)?) {
            let mut order: Vec<usize> = (0..scores.len()).collect();
            // Of equals the later channels stay.
            order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
            let mut stay = order.split_off(gone);
            stay.sort_unstable();
            kept.key_channels = Some(stay);
        }
        Ok(kept)
    }
}

impl Think {
    /// Importance of every key channel, `[kv_heads][head_dim]`.
    ///
    /// # Errors
    /// When the queries are not there.
    pub fn channel_scores(&self, layer: &Layer<'_>) -> Result<Scores> {
        let queries = layer.queries()?;
        let skipped = queries.tokens() - self.0.window.min(queries.tokens());
        let group = layer.group();
        let mut scores = Vec::with_capacity(layer.heads().len());
        for kv_head in 0..layer.heads().len() {
            let mut mean = vec![0.0; layer.head_dim()];
            for head in kv_head * group..(kv_head + 1) * group {
                for (token, query) in queries.head(head).enumerate().skip(skipped) {
                    let mut query = query.to_vec();
                    layer.rope().rotate(&mut query, queries.first_position() + token);
                    add_squares(&mut mean, &query);
                }
            }
            let keys = layer.rotated_keys(kv_head);
            let mut squares = vec![0.0; layer.head_dim()];
            keys.chunks_exact(layer.head_dim()).for_each(|key| add_squares(&mut squares, key));
            let count = (queries.tokens() - skipped) * group * layer.heads()[kv_head].len();
            let scale = 1.0 / count.max(1) as f64;
            #[allow(clippy::cast_possible_truncation)]
            let product = |(q, k): (&f64, f64)| (q * k * scale) as f32;
            scores.push(mean.iter().zip(squares).map(product).collect());
        }
        Ok(scores)
    }
}

fn add_squares(sums: &mut [f64], row: &[f32]) {
    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x) * f64::from(*x));
}
