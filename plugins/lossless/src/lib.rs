//! lossless: the exact bits in fewer bytes, by coding the exponents, which are alike, apart from the
//! mantissas, which are not.
//!
//! Sources: exponent coding as in [DFloat11](https://arxiv.org/abs/2504.11651) and
//! [ZipNN](https://arxiv.org/abs/2411.05239); `split = "bytes"` with `method = "zstd"` is the byte split
//! that [BloomBee](https://github.com/ai-decentralized/BloomBee) puts on the wire. Coders:
//! [`strait_codec_kit::entropy`] (`rans`, `range`) and [zstd](https://datatracker.ietf.org/doc/html/rfc8878).
//!
//! Stored: one flag byte for a message, 0 with its plain bytes behind it, or 1 with its planes, one for
//! each byte of an element: the length as a LEB128 number, and so many bytes; a plane whose length is
//! that of the plain plane is plain. An empty message has no bytes. Planes with `exponent`: bits 1 to 8
//! behind the sign (the exponent of bf16 and f32; exponent and three bits of the mantissa of f16), then the
//! sign with the rest, highest first. About 11 bits a value for hidden states in bf16.
//!
//! ```
//! # strait_conformance::check_example::<strait_lossless::Lossless>(r#"
//! [[compressor]]
//! codec = "lossless"
//! params = { method = "rans" }
//! # "#);
//! ```
//!
//! Error: none; NaN payloads, signed zeros and subnormals come back bit by bit. Limits: a message never
//! grows by more than 1 byte. `rans` sends about 70 bytes of frequencies and states, so that `range` is
//! smaller for one token of up to some 2000 channels; it decodes 14 times slower. `zstd` decodes twice as fast as `rans` and takes
//! 0.4 to 0.7 bits a value more, as neighbouring channels repeat nothing.

mod coders;
mod params;
mod planes;

use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

pub use params::{LosslessParams, Method, Split};

use coders::Coder;

/// Flag of a message with its plain bytes behind it.
const PLAIN: u8 = 0;
/// Flag of a message in planes.
const PLANES: u8 = 1;

/// The codec `lossless`.
#[derive(Debug)]
pub struct Lossless {
    params: LosslessParams,
    coder: Coder,
    planes: Vec<u8>,
    coded: Vec<u8>,
}

impl Codec for Lossless {
    const INFO: CodecInfo = CodecInfo {
        id: "lossless",
        summary: "the exact bits, exponents and mantissas in planes, by rANS, a range coder or zstd",
        paper: "https://arxiv.org/abs/2411.05239",
        lossless: true,
        ..CodecInfo::DEFAULT
    };
    type Params = LosslessParams;

    fn open(params: LosslessParams) -> Result<Self> {
        let coder = Coder::open(&params)?;
        Ok(Lossless { params, coder, planes: Vec::new(), coded: Vec::new() })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let Lossless { params, coder, planes, coded } = self;
        let (bytes, dtype) = (message.bytes(), message.dtype());
        if bytes.is_empty() {
            return Ok(());
        }
        planes.resize(bytes.len(), 0);
        vectorize(
            #[inline(always)]
            || planes::split(params.split, dtype, bytes, planes),
        );
        let start = payload.len();
        payload.push(PLANES);
        for plane in planes.chunks(bytes.len() / dtype.size()) {
            coded.clear();
            let smaller = coder.encode(plane, coded)?;
            let stored = if smaller { coded.as_slice() } else { plane };
            push_length(stored.len(), payload);
            payload.extend_from_slice(stored);
        }
        if payload.len() - start > bytes.len() {
            payload.truncate(start);
            payload.push(PLAIN);
            payload.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let Lossless { params, coder, planes, .. } = self;
        let Shape { dtype, .. } = message.shape();
        let bytes = message.bytes_mut();
        let Some((flag, mut rest)) = payload.split_first().filter(|_| !bytes.is_empty()) else {
            let expected = if bytes.is_empty() { 0 } else { 1 + bytes.len() };
            return Error::check_payload_length(expected, payload.len());
        };
        match *flag {
            PLAIN => {
                Error::check_payload_length(1 + bytes.len(), payload.len())?;
                bytes.copy_from_slice(rest);
                return Ok(());
            }
            PLANES => {}
            flag => return Err(Error::new(format!("flag: expected 0 or 1, found {flag}"))),
        }
        planes.resize(bytes.len(), 0);
        for plane in planes.chunks_mut(bytes.len() / dtype.size()) {
            let stored;
            (stored, rest) = take_plane(rest)?;
            if stored.len() == plane.len() {
                plane.copy_from_slice(stored);
            } else {
                coder.decode(stored, plane)?;
            }
        }
        Error::check_payload_length(payload.len() - rest.len(), payload.len())?;
        vectorize(
            #[inline(always)]
            || planes::join(params.split, dtype, planes, bytes),
        );
        Ok(())
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::AtMost(match shape.bytes() {
            0 => 0,
            bytes => 1 + bytes,
        })
    }
}

/// Appends a number in groups of seven bits, the lowest first, the last one with its top bit clear.
#[allow(clippy::cast_possible_truncation)]
fn push_length(mut length: usize, payload: &mut Vec<u8>) {
    while length >= 0x80 {
        payload.push(length as u8 | 0x80);
        length >>= 7;
    }
    payload.push(length as u8);
}

/// The bytes of the next plane, and what follows them.
fn take_plane(payload: &[u8]) -> Result<(&[u8], &[u8])> {
    let mut length = 0_usize;
    let mut rest = payload;
    for shift in (0..usize::BITS).step_by(7) {
        let Some((byte, after)) = rest.split_first() else { break };
        rest = after;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return rest.split_at_checked(length).ok_or_else(|| {
                Error::new(format!("plane: expected {length} bytes, found {}", rest.len()))
            });
        }
    }
    Err("plane: expected its length, found the end of the payload".into())
}

strait_sdk::export!(Lossless);
