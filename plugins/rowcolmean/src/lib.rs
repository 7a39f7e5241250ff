//! rowcolmean: a block of tokens and channels as the means of its rows and columns.
//!
//! Source: `BlockRowColMean` of
//! [split-bench](https://github.com/XudongOliverShen/decentralized-inference-exp). In every block of
//! `token_block` × `channel_block` values r_t is the mean of a token, c_j that of a channel, both rounded
//! to `store`, g the mean of the r_t, and x'_tj = r_t + c_j - g. A block that reaches beyond the message
//! is filled up with zeros, which count in its means. Tokens and channels may first be put in ascending
//! order of their means over the message.
//!
//! Stored: the order of tokens, then of channels (⌈log2 n⌉ bits for each of n, where asked for); the r of all
//! tokens, one for each block of channels; the c of all channels, one for each block of tokens; 16 bits
//! each. Blocks of T × F take 16 (T + F) / (T F) bits a value: 16 at 2 × 2, 8 at 4 × 4, 2 at 16 × 16.
//!
//! ```
//! # strait_conformance::check_example::<strait_rowcolmean::Rowcolmean>(r#"
//! [[compressor]]
//! codec = "rowcolmean"
//! params = { token_block = 2, channel_block = 8 }
//! # "#);
//! ```
//!
//! Differences to the source: it stores the zero means of the filling and 32 bits for each place of an
//! order; and it adds in the model's dtype where this adds in f32 and rounds once. Error: without bound, as
//! hidden states are not sums of a token and a channel. Limits: NaN counts as 0, an infinity as the largest
//! finite value of the message's dtype; f16 means saturate at 65504; the result is always finite. A token's
//! value depends on later tokens of its block, and with an order on the whole message.

mod order;
mod params;

use strait_sdk::prelude::*;
use strait_sdk::{narrow, widen};

pub use params::{RowcolmeanParams, Store};

/// The codec `rowcolmean`.
#[derive(Debug)]
pub struct Rowcolmean {
    params: RowcolmeanParams,
}

/// Blocks and planes of a message.
struct Layout {
    /// Tokens and channels of a block, at least 1.
    token_block: usize,
    channel_block: usize,
    /// Blocks beside each other.
    across: usize,
    /// Means of tokens and of channels.
    row_means: usize,
    column_means: usize,
    /// Bytes of the orders.
    token_order: usize,
    channel_order: usize,
}

impl Codec for Rowcolmean {
    const INFO: CodecInfo = CodecInfo {
        id: "rowcolmean",
        summary: "blocks as row mean plus column mean minus grand mean, with permutations",
        paper: "https://github.com/XudongOliverShen/decentralized-inference-exp",
        ..CodecInfo::DEFAULT
    };
    type Params = RowcolmeanParams;

    fn open(params: RowcolmeanParams) -> Result<Self> {
        Ok(Rowcolmean { params })
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let Shape { rows, channels, dtype } = message.shape();
        let layout = self.layout(message.shape());
        let largest = largest(dtype);
        let mut values = message.to_f32();
        // A copy only where something changes.
        if values.iter().any(|value| value.is_nan() || value.abs() > largest) {
            for value in values.to_mut() {
                *value = if value.is_nan() { 0.0 } else { value.clamp(-largest, largest) };
            }
        }
        let tokens = self.token_order(&values, rows, channels);
        let order = self.channel_order(&values, rows, channels);
        tokens.iter().for_each(|order| order::write(order, payload));
        order.iter().for_each(|order| order::write(order, payload));

        let mut row_means = vec![0.0; layout.row_means];
        let mut column_sums = vec![0.0_f64; layout.column_means];
        let mut row = vec![0.0; channels];
        for place in 0..rows {
            let token = tokens.as_ref().map_or(place, |order| order[place]);
            let x = &values[token * channels..][..channels];
            let x = match &order {
                Some(order) => {
                    row.iter_mut().zip(order).for_each(|(value, channel)| *value = x[*channel]);
                    &row
                }
                None => x,
            };
            let means = &mut row_means[place * layout.across..][..layout.across];
            for (mean, x) in means.iter_mut().zip(x.chunks(layout.channel_block)) {
                let sum: f64 = x.iter().map(|x| f64::from(*x)).sum();
                *mean = (sum / layout.channel_block as f64) as f32;
            }
            let sums = &mut column_sums[place / layout.token_block * channels..][..channels];
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        self.append(row_means, payload);
        let mean = |sum: f64| (sum / layout.token_block as f64) as f32;
        self.append(column_sums.into_iter().map(mean).collect(), payload);
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)]
    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let Shape { rows, channels, dtype } = message.shape();
        let layout = self.layout(message.shape());
        Error::check_payload_length(layout.bytes(), payload.len())?;
        let (tokens, rest) = payload.split_at(layout.token_order);
        let (order, rest) = rest.split_at(layout.channel_order);
        let read = |wanted: bool, bytes, count| {
            if wanted { order::read(bytes, count).map(Some) } else { Ok(None) }
        };
        let tokens = read(self.params.permute_tokens, tokens, rows)?;
        let order = read(self.params.permute_channels, order, channels)?;
        let (row_bytes, column_bytes) = rest.split_at(2 * layout.row_means);
        let store = self.params.store.dtype();
        let (mut row_means, mut column_means) =
            (vec![0.0; layout.row_means], vec![0.0; layout.column_means]);
        widen(store, row_bytes, &mut row_means);
        widen(store, column_bytes, &mut column_means);
        // Grand means of the blocks, [blocks of tokens, blocks of channels].
        let mut grand = vec![0.0; rows.div_ceil(layout.token_block) * layout.across];
        for (place, means) in row_means.chunks(layout.across.max(1)).enumerate() {
            let sums = &mut grand[place / layout.token_block * layout.across..][..layout.across];
            sums.iter_mut().zip(means).for_each(|(sum, mean)| *sum += mean);
        }
        grand.iter_mut().for_each(|sum: &mut f32| *sum /= layout.token_block as f32);

        // Where each token went.
        let mut places: Vec<usize> = (0..rows).collect();
        for (place, token) in tokens.iter().flatten().enumerate() {
            places[*token] = place;
        }
        let largest = largest(dtype);
        let mut ordered = vec![0.0_f32; channels];
        message.for_each_row(|token, row| {
            let place = places[token];
            let block = place / layout.token_block;
            let means = &row_means[place * layout.across..][..layout.across];
            let grand = &grand[block * layout.across..][..layout.across];
            let columns = &column_means[block * channels..][..channels];
            let target = if order.is_some() { &mut ordered[..] } else { &mut *row };
            let blocks = target.chunks_mut(layout.channel_block);
            let blocks = blocks.zip(columns.chunks(layout.channel_block));
            for ((values, columns), (mean, grand)) in blocks.zip(means.iter().zip(grand)) {
                for (value, column) in values.iter_mut().zip(columns) {
                    *value = (mean + column - grand).clamp(-largest, largest);
                }
            }
            for (value, channel) in ordered.iter().zip(order.iter().flatten()) {
                row[*channel] = *value;
            }
            Ok(())
        })
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::Exact(self.layout(shape).bytes())
    }
}

impl Rowcolmean {
    fn layout(&self, shape: Shape) -> Layout {
        let Shape { rows, channels, .. } = shape;
        let params = &self.params;
        let block = |asked: usize, all: usize| if asked == 0 { all.max(1) } else { asked };
        let token_block = block(params.token_block, rows);
        let channel_block = block(params.channel_block, channels);
        let across = channels.div_ceil(channel_block);
        let order_bytes = |wanted: bool, count| if wanted { order::bytes(count) } else { 0 };
        Layout {
            token_block,
            channel_block,
            across,
            row_means: rows * across,
            column_means: rows.div_ceil(token_block) * channels,
            token_order: order_bytes(params.permute_tokens, rows),
            channel_order: order_bytes(params.permute_channels, channels),
        }
    }

    /// Tokens by their means, where asked for.
    fn token_order(&self, values: &[f32], rows: usize, channels: usize) -> Option<Vec<usize>> {
        self.params.permute_tokens.then(|| {
            let mut sums = vec![0.0; rows];
            for (sum, row) in sums.iter_mut().zip(values.chunks(channels.max(1))) {
                *sum = row.iter().map(|x| f64::from(*x)).sum();
            }
            order::by_mean(&sums)
        })
    }

    /// Channels by their means, where asked for.
    fn channel_order(&self, values: &[f32], rows: usize, channels: usize) -> Option<Vec<usize>> {
        self.params.permute_channels.then(|| {
            let mut sums = vec![0.0; channels];
            for row in values.chunks(channels.max(1)).take(rows) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            order::by_mean(&sums)
        })
    }

    /// Appends means in the stored type, each at most its largest finite value in magnitude.
    fn append(&self, mut means: Vec<f32>, payload: &mut Vec<u8>) {
        let dtype = self.params.store.dtype();
        let largest = largest(dtype);
        means.iter_mut().for_each(|mean| *mean = mean.clamp(-largest, largest));
        let start = payload.len();
        payload.resize(start + 2 * means.len(), 0);
        narrow(dtype, &means, &mut payload[start..]);
    }
}

impl Layout {
    fn bytes(&self) -> usize {
        self.token_order + self.channel_order + 2 * (self.row_means + self.column_means)
    }
}

/// The largest finite value of a dtype.
fn largest(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F32 => f32::MAX,
        Dtype::F16 => 65504.0,
        Dtype::BF16 => f32::from_bits(0x7f7f_0000),
    }
}

strait_sdk::export!(Rowcolmean);
