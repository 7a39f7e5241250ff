//! outlier.columns: channels with large values are kept for every token of the message.

use std::ops::Range;

use strait_codec_kit::subset;
use strait_sdk::narrow;
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

use crate::kept::{Keep, decode_rest, encode_rest, magnitude, split};

/// Parameters of [`Columns`].
#[derive(Params, Clone, Debug)]
pub struct ColumnsParams {
    /// The codec of the other channels.
    #[param(default = r#"{ "codec": "affine", "bits": 8 }"#)]
    pub inner: InnerCodec,
    /// A channel is kept when a magnitude reaches this.
    #[param(default = 6.0, min = 0.0)]
    pub threshold: f32,
    /// The share of channels to keep, those with the largest magnitudes, in place of the threshold.
    #[param(min = 0.0, max = 1.0)]
    pub fraction: Option<f64>,
    /// Type of the values kept.
    #[param(default = "f16")]
    pub keep: Keep,
}

/// The codec `outlier.columns`.
#[derive(Debug)]
pub struct Columns {
    params: ColumnsParams,
    inner: Inner,
    chosen: Vec<bool>,
    kept: Vec<f32>,
    rest: Vec<u8>,
}

impl Codec for Columns {
    const INFO: CodecInfo = CodecInfo {
        id: "outlier.columns",
        summary: "channels with large values in 16 bits, the others by any other codec",
        paper: "https://arxiv.org/abs/2208.07339",
        ..CodecInfo::DEFAULT
    };
    type Params = ColumnsParams;

    fn open(params: ColumnsParams) -> Result<Self> {
        let inner = params.inner.open()?;
        Ok(Columns { params, inner, chosen: Vec::new(), kept: Vec::new(), rest: Vec::new() })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let Columns { params, inner, chosen, kept, rest } = self;
        choose(params, &message, chosen)?;
        subset::write(chosen, payload);
        let shape = rest_shape(chosen, message.shape());
        let runs = runs(chosen);
        message.for_each_row(|_, row| {
            kept.clear();
            kept.extend(row.iter().zip(&*chosen).filter(|(_, chosen)| **chosen).map(|(x, _)| *x));
            params.keep.write(kept, payload);
            Ok(())
        })?;
        rest.clear();
        let size = message.dtype().size();
        for row in message.bytes().chunks(message.shape().row_bytes().max(1)) {
            for run in &runs {
                rest.extend_from_slice(&row[run.start * size..run.end * size]);
            }
        }
        encode_rest(inner, shape, rest, &message, payload)
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let Columns { params, inner, chosen, kept, rest } = self;
        let shape = message.shape();
        chosen.clear();
        chosen.resize(shape.channels, false);
        let payload = subset::read(payload, chosen)?;
        let others = rest_shape(chosen, shape);
        let count = shape.channels - others.channels;
        let (stored, payload) = split(payload, shape.rows * count * 2)?;
        rest.resize(others.bytes(), 0);
        decode_rest(inner, others, payload, rest)?;
        let runs = runs(chosen);
        kept.resize(count, 0.0);
        let (size, dtype) = (shape.dtype.size(), shape.dtype);
        let row_bytes = shape.row_bytes();
        for i in 0..shape.rows {
            let row = &mut message.bytes_mut()[i * row_bytes..][..row_bytes];
            let mut from = &rest[i * others.row_bytes()..];
            for run in &runs {
                let (bytes, after) = from.split_at(run.len() * size);
                row[run.start * size..run.end * size].copy_from_slice(bytes);
                from = after;
            }
            params.keep.read(&stored[i * count * 2..][..count * 2], dtype, kept);
            let places = (0..shape.channels).filter(|channel| chosen[*channel]);
            for (channel, value) in places.zip(&*kept) {
                narrow(dtype, &[*value], &mut row[channel * size..][..size]);
            }
        }
        Ok(())
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        let rest = self.inner.payload_bytes(shape).limit();
        PayloadBytes::AtMost(subset::most_bytes(shape.channels) + 2 * shape.values() + rest)
    }

    fn reset(&mut self) {
        self.inner.reset();
    }
}

/// Which channels are kept.
fn choose(params: &ColumnsParams, message: &Message<'_>, chosen: &mut Vec<bool>) -> Result<()> {
    let channels = message.channels();
    let mut largest = vec![0.0_f32; channels];
    message.for_each_row(|_, row| {
        vectorize(
            #[inline(always)]
            || {
                for (largest, value) in largest.iter_mut().zip(row) {
                    let value = magnitude(*value);
                    *largest = if value > *largest { value } else { *largest };
                }
            },
        );
        Ok(())
    })?;
    chosen.clear();
    let Some(fraction) = params.fraction else {
        chosen.extend(largest.iter().map(|largest| *largest >= params.threshold));
        return Ok(());
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let count = (fraction * channels as f64).round() as usize;
    let mut order: Vec<usize> = (0..channels).collect();
    // The first of equals is kept.
    order.sort_by(|a, b| largest[*b].total_cmp(&largest[*a]));
    chosen.resize(channels, false);
    order.iter().take(count).for_each(|channel| chosen[*channel] = true);
    Ok(())
}

/// The message of the other channels.
fn rest_shape(chosen: &[bool], shape: Shape) -> Shape {
    Shape { channels: chosen.iter().filter(|chosen| !**chosen).count(), ..shape }
}

/// Runs of channels that are not kept.
fn runs(chosen: &[bool]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (channel, _) in chosen.iter().enumerate().filter(|(_, chosen)| !**chosen) {
        match runs.last_mut() {
            Some(run) if run.end == channel => run.end += 1,
            _ => runs.push(channel..channel + 1),
        }
    }
    runs
}
