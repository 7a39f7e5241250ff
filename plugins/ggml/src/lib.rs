//! ggml: the block formats of llama.cpp as message codecs, in the layout of GGUF files.
//!
//! Source: [ggml](https://github.com/ggml-org/ggml) (`ggml-common.h`, `ggml-quants.c`); a payload is what
//! a GGUF tensor `[rows, channels]` of the type would hold. b counts bits a value of a whole block; d, m
//! and dmin are f16.
//!
//! | format | block | b | x' | encoder |
//! |---|---|---|---|---|
//! | `q8_0` | 32 | 8.5 | d q, q in -127..127 | reference: d = max\|x\| / 127, half away from zero |
//! | `q4_0`, `q5_0` | 32 | 4.5, 5.5 | d (q - 8), d (q - 16) | reference: the largest magnitude becomes q = 0 |
//! | `q4_1`, `q5_1` | 32 | 5, 6 | d q + m | reference: m = min, d = (max - min) / 15 or 31 |
//! | `iq4_nl` | 32 | 4.5 | d T\[q\], 16 uneven steps T | least squared error over 9 scales |
//! | `q4_k` | 256 | 4.5 | d sc q - dmin m; sc, m of 6 bits for 32 values | least squared error over 9 scales |
//! | `q6_k` | 256 | 6.5625 | d sc (q - 32), sc of 8 bits for 16 values | least squared error over 9 scales |
//!
//! "Reference" gives the very bytes of ggml. The other three search on their own: for every candidate of a
//! step width, codes are the nearest and scale (and minimum) the least-squares fit to them; the candidate
//! with the least plain sum of squared errors wins, and codes are taken anew with the stored scales.
//! (llama.cpp weights the errors for weight matrices, and its bytes differ.)
//!
//! Rows are independent. What is left of a row after whole blocks of 32 is one more block, padded with the
//! last value. What is left after whole blocks of 256 goes into blocks of 32 in the format that llama.cpp
//! falls back to: `q5_0` for `q4_k` and `q8_0` for `q6_k`; at 576 channels they take 4.61 and 6.78 bits.
//!
//! ```
//! # strait_conformance::check_example::<strait_ggml::Ggml>(r#"
//! [[compressor]]
//! codec = "ggml"
//! params = { format = "q4_k" }
//! # "#);
//! ```
//!
//! Limits: NaN counts as 0, an infinity as the largest finite value of the message's dtype; d, m and dmin
//! saturate at 65504 and lose precision below 6e-5 (`q8_0`: from a largest magnitude of 0.008 down). A
//! payload in which one of them is not finite is an error.

mod affine;
mod fit;
mod format;
mod iq4_nl;
mod q4_k;
mod q6_k;
mod symmetric;

use strait_codec_kit::slices::{bounded, copy_finite};
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

use affine::{Q4_1, Q5_1};
use format::{Rows, Tail};
use iq4_nl::Iq4Nl;
use q4_k::Q4K;
use q6_k::Q6K;
use symmetric::{Q4_0, Q5_0, Q8_0};

/// Parameters of [`Ggml`].
#[derive(Params, Clone, Debug, PartialEq)]
pub struct GgmlParams {
    /// The block format.
    #[param(default = "q8_0")]
    pub format: Format,
}

/// The block format.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 8 bits, one scale for 32 values.
    #[choice(name = "q8_0")]
    Q8_0,
    /// 4 bits, one scale for 32 values.
    #[choice(name = "q4_0")]
    Q4_0,
    /// 4 bits, scale and minimum for 32 values.
    #[choice(name = "q4_1")]
    Q4_1,
    /// 5 bits, one scale for 32 values.
    #[choice(name = "q5_0")]
    Q5_0,
    /// 5 bits, scale and minimum for 32 values.
    #[choice(name = "q5_1")]
    Q5_1,
    /// 4 bits, 6-bit scale and minimum for 32 values within 256.
    #[choice(name = "q4_k")]
    Q4K,
    /// 6 bits, 8-bit scale for 16 values within 256.
    #[choice(name = "q6_k")]
    Q6K,
    /// 4 bits, 16 uneven steps, one scale for 32 values.
    #[choice(name = "iq4_nl")]
    Iq4Nl,
}

/// The codec `ggml`.
#[derive(Debug)]
pub struct Ggml {
    rows: Rows,
    values: Vec<f32>,
}

impl Codec for Ggml {
    const INFO: CodecInfo = CodecInfo {
        id: "ggml",
        summary: "llama.cpp's Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q6_K and IQ4_NL blocks",
        paper: "https://github.com/ggml-org/ggml",
        ..CodecInfo::DEFAULT
    };
    type Params = GgmlParams;

    fn open(params: GgmlParams) -> Result<Self> {
        let rows = match params.format {
            Format::Q8_0 => Rows::small(Tail::of::<Q8_0, _>()),
            Format::Q4_0 => Rows::small(Tail::of::<Q4_0, _>()),
            Format::Q4_1 => Rows::small(Tail::of::<Q4_1, _>()),
            Format::Q5_0 => Rows::small(Tail::of::<Q5_0, _>()),
            Format::Q5_1 => Rows::small(Tail::of::<Q5_1, _>()),
            Format::Iq4Nl => Rows::small(Tail::of::<Iq4Nl, _>()),
            Format::Q4K => Rows::large::<Q4K, _>(Tail::of::<Q5_0, _>()),
            Format::Q6K => Rows::large::<Q6K, _>(Tail::of::<Q8_0, _>()),
        };
        Ok(Ggml { rows, values: Vec::new() })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let Ggml { rows, values: padded } = self;
        let row_bytes = rows.bytes(message.channels());
        let start = payload.len();
        payload.resize(start + message.rows() * row_bytes, 0);
        padded.resize(message.channels().next_multiple_of(32), 0.0);
        let most = message.dtype().largest();
        message.for_each_row(|row, values| {
            let (copied, padding) = padded.split_at_mut(values.len());
            vectorize(
                #[inline(always)]
                || copy_finite(values, most, copied),
            );
            padding.fill(copied.last().copied().unwrap_or(0.0));
            rows.encode(padded, &mut payload[start + row * row_bytes..][..row_bytes]);
            Ok(())
        })
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        Error::check_payload_length(self.payload_bytes(message.shape()).limit(), payload.len())?;
        let row_bytes = self.rows.bytes(message.channels());
        let most = message.dtype().largest();
        let Ggml { rows, values: padded } = self;
        padded.resize(message.channels().next_multiple_of(32), 0.0);
        message.for_each_row(|row, values| {
            let bytes = &payload[row * row_bytes..][..row_bytes];
            if !rows.decode(bytes, padded) {
                return Err("payload: expected finite scales, found infinity or NaN".into());
            }
            vectorize(
                #[inline(always)]
                || {
                    for (value, decoded) in values.iter_mut().zip(padded.iter()) {
                        *value = bounded(*decoded, most);
                    }
                },
            );
            Ok(())
        })
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::Exact(shape.rows * self.rows.bytes(shape.channels))
    }
}

strait_sdk::export!(Ggml);
