//! delta: the difference between each token and what the tokens before it predict, by any other codec.
//!
//! Source: differential pulse-code modulation ([Jayant and Noll, Digital Coding of Waveforms,
//! 1984](https://en.wikipedia.org/wiki/Differential_pulse-code_modulation)), with tokens in the place of
//! time. p predicts from decoded tokens alone, so both sides have the same p and errors do not add up:
//! r = x - p, r' = inner(r), x' = p + r'. With a = `decay`, ρ = `rate`, and p = 0 before the first token:
//!
//! - `previous`: p = a x'[t-1].
//! - `linear`: p = a (2 x'[t-1] - x'[t-2]), from the third token on.
//! - `average`: p = a m, m = x' after the first token, then m + ρ (x' - m).
//! - `adaptive`: p = a c x'\[t-1\], c = n/d within ±1 for each channel, n and d being sums of x'\[t\] x'\[t-1\] and
//!   x'\[t-1\]², of which each token leaves the share 1 - ρ; 0 where d = 0.
//!
//! Stored: for every `chunk` tokens the payload of `inner` for their differences, as f32, behind its length
//! (7 bits a byte) unless `inner` states that exactly. With `chunk` above 1 the tokens of a chunk share
//! one prediction, and a chunk ends with the message. Per value and per block: what `inner` stores.
//!
//! ```
//! # strait_sdk::offer::<strait_affine::Affine>();
//! # strait_conformance::check_example::<strait_delta::Delta>(r#"
//! [[compressor]]
//! codec = "delta"
//! params = { predict = "adaptive", inner = { codec = "affine", bits = 4, granularity = "group" } }
//! # "#);
//! ```
//!
//! Error: that of `inner` on the difference, whatever the tokens before. Limits: NaN counts as 0, an
//! infinity as the largest finite value of the message's dtype. Hidden states of neighbouring tokens
//! are not much alike: `previous` with a = 1 often costs bits. A sequence whose number of channels changes starts
//! anew. The inner codec works on one chunk after the other, in both directions on the encoding side.

mod predict;

use strait_codec_kit::slices::bounded;
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

pub use predict::Predict;

use predict::Predictor;

/// Parameters of [`Delta`].
#[derive(Params, Clone, Debug)]
pub struct DeltaParams {
    /// The codec of the differences.
    #[param(default = r#"{ "codec": "affine", "bits": 4 }"#)]
    pub inner: InnerCodec,
    /// What a token is predicted from.
    #[param(default = "previous")]
    pub predict: Predict,
    /// The prediction is multiplied by this.
    #[param(default = 1.0, min = 0.0, max = 1.0)]
    pub decay: f32,
    /// Weight of the newest token in what is learnt.
    #[param(default = 0.05, min = 0.0, max = 1.0)]
    pub rate: f32,
    /// Tokens that share a prediction and a payload of the inner codec.
    #[param(default = 1, min = 1)]
    pub chunk: usize,
}

/// The codec `delta`.
#[derive(Debug)]
pub struct Delta {
    chunk: usize,
    inner: Inner,
    /// Decodes what `inner` encoded, as the other side does; apart, for codecs with a state.
    mirror: Inner,
    predictor: Predictor,
    prediction: Vec<f32>,
    differences: Vec<f32>,
}

impl Codec for Delta {
    const INFO: CodecInfo = CodecInfo {
        id: "delta",
        summary: "the difference to what earlier tokens predict, by any other codec",
        paper: "https://en.wikipedia.org/wiki/Differential_pulse-code_modulation",
        stateful: true,
        ..CodecInfo::DEFAULT
    };
    type Params = DeltaParams;

    fn open(params: DeltaParams) -> Result<Self> {
        Ok(Delta {
            chunk: params.chunk,
            inner: params.inner.open()?,
            mirror: params.inner.open()?,
            predictor: Predictor::new(&params),
            prediction: Vec::new(),
            differences: Vec::new(),
        })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let Shape { rows, channels, dtype } = message.shape();
        let Delta { chunk, inner, mirror, predictor, prediction, differences } = self;
        predictor.begin(channels);
        prediction.resize(channels, 0.0);
        let most = dtype.largest();
        for first in (0..rows).step_by(*chunk) {
            let count = (*chunk).min(rows - first);
            predictor.predict(most, prediction);
            differences.resize(count * channels, 0.0);
            for (i, row) in differences.chunks_mut(channels.max(1)).enumerate() {
                message.row_f32(first + i, row);
                vectorize(
                    #[inline(always)]
                    || {
                        for (value, predicted) in row.iter_mut().zip(&*prediction) {
                            let x = if value.is_nan() { 0.0 } else { *value };
                            *value = bounded(bounded(x, most) - predicted, f32::MAX);
                        }
                    },
                );
            }
            let shape = Shape { rows: count, channels, dtype: Dtype::F32 };
            let start = payload.len();
            inner.encode_framed(Message::new(shape, as_bytes(differences), &[])?, payload)?;
            mirror.decode_framed(
                &payload[start..],
                &mut MessageMut::new(shape, as_bytes_mut(differences))?,
            )?;
            add(predictor, prediction, most, differences);
        }
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let Shape { rows, channels, dtype } = message.shape();
        let Delta { chunk, mirror, predictor, prediction, differences, .. } = self;
        predictor.begin(channels);
        prediction.resize(channels, 0.0);
        let most = dtype.largest();
        let mut rest = payload;
        let size = channels * dtype.size();
        for first in (0..rows).step_by(*chunk) {
            let count = (*chunk).min(rows - first);
            predictor.predict(most, prediction);
            differences.resize(count * channels, 0.0);
            let shape = Shape { rows: count, channels, dtype: Dtype::F32 };
            let mut target = MessageMut::new(shape, as_bytes_mut(differences))?;
            rest = mirror.decode_framed(rest, &mut target)?;
            add(predictor, prediction, most, differences);
            let bytes = &mut message.bytes_mut()[first * size..][..count * size];
            strait_sdk::narrow(dtype, differences, bytes);
        }
        Error::check_payload_length(payload.len() - rest.len(), payload.len())
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        let part = |rows| {
            self.inner.framed_bytes(Shape { rows, channels: shape.channels, dtype: Dtype::F32 })
        };
        let (whole, tail) = (shape.rows / self.chunk, shape.rows % self.chunk);
        let parts = [(whole, part(self.chunk)), (usize::from(tail > 0), part(tail))];
        let used = parts.into_iter().filter(|(count, _)| *count > 0);
        used.fold(PayloadBytes::Exact(0), |sum, (count, part)| {
            let bytes = sum.limit().saturating_add(part.limit().saturating_mul(count));
            match (sum, part) {
                (PayloadBytes::Exact(_), PayloadBytes::Exact(_)) => PayloadBytes::Exact(bytes),
                _ => PayloadBytes::AtMost(bytes),
            }
        })
    }

    fn reset(&mut self) {
        self.inner.reset();
        self.mirror.reset();
        self.predictor.reset();
    }
}

/// Turns decoded differences into decoded tokens, and shows them to the predictor.
fn add(predictor: &mut Predictor, prediction: &[f32], most: f32, differences: &mut [f32]) {
    for row in differences.chunks_mut(prediction.len().max(1)) {
        vectorize(
            #[inline(always)]
            || {
                for (value, predicted) in row.iter_mut().zip(prediction) {
                    // An inner codec may leave NaN where it writes nothing.
                    let difference = if value.is_nan() { 0.0 } else { *value };
                    *value = bounded(bounded(difference, f32::MAX) + predicted, most);
                }
                predictor.learn(row);
            },
        );
    }
}

fn as_bytes(values: &[f32]) -> &[u8] {
    bytemuck::cast_slice(values)
}

fn as_bytes_mut(values: &mut [f32]) -> &mut [u8] {
    bytemuck::cast_slice_mut(values)
}

strait_sdk::export!(Delta);
