//! outlier.tokens: the first tokens of a sequence, and tokens with large values, are kept whole.

use strait_codec_kit::slices::largest_magnitude;
use strait_codec_kit::subset;
use strait_sdk::narrow;
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

use crate::kept::{Keep, decode_rest, encode_rest, split};

/// Parameters of [`Tokens`].
#[derive(Params, Clone, Debug)]
pub struct TokensParams {
    /// The codec of the other tokens.
    #[param(default = r#"{ "codec": "affine", "bits": 4 }"#)]
    pub inner: InnerCodec,
    /// Tokens at the start of every sequence that are kept.
    #[param(default = 1)]
    pub first: usize,
    /// Tokens are kept when their largest magnitude is this many times the median of the message's
    /// tokens.
    #[param(min = 1.0)]
    pub ratio: Option<f32>,
    /// Type of the values kept.
    #[param(default = "f16")]
    pub keep: Keep,
}

/// The codec `outlier.tokens`.
#[derive(Debug)]
pub struct Tokens {
    params: TokensParams,
    inner: Inner,
    /// Tokens of the sequence so far.
    token: usize,
    chosen: Vec<bool>,
    kept: Vec<f32>,
    rest: Vec<u8>,
}

impl Codec for Tokens {
    const INFO: CodecInfo = CodecInfo {
        id: "outlier.tokens",
        summary: "the first tokens and those with large values in 16 bits, the others by any other codec",
        paper: "https://arxiv.org/abs/2309.17453",
        stateful: true,
        ..CodecInfo::DEFAULT
    };
    type Params = TokensParams;

    fn open(params: TokensParams) -> Result<Self> {
        let inner = params.inner.open()?;
        let (chosen, kept, rest) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Tokens { params, inner, token: 0, chosen, kept, rest })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let shape = message.shape();
        self.choose_first(shape.rows);
        let Tokens { params, inner, chosen, kept, rest, .. } = self;
        if let Some(ratio) = params.ratio {
            add_large(&message, ratio, chosen)?;
            subset::write(chosen, payload);
        }
        rest.clear();
        kept.resize(shape.channels, 0.0);
        let rows = message.bytes().chunks(shape.row_bytes().max(1)).zip(&*chosen).enumerate();
        for (i, (row, chosen)) in rows {
            if *chosen {
                message.row_f32(i, kept);
                params.keep.write(kept, payload);
            } else {
                rest.extend_from_slice(row);
            }
        }
        encode_rest(inner, rest_shape(chosen, shape), rest, &message, payload)
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let shape = message.shape();
        self.choose_first(shape.rows);
        let Tokens { params, inner, chosen, kept, rest, .. } = self;
        let payload = match params.ratio {
            Some(_) => subset::read(payload, chosen)?,
            None => payload,
        };
        let others = rest_shape(chosen, shape);
        let (stored, payload) = split(payload, (shape.rows - others.rows) * shape.channels * 2)?;
        rest.resize(others.bytes(), 0);
        decode_rest(inner, others, payload, rest)?;
        kept.resize(shape.channels, 0.0);
        let row_bytes = shape.row_bytes().max(1);
        let (mut rest, mut stored) =
            (rest.chunks(row_bytes), stored.chunks(2 * shape.channels.max(1)));
        for (row, chosen) in message.bytes_mut().chunks_mut(row_bytes).zip(&*chosen) {
            if *chosen {
                params.keep.read(stored.next().unwrap_or_default(), shape.dtype, kept);
                narrow(shape.dtype, kept, row);
            } else if let Some(rest) = rest.next() {
                row.copy_from_slice(rest);
            }
        }
        Ok(())
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        let map = self.params.ratio.map_or(0, |_| subset::most_bytes(shape.rows));
        let rest = self.inner.payload_bytes(shape).limit();
        PayloadBytes::AtMost(map + 2 * shape.values() + rest)
    }

    fn reset(&mut self) {
        self.token = 0;
        self.inner.reset();
    }
}

impl Tokens {
    /// Chooses the first tokens of the sequence among the next `rows`.
    fn choose_first(&mut self, rows: usize) {
        let first = self.params.first.saturating_sub(self.token);
        self.token += rows;
        self.chosen.clear();
        self.chosen.extend((0..rows).map(|row| row < first));
    }
}

/// Chooses the tokens with large values too.
fn add_large(message: &Message<'_>, ratio: f32, chosen: &mut [bool]) -> Result<()> {
    let mut largest = Vec::with_capacity(message.rows());
    message.for_each_row(|_, row| {
        largest.push(vectorize(
            #[inline(always)]
            || largest_magnitude(row, f32::MAX),
        ));
        Ok(())
    })?;
    let mut sorted = largest.clone();
    sorted.sort_by(f32::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    for (chosen, largest) in chosen.iter_mut().zip(largest) {
        *chosen |= largest > 0.0 && largest >= ratio * median;
    }
    Ok(())
}

/// The message of the other tokens.
fn rest_shape(chosen: &[bool], shape: Shape) -> Shape {
    Shape { rows: chosen.iter().filter(|chosen| !**chosen).count(), ..shape }
}
