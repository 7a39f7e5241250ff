//! hadamard: a Walsh-Hadamard rotation of every token in front of any other codec. exl3: the same in
//! groups of 32 with a grid of its own.
//!
//! Source: [QuaRot](https://arxiv.org/abs/2404.00456). y = (H_K ⊗ H_m) (s ∘ x) / √(K m) goes to the
//! codec `inner` as f32, and x' = s ∘ (H_K ⊗ H_m)ᵀ y' / √(K m). H_m is Sylvester's matrix of a power of
//! two. H_K is 1, or Paley's matrix of order 12, 20, 28, 36, 44, 60, … for the odd part of a row's
//! length: 576 = 36·16, 896 = 28·32, 5120 = 20·256. The signs s come from SplitMix64 of `seed`, one per
//! channel. With `block`, or where a row's length has no matrix, a row is turned in pieces: `block`
//! values each, then the longest ones that have a matrix.
//!
//! Stored: the payload of `inner`, nothing else. Per value and per block: what `inner` stores.
//!
//! ```
//! # strait_sdk::offer::<strait_affine::Affine>();
//! # strait_conformance::check_example::<strait_hadamard::Hadamard>(r#"
//! [[compressor]]
//! codec = "hadamard"
//! params = { block = 128, inner = { codec = "affine", bits = 4, granularity = "group" } }
//! # "#);
//! ```
//!
//! Error: the Euclidean error of a token is that of `inner` on the rotated token. Limits: NaN counts
//! as 0; magnitudes above 2^126 divided by the length of a piece saturate, as do results beyond the
//! message's dtype. `inner` sees f32, so one that keeps the message's dtype (`raw`) stores 32 bits.

mod exl3;
mod order;
mod rotation;

use strait_codec_kit::slices::copy_finite;
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

pub use exl3::{Exl3, Exl3Params};

use rotation::Rotation;

/// Parameters of [`Hadamard`].
#[derive(Params, Clone, Debug)]
pub struct HadamardParams {
    /// The codec of the rotated values.
    #[param(default = r#"{ "codec": "affine", "bits": 4 }"#)]
    pub inner: InnerCodec,
    /// Values that are rotated together: a power of two, or one times 12, 20, 28, 36, …; 0 for the
    /// whole row.
    #[param(default = 0)]
    pub block: usize,
    /// Whether signs are drawn before the rotation.
    #[param(default = true)]
    pub signs: bool,
    /// Seed of the signs.
    #[param(default = 0)]
    pub seed: u64,
}

/// The codec `hadamard`.
#[derive(Debug)]
pub struct Hadamard {
    inner: Inner,
    block: usize,
    seed: Option<u64>,
    rotation: Rotation,
    values: Vec<f32>,
}

impl Codec for Hadamard {
    const INFO: CodecInfo = CodecInfo {
        id: "hadamard",
        summary: "a Walsh-Hadamard rotation of every token, then any other codec",
        paper: "https://arxiv.org/abs/2404.00456",
        ..CodecInfo::DEFAULT
    };
    type Params = HadamardParams;

    fn open(params: HadamardParams) -> Result<Self> {
        let block = params.block;
        if block > 0 && order::core(block).is_none() {
            return Err(Error::new(format!(
                "block: expected a power of two, or one times 12, 20, 28, 36, 44 or 60, found {block}"
            )));
        }
        Ok(Hadamard {
            inner: params.inner.open()?,
            block,
            seed: params.signs.then_some(params.seed),
            rotation: Rotation::default(),
            values: Vec::new(),
        })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let channels = message.channels();
        let Hadamard { inner, block, seed, rotation, values } = self;
        rotation.prepare(channels, *block, *seed);
        values.resize(message.shape().values(), 0.0);
        let most = message.dtype().largest().min(rotation.most());
        message.for_each_row(|i, row| {
            let turned = &mut values[i * channels..][..channels];
            vectorize(
                #[inline(always)]
                || {
                    copy_finite(row, most, turned);
                    rotation.forward(turned);
                },
            );
            Ok(())
        })?;
        inner.encode_f32(channels, values, message.sides(), payload)
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let channels = message.channels();
        let Hadamard { inner, block, seed, rotation, values } = self;
        rotation.prepare(channels, *block, *seed);
        values.resize(message.shape().values(), 0.0);
        inner.decode_f32(channels, payload, values)?;
        let most = message.dtype().largest();
        message.for_each_row(|i, row| {
            let turned = &mut values[i * channels..][..channels];
            vectorize(
                #[inline(always)]
                || {
                    rotation.backward(turned);
                    copy_finite(turned, most, row);
                },
            );
            Ok(())
        })
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        self.inner.payload_bytes(Shape { dtype: Dtype::F32, ..shape })
    }

    fn reset(&mut self) {
        self.inner.reset();
    }
}

strait_sdk::export!(Hadamard, Exl3);
