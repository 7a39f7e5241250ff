//! One plane of bytes to fewer bytes and back.

use std::fmt;

use strait_codec_kit::entropy::{Bytes, RangeDecoder, RangeEncoder, rans};
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

use crate::{LosslessParams, Method};

/// The state that a method keeps between planes: none but the work space of zstd.
pub(crate) enum Coder {
    Rans,
    Range,
    Zstd(zstd::bulk::Compressor<'static>, zstd::bulk::Decompressor<'static>),
}

impl Coder {
    pub(crate) fn open(params: &LosslessParams) -> Result<Coder> {
        Ok(match params.method {
            Method::Rans => Coder::Rans,
            Method::Range => Coder::Range,
            Method::Zstd => Coder::Zstd(
                zstd::bulk::Compressor::new(params.level).map_err(zstd_error)?,
                zstd::bulk::Decompressor::new().map_err(zstd_error)?,
            ),
        })
    }

    /// Appends the coded plane and says whether it is worth it: smaller than the plane. If not, what it
    /// appended means nothing.
    pub(crate) fn encode(&mut self, plane: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let start = out.len();
        match self {
            Coder::Rans => {
                let counts = rans::count(plane);
                let Some(frequencies) = rans::Frequencies::of(&counts) else { return Ok(false) };
                #[allow(clippy::cast_precision_loss)]
                if frequencies.coded_bytes(&counts) >= plane.len() as f64 {
                    return Ok(false);
                }
                frequencies.write(out);
                rans::encode(&frequencies, plane, out);
            }
            Coder::Range => encode_range(plane, out),
            Coder::Zstd(compressor, _) => {
                // A frame that does not fit is larger than the plane.
                out.resize(start + plane.len(), 0);
                let Ok(bytes) = compressor.compress_to_buffer(plane, &mut out[start..]) else {
                    return Ok(false);
                };
                out.truncate(start + bytes);
            }
        }
        Ok(out.len() - start < plane.len())
    }

    /// Fills the plane.
    pub(crate) fn decode(&mut self, coded: &[u8], plane: &mut [u8]) -> Result<()> {
        match self {
            Coder::Rans => {
                let (frequencies, rest) = rans::Frequencies::read(coded)?;
                rans::decode(&frequencies, rest, plane)
            }
            Coder::Range => decode_range(coded, plane),
            Coder::Zstd(_, decompressor) => {
                let bytes = decompressor.decompress_to_buffer(coded, plane).map_err(zstd_error)?;
                if bytes == plane.len() {
                    return Ok(());
                }
                Err(Error::new(format!("plane: expected {} bytes, found {bytes}", plane.len())))
            }
        }
    }
}

impl fmt::Debug for Coder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Coder::Rans => "Rans",
            Coder::Range => "Range",
            Coder::Zstd(..) => "Zstd",
        })
    }
}

fn encode_range(plane: &[u8], out: &mut Vec<u8>) {
    vectorize(
        #[inline(always)]
        || {
            let mut encoder = RangeEncoder::new(out);
            let mut model = Bytes::default();
            for byte in plane {
                model.encode(&mut encoder, *byte);
            }
            encoder.finish();
        },
    );
}

fn decode_range(coded: &[u8], plane: &mut [u8]) -> Result<()> {
    vectorize(
        #[inline(always)]
        || {
            let mut decoder = RangeDecoder::new(coded);
            let mut model = Bytes::default();
            for byte in plane {
                *byte = model.decode(&mut decoder);
            }
            decoder.finish()
        },
    )
}

#[allow(clippy::needless_pass_by_value)]
fn zstd_error(error: std::io::Error) -> Error {
    Error::new(format!("zstd: {error}"))
}
