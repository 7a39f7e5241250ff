//! channels: each channel of a message on a grid of its own; those that stand out in 16 bits.
//!
//! Source: the channel experiments of
//! [LLM-Inference-in-Distributed-Edge-Networks](https://github.com/sv-goat/LLM-Inference-in-Distributed-Edge-Networks).
//! With s for each channel over the tokens of the message, in f16: `channel_8`: s = max|x| / 127, q =
//! clamp(round(x/s), -128, 127), x' = s q. `channel_4`: s = max|x| / 7, -8 to 7. `channel_1_mean`: s =
//! mean|x|, x' = s or -s by the sign of x. `channel_1_max`: the same with s = max|x|. The ⌊fraction · channels⌋
//! channels of the smallest outlier score are quantized. Rounding is to nearest, ties to even.
//!
//! Stored: which channels are quantized (`strait_codec_kit::subset`, nothing when `fraction` is 1), a scale of 16 bits
//! for each, 8, 4 or 1 bits per value, packed, rows ending at a byte; then 16 bits for each other value.
//! Example: `codec = "channels"`, `params = { method = "channel_4", fraction = 0.9 }`. Limits: the sign of 0
//! is stored as plus, so a 0 decodes to s where the source gives 0. NaN counts as 0, an infinity as the largest finite value of
//! the dtype, a scale beyond 65504 saturates. A scale per channel is dear for a message of one token.

use strait_codec_kit::bits::{pack_into, packed_bytes, unpack_into};
use strait_codec_kit::slices::bounded;
use strait_codec_kit::subset;
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;
use strait_sdk::{narrow, widen};

use crate::rule::{ascending, of_fraction};

/// Adding this to a number of magnitude below 2^22 rounds it to an integer, ties to even, and leaves
/// that integer in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Parameters of [`Channels`].
#[derive(Params, Clone, Debug)]
pub struct ChannelsParams {
    /// The grid of a channel.
    #[param(default = "channel_8")]
    pub method: Method,
    /// Share of the channels that are quantized, those with the smallest outlier scores.
    #[param(default = 1.0, min = 0.0, max = 1.0)]
    pub fraction: f64,
    /// The outlier score of a channel.
    #[param(default = "largest")]
    pub score: Score,
    /// Type of the other values.
    #[param(default = "f16")]
    pub keep: Keep,
}

/// The grid of a channel.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// 8 bits, the largest magnitude is 127.
    #[choice(name = "channel_8")]
    Channel8,
    /// 4 bits, the largest magnitude is 7.
    #[choice(name = "channel_4")]
    Channel4,
    /// The sign times the mean magnitude.
    #[choice(name = "channel_1_mean")]
    Channel1Mean,
    /// The sign times the largest magnitude.
    #[choice(name = "channel_1_max")]
    Channel1Max,
}

/// The outlier score of a channel.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// Its largest magnitude.
    Largest,
    /// Its largest magnitude divided by its mean one.
    Ratio,
}

/// Type of values that are kept.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// IEEE 754 binary16, up to 65504.
    F16,
    /// bfloat16, the range of f32.
    #[choice(name = "bf16")]
    Bf16,
}

/// The codec `channels`.
#[derive(Debug)]
pub struct Channels {
    params: ChannelsParams,
    chosen: Vec<bool>,
    codes: Vec<u8>,
    kept: Vec<f32>,
}

impl Codec for Channels {
    const INFO: CodecInfo = CodecInfo {
        id: "channels",
        summary: "each channel in 8, 4 or 1 bits with a scale of its own, outlier channels in 16",
        paper: "https://github.com/sv-goat/LLM-Inference-in-Distributed-Edge-Networks",
        ..CodecInfo::DEFAULT
    };
    type Params = ChannelsParams;

    fn open(params: ChannelsParams) -> Result<Self> {
        Ok(Channels { params, chosen: Vec::new(), codes: Vec::new(), kept: Vec::new() })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let Shape { rows, channels, dtype } = message.shape();
        if rows == 0 {
            return Ok(());
        }
        let Channels { params, chosen, codes, kept } = self;
        let most = dtype.largest();
        let (largest, mean) = profile(&message, most)?;
        choose(params, &largest, &mean, chosen);
        if params.fraction < 1.0 {
            subset::write(chosen, payload);
        }
        let mut scales: Vec<f32> = (0..channels)
            .filter(|channel| chosen[*channel])
            .map(|channel| {
                let scale = match params.method {
                    Method::Channel8 => largest[channel] / 127.0,
                    Method::Channel4 => largest[channel] / 7.0,
                    Method::Channel1Mean => mean[channel],
                    Method::Channel1Max => largest[channel],
                };
                scale.min(65504.0)
            })
            .collect();
        let start = payload.len();
        payload.resize(start + 2 * scales.len(), 0);
        narrow(Dtype::F16, &scales, &mut payload[start..]);
        widen(Dtype::F16, &payload[start..], &mut scales);
        // A scale of 0 quantizes nothing but 0.
        scales.iter_mut().for_each(|scale| *scale = if *scale > 0.0 { *scale } else { f32::MAX });
        let (low, high, bits) = range(params.method);
        let mut rest = Vec::with_capacity(2 * rows * (channels - scales.len()));
        let mut quantized = vec![0.0; scales.len()];
        codes.resize(scales.len(), 0);
        message.for_each_row(|_, row| {
            split(chosen, row, most, &mut quantized, kept);
            vectorize(
                #[inline(always)]
                || {
                    for ((code, x), scale) in codes.iter_mut().zip(&quantized).zip(&scales) {
                        *code = match bits {
                            1 => u8::from(*x >= 0.0),
                            _ => code_of(*x / *scale, low, high),
                        };
                    }
                    pack_into(bits, codes, payload);
                },
            );
            write_kept(params.keep, kept, &mut rest);
            Ok(())
        })?;
        payload.append(&mut rest);
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let shape = message.shape();
        if shape.rows == 0 {
            return Error::check_payload_length(0, payload.len());
        }
        let Channels { params, chosen, codes, kept } = self;
        chosen.clear();
        chosen.resize(shape.channels, true);
        let payload = if params.fraction < 1.0 { subset::read(payload, chosen)? } else { payload };
        let count = chosen.iter().filter(|chosen| **chosen).count();
        let (low, _, bits) = range(params.method);
        let row_bytes = packed_bytes(bits, count);
        let kept_bytes = 2 * (shape.channels - count);
        let expected = 2 * count + shape.rows * (row_bytes + kept_bytes);
        Error::check_payload_length(expected, payload.len())?;
        let (stored, payload) = payload.split_at(2 * count);
        let (packed, rest) = payload.split_at(shape.rows * row_bytes);
        let mut scales = vec![0.0; count];
        widen(Dtype::F16, stored, &mut scales);
        codes.resize(count, 0);
        kept.resize(shape.channels - count, 0.0);
        let most = shape.dtype.largest();
        message.for_each_row(|i, row| {
            unpack_into(bits, &packed[i * row_bytes..][..row_bytes], codes)?;
            let dtype = dtype(params.keep);
            widen(dtype, &rest[i * kept_bytes..][..kept_bytes], kept);
            let mut quantized = codes.iter().zip(&scales).map(|(code, scale)| match bits {
                1 => scale * (2.0 * f32::from(*code) - 1.0),
                _ => scale * (f32::from(*code) + low),
            });
            let mut kept = kept.iter().copied();
            for (value, chosen) in row.iter_mut().zip(&*chosen) {
                let from = if *chosen { quantized.next() } else { kept.next() };
                *value = finite(from.unwrap_or_default(), most);
            }
            Ok(())
        })
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        let Shape { rows, channels, .. } = shape;
        if rows == 0 {
            return PayloadBytes::Exact(0);
        }
        let bits = range(self.params.method).2;
        let count = of_fraction(self.params.fraction, channels);
        let bytes = 2 * count + rows * (packed_bytes(bits, count) + 2 * (channels - count));
        if self.params.fraction < 1.0 {
            PayloadBytes::AtMost(bytes + subset::most_bytes(channels))
        } else {
            PayloadBytes::Exact(bytes)
        }
    }
}

/// Largest and mean magnitude of each channel.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn profile(message: &Message<'_>, most: f32) -> Result<(Vec<f32>, Vec<f32>)> {
    let mut largest = vec![0.0_f32; message.channels()];
    let mut sums = vec![0.0_f64; message.channels()];
    message.for_each_row(|_, row| {
        vectorize(
            #[inline(always)]
            || {
                for ((largest, sum), x) in largest.iter_mut().zip(&mut sums).zip(row) {
                    let x = finite(*x, most).abs();
                    *largest = if x > *largest { x } else { *largest };
                    *sum += f64::from(x);
                }
            },
        );
        Ok(())
    })?;
    let rows = message.rows().max(1) as f64;
    Ok((largest, sums.into_iter().map(|sum| (sum / rows) as f32).collect()))
}

/// Chooses the channels to quantize.
fn choose(params: &ChannelsParams, largest: &[f32], mean: &[f32], chosen: &mut Vec<bool>) {
    let scores: Vec<f32> = match params.score {
        Score::Largest => largest.to_vec(),
        Score::Ratio => {
            let ratio = |(largest, mean): (&f32, &f32)| {
                if *mean > 0.0 { largest / mean } else { 0.0 }
            };
            largest.iter().zip(mean).map(ratio).collect()
        }
    };
    chosen.clear();
    chosen.resize(scores.len(), false);
    let count = of_fraction(params.fraction, scores.len());
    ascending(&scores)[..count].iter().for_each(|channel| chosen[*channel] = true);
}

/// Splits a row, with finite values.
fn split(chosen: &[bool], row: &[f32], most: f32, quantized: &mut [f32], kept: &mut Vec<f32>) {
    kept.clear();
    let mut quantized = quantized.iter_mut();
    for (x, chosen) in row.iter().zip(chosen) {
        let x = finite(*x, most);
        if !chosen {
            kept.push(x);
        } else if let Some(place) = quantized.next() {
            *place = x;
        }
    }
}

fn write_kept(keep: Keep, kept: &mut [f32], bytes: &mut Vec<u8>) {
    let dtype = dtype(keep);
    kept.iter_mut().for_each(|x| *x = bounded(*x, dtype.largest()));
    let start = bytes.len();
    bytes.resize(start + 2 * kept.len(), 0);
    narrow(dtype, kept, &mut bytes[start..]);
}

fn dtype(keep: Keep) -> Dtype {
    match keep {
        Keep::F16 => Dtype::F16,
        Keep::Bf16 => Dtype::BF16,
    }
}

/// Smallest and largest code, and bits.
fn range(method: Method) -> (f32, f32, u32) {
    match method {
        Method::Channel8 => (-128.0, 127.0, 8),
        Method::Channel4 => (-8.0, 7.0, 4),
        Method::Channel1Mean | Method::Channel1Max => (0.0, 1.0, 1),
    }
}

/// A code from `low` to `high`, counted from 0.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
fn code_of(steps: f32, low: f32, high: f32) -> u8 {
    let steps = if steps < high { steps } else { high };
    let steps = if steps > low { steps } else { low };
    // Rounded before it is moved: moving could make a tie of it.
    let rounded = (steps + ROUND) - ROUND;
    (rounded - low + ROUND).to_bits() as u8
}

#[inline(always)]
fn finite(x: f32, most: f32) -> f32 {
    bounded(if x.is_nan() { 0.0 } else { x }, most)
}
