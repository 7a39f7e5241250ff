//! cast: every value in a smaller (or larger) floating-point type.
//!
//! Specification: IEEE 754 for `f32` and `f16`, [FP8 formats](https://arxiv.org/abs/2209.05433) for
//! `fp8_e4m3` (finite only, largest value 448) and `fp8_e5m2` (largest value 57344). Rounding is to
//! nearest, ties to even. With an fp8 scale s = max|x| / largest in f32, code = fp8(x / s), x' = s code.
//!
//! Stored per value: 32, 16 or 8 bits. Stored per scale (fp8 with `scale = "token"` or `"group"`): one
//! f32; all scales come first. At 5120 channels fp8 with one scale per token takes 8.00625 bits a value.
//!
//! ```
//! # strait_conformance::check_example::<strait_cast::Cast>(r#"
//! [[compressor]]
//! codec = "cast"
//! params = { to = "fp8_e4m3", scale = "token" }
//! # "#);
//! ```
//!
//! Error: half a unit in the last place of the stored type. Limits: a message already of type `to`
//! keeps its bits, and `f32` holds every f16 and bf16 exactly. Elsewhere finite values beyond the largest
//! of the type saturate (f16: 65504; fp8 with `scale = "none"`: 448 or 57344), an infinity counts as the
//! largest finite value of the message's dtype, and NaN stays NaN (left out of the scale). A scale below
//! the smallest f32 becomes 0, and with it the values.

mod params;
mod scaled;

use strait_sdk::prelude::*;
use strait_sdk::{narrow, widen};

pub use params::{CastParams, Scale, Target};

use scaled::Layout;

/// The codec `cast`.
#[derive(Debug)]
pub struct Cast {
    stored: Stored,
}

/// What the parameters ask for.
#[derive(Clone, Copy, Debug)]
enum Stored {
    Float(Dtype),
    E4m3(Run),
    E5m2(Run),
}

/// Values of a row that share a scale.
#[derive(Clone, Copy, Debug)]
enum Run {
    Unscaled,
    Row,
    Group(usize),
}

impl Run {
    fn layout(self, shape: Shape) -> Layout {
        let run = match self {
            Run::Unscaled => None,
            Run::Row => Some(shape.channels),
            Run::Group(group) => Some(group),
        };
        Layout::new(run, shape)
    }
}

impl Codec for Cast {
    const INFO: CodecInfo = CodecInfo {
        id: "cast",
        summary: "values in f32, f16, bf16 or fp8 with an optional scale per token or group",
        paper: "https://arxiv.org/abs/2209.05433",
        ..CodecInfo::DEFAULT
    };
    type Params = CastParams;

    fn open(params: CastParams) -> Result<Self> {
        let run = match params.scale.unwrap_or(Scale::Token) {
            Scale::None => Run::Unscaled,
            Scale::Token => Run::Row,
            Scale::Group => Run::Group(params.group),
        };
        let stored = match (params.to, params.scale) {
            (Target::Fp8E4m3, _) => Stored::E4m3(run),
            (Target::Fp8E5m2, _) => Stored::E5m2(run),
            (_, Some(Scale::Token | Scale::Group)) => {
                return Err(Error::new(format!(
                    "parameter `scale`: expected `none` or no scale with to = \"{0}\", found a scale; \
                     remove it or set `to` to an fp8 type",
                    params.to.name()
                )));
            }
            (Target::F32, _) => Stored::Float(Dtype::F32),
            (Target::F16, _) => Stored::Float(Dtype::F16),
            (Target::Bf16, _) => Stored::Float(Dtype::BF16),
        };
        Ok(Cast { stored })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        match self.stored {
            Stored::Float(to) => encode_float(to, message, payload),
            Stored::E4m3(run) => run.layout(message.shape()).encode::<4, 3>(message, payload),
            Stored::E5m2(run) => run.layout(message.shape()).encode::<5, 2>(message, payload),
        }
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        match self.stored {
            Stored::Float(to) => decode_float(to, payload, message),
            Stored::E4m3(run) => run.layout(message.shape()).decode::<4, 3>(payload, message),
            Stored::E5m2(run) => run.layout(message.shape()).decode::<5, 2>(payload, message),
        }
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::Exact(match self.stored {
            Stored::Float(to) => shape.values() * to.size(),
            Stored::E4m3(run) | Stored::E5m2(run) => run.layout(shape).bytes,
        })
    }
}

fn encode_float(to: Dtype, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
    if message.dtype() == to {
        payload.extend_from_slice(message.bytes());
        return Ok(());
    }
    let start = payload.len();
    let row_bytes = message.channels() * to.size();
    payload.resize(start + message.rows() * row_bytes, 0);
    // Every value of the two 16-bit types is an f32 as it is; an f32 may lie beyond f16 or bf16.
    let largest = to.largest();
    let mut bounded = vec![0.0; message.channels()];
    message.for_each_row(|row, values| {
        let bytes = &mut payload[start + row * row_bytes..][..row_bytes];
        if to == Dtype::F32 {
            narrow(to, values, bytes);
        } else {
            for (bounded, value) in bounded.iter_mut().zip(values) {
                *bounded = value.clamp(-largest, largest);
            }
            narrow(to, &bounded, bytes);
        }
        Ok(())
    })
}

fn decode_float(to: Dtype, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
    let row_bytes = message.shape().channels * to.size();
    Error::check_payload_length(message.rows() * row_bytes, payload.len())?;
    if message.dtype() == to {
        message.bytes_mut().copy_from_slice(payload);
        return Ok(());
    }
    let largest = message.dtype().largest();
    message.for_each_row(|row, values| {
        widen(to, &payload[row * row_bytes..][..row_bytes], values);
        // A value that bf16 rounded up may lie beyond f16.
        if to != Dtype::F32 {
            values.iter_mut().for_each(|value| *value = value.clamp(-largest, largest));
        }
        Ok(())
    })
}

strait_sdk::export!(Cast);
