//! hivemind: the compressions of the hivemind library, byte for byte as they cross its wire.
//!
//! Source: [hivemind](https://github.com/learning-at-home/hivemind) 1.1.12, `hivemind/compression`;
//! Petals and other systems built on it offer these. A payload is the `buffer` of hivemind's tensor
//! message. With N values, C channels, all numbers little-endian:
//!
//! | method | what is stored | bits a value |
//! |---|---|---|
//! | `float16` | f16 of the value within ±65504 | 16 |
//! | `meanstd16` | f16 of (x - mean) / std; then f32 mean and f32 std of every row | 16 + 64/C |
//! | `uniform8` | i64 256, 256 f32, a byte a value: 256 even buckets of 6 std / 256 around the mean | 8 + 8256/N |
//! | `quantile8` | the same layout: 256 buckets with equally many values | 8 + 8256/N |
//! | `blockwise8` | i64 blocks, i64 256, f32 absmax a block, 256 f32, a byte a value | 8 + 32/4096 + 8320/N |
//!
//! `uniform8` and `quantile8` replace a value by the mean of its bucket, which the codebook carries.
//! Quantiles are those of numpy (linear) over quantiles of chunks of at least 100,000 values.
//! `blockwise8` is bitsandbytes' dynamic 8-bit map over blocks of 4096 values of the flattened
//! message: the nearest entry to x / absmax. A row may have any length.
//!
//! ```
//! # strait_conformance::check_example::<strait_hivemind::Hivemind>(r#"
//! [[compressor]]
//! codec = "hivemind"
//! params = { method = "blockwise8" }
//! # "#);
//! ```
//!
//! All methods but `float16` and `meanstd16` make a token's value depend on the whole message, and at one
//! token the codebook outweighs the values. Differences from the library: sums are taken in f64, so
//! that means and standard deviations may differ in the last place; for `blockwise8` the nearest entry
//! is always taken, where bitsandbytes' CPU kernel misses it for about 2 in 1000; a bf16 message is
//! treated as f32, where the library refuses it in the two 16-bit methods. Limits: NaN stays NaN in
//! `float16` and counts as 0 elsewhere; an infinity counts as the largest finite value of the
//! message's dtype; a message without values has an empty payload.

mod blockwise;
mod codebook;
mod floats;
mod quantile;
mod search;

use strait_codec_kit::slices;
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

/// Parameters of [`Hivemind`].
#[derive(Params, Clone, Debug, PartialEq)]
pub struct HivemindParams {
    /// Which of hivemind's compressions.
    #[param(default = "blockwise8")]
    pub method: Method,
}

/// Which of hivemind's compressions.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// FLOAT16.
    Float16,
    /// MEANSTD_16BIT: f16 after removing each row's mean and deviation.
    Meanstd16,
    /// UNIFORM_8BIT: even buckets over the message.
    Uniform8,
    /// QUANTILE_8BIT: buckets with equally many values.
    Quantile8,
    /// BLOCKWISE_8BIT: the dynamic map over blocks of 4096.
    Blockwise8,
}

/// The codec `hivemind`.
#[derive(Debug)]
pub struct Hivemind {
    method: Method,
    scratch: Scratch,
}

/// Buffers that are kept between messages.
#[derive(Debug, Default)]
struct Scratch {
    /// The message, or a row, without NaN and infinities.
    values: Vec<f32>,
    /// Two rows of statistics.
    statistics: [Vec<f32>; 2],
    /// Two buffers of sorting.
    keys: [Vec<u32>; 2],
}

impl Scratch {
    /// The whole message, row after row, without NaN and infinities.
    fn flatten(&mut self, message: Message<'_>) -> Result<()> {
        self.values.resize(message.shape().values(), 0.0);
        let most = message.dtype().largest();
        message.for_each_row(|row, values| {
            let flat = &mut self.values[row * values.len()..][..values.len()];
            vectorize(
                #[inline(always)]
                || slices::copy_finite(values, most, flat),
            );
            Ok(())
        })
    }
}

impl Codec for Hivemind {
    const INFO: CodecInfo = CodecInfo {
        id: "hivemind",
        summary: "hivemind's wire formats: float16, meanstd16, uniform8, quantile8, blockwise8",
        paper: "https://github.com/learning-at-home/hivemind",
        ..CodecInfo::DEFAULT
    };
    type Params = HivemindParams;

    fn open(params: HivemindParams) -> Result<Self> {
        Ok(Hivemind { method: params.method, scratch: Scratch::default() })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        if message.shape().values() == 0 {
            return Ok(());
        }
        let scratch = &mut self.scratch;
        match self.method {
            Method::Float16 => return floats::append_float16(message, scratch, payload),
            Method::Meanstd16 => return floats::append_meanstd16(message, scratch, payload),
            Method::Uniform8 | Method::Quantile8 | Method::Blockwise8 => {}
        }
        scratch.flatten(message)?;
        match self.method {
            Method::Uniform8 => codebook::append_uniform(scratch, payload),
            Method::Quantile8 => codebook::append_quantile(scratch, payload),
            _ => blockwise::append(scratch, payload),
        }
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        Error::check_payload_length(self.payload_bytes(message.shape()).limit(), payload.len())?;
        if message.shape().values() == 0 {
            return Ok(());
        }
        match self.method {
            Method::Float16 => floats::read_float16(payload, message),
            Method::Meanstd16 => floats::read_meanstd16(payload, message, &mut self.scratch),
            Method::Uniform8 | Method::Quantile8 => codebook::read(payload, message),
            Method::Blockwise8 => blockwise::read(payload, message, &mut self.scratch),
        }
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        let values = shape.values();
        PayloadBytes::Exact(match self.method {
            _ if values == 0 => 0,
            Method::Float16 => values * 2,
            Method::Meanstd16 => values * 2 + shape.rows * 8,
            Method::Uniform8 | Method::Quantile8 => codebook::HEAD + values,
            Method::Blockwise8 => blockwise::head_bytes(values) + values,
        })
    }
}

/// Reads one of the library's i64 lengths, which the shape determines.
fn check_length(bytes: &[u8], expected: usize, what: &str) -> Result<()> {
    if bytes == (expected as u64).to_le_bytes() {
        return Ok(());
    }
    Err(Error::new(format!("payload: expected a {what} of {expected}, found another length")))
}

strait_sdk::export!(Hivemind);
