//! outlier.values: the largest values of every token are kept, and 0 takes their places.

use strait_codec_kit::bits::{BitReader, BitWriter};
use strait_sdk::narrow;
use strait_sdk::prelude::*;

use crate::kept::{Keep, decode_rest, encode_rest, magnitude, split};

/// Parameters of [`Values`].
#[derive(Params, Clone, Debug)]
pub struct ValuesParams {
    /// The codec of what is left.
    #[param(default = r#"{ "codec": "affine", "bits": 4 }"#)]
    pub inner: InnerCodec,
    /// Values kept of every group.
    #[param(default = 1, min = 1)]
    pub k: usize,
    /// Values of a group; 0 for the whole token.
    #[param(default = 0)]
    pub group: usize,
    /// Type of the values kept.
    #[param(default = "f16")]
    pub keep: Keep,
}

/// The codec `outlier.values`.
#[derive(Debug)]
pub struct Values {
    params: ValuesParams,
    inner: Inner,
    keys: Vec<u64>,
    chosen: Vec<u32>,
    kept: Vec<f32>,
    rest: Vec<u8>,
}

impl Codec for Values {
    const INFO: CodecInfo = CodecInfo {
        id: "outlier.values",
        summary: "the largest values of every token in 16 bits, the others by any other codec",
        paper: "https://arxiv.org/abs/2508.03760",
        ..CodecInfo::DEFAULT
    };
    type Params = ValuesParams;

    fn open(params: ValuesParams) -> Result<Self> {
        let inner = params.inner.open()?;
        let (keys, chosen, kept, rest) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Values { params, inner, keys, chosen, kept, rest })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let Values { params, inner, keys, chosen, kept, rest } = self;
        let (shape, groups) = (message.shape(), Groups::new(params, message.channels()));
        let size = shape.dtype.size();
        rest.clear();
        rest.extend_from_slice(message.bytes());
        kept.clear();
        let mut writer = BitWriter::new(payload);
        message.for_each_row(|i, row| {
            for (start, group) in groups.starts(row).zip(row.chunks(groups.length.max(1))) {
                largest(group, params.k, keys, chosen);
                groups.write(group.len(), chosen, &mut writer);
                for at in chosen.iter().map(|at| *at as usize) {
                    kept.push(group[at]);
                    rest[(i * row.len() + start + at) * size..][..size].fill(0);
                }
            }
            Ok(())
        })?;
        writer.finish();
        params.keep.write(kept, payload);
        encode_rest(inner, shape, rest, &message, payload)
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let Values { params, inner, chosen, kept, .. } = self;
        let (shape, groups) = (message.shape(), Groups::new(params, message.channels()));
        let size = shape.dtype.size();
        let (index, payload) = split(payload, (shape.rows * groups.bits).div_ceil(8))?;
        let (stored, payload) = split(payload, shape.rows * groups.kept * 2)?;
        decode_rest(inner, shape, payload, message.bytes_mut())?;
        kept.resize(shape.rows * groups.kept, 0.0);
        params.keep.read(stored, shape.dtype, kept);
        let mut reader = BitReader::new(index);
        let mut kept = kept.iter();
        for row in message.bytes_mut().chunks_mut(shape.row_bytes().max(1)) {
            for group in row.chunks_mut(groups.length.max(1) * size) {
                groups.read(group.len() / size, &mut reader, chosen)?;
                for (at, value) in chosen.iter().zip(&mut kept) {
                    narrow(shape.dtype, &[*value], &mut group[*at as usize * size..][..size]);
                }
            }
        }
        reader.finish()
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        if shape.values() == 0 {
            return PayloadBytes::Exact(0);
        }
        let groups = Groups::new(&self.params, shape.channels);
        let ours = (shape.rows * groups.bits).div_ceil(8) + shape.rows * groups.kept * 2;
        match self.inner.payload_bytes(shape) {
            PayloadBytes::Exact(bytes) => PayloadBytes::Exact(bytes.saturating_add(ours)),
            PayloadBytes::AtMost(bytes) => PayloadBytes::AtMost(bytes.saturating_add(ours)),
        }
    }

    fn reset(&mut self) {
        self.inner.reset();
    }
}

/// How a token is cut into groups, and how their sets are stored.
struct Groups {
    k: usize,
    length: usize,
    /// Values kept of a token.
    kept: usize,
    /// Bits of the sets of a token.
    bits: usize,
}

impl Groups {
    fn new(params: &ValuesParams, channels: usize) -> Self {
        let length = if params.group == 0 { channels } else { params.group.min(channels) };
        let mut groups = Groups { k: params.k, length, kept: 0, bits: 0 };
        let (whole, tail) = match length {
            0 => (0, 0),
            _ => (channels / length, channels % length),
        };
        groups.kept = whole * params.k.min(length) + params.k.min(tail);
        groups.bits = whole * groups.set_bits(length) + groups.set_bits(tail);
        groups
    }

    /// Where the groups of a row start.
    fn starts(&self, row: &[f32]) -> impl Iterator<Item = usize> + use<> {
        (0..row.len()).step_by(self.length.max(1))
    }

    /// Bits of the set of a group, as a list or a bitmap.
    fn set_bits(&self, length: usize) -> usize {
        let count = self.k.min(length);
        if count == length { 0 } else { length.min(count * width(length) as usize) }
    }

    fn is_list(&self, length: usize) -> bool {
        self.k * width(length) as usize <= length
    }

    #[allow(clippy::cast_possible_truncation)]
    fn write(&self, length: usize, chosen: &[u32], writer: &mut BitWriter<'_>) {
        if self.set_bits(length) == 0 {
            return;
        }
        if self.is_list(length) {
            return chosen.iter().for_each(|at| writer.put(*at, width(length)));
        }
        let mut rest = chosen.iter().peekable();
        for at in 0..length as u32 {
            writer.put(u32::from(rest.next_if_eq(&&at).is_some()), 1);
        }
    }

    #[allow(clippy::cast_possible_truncation)]
    fn read(&self, length: usize, reader: &mut BitReader<'_>, chosen: &mut Vec<u32>) -> Result<()> {
        chosen.clear();
        let count = self.k.min(length);
        if self.set_bits(length) == 0 {
            chosen.extend(0..count as u32);
            return Ok(());
        }
        if self.is_list(length) {
            for _ in 0..count {
                chosen.push(reader.get(width(length))?);
            }
        } else {
            for at in 0..length as u32 {
                if reader.get(1)? == 1 {
                    chosen.push(at);
                }
            }
        }
        let ascending = chosen.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = chosen.last().is_none_or(|last| (*last as usize) < length);
        if ascending && inside && chosen.len() == count {
            return Ok(());
        }
        Err(Error::new(format!("index: expected {count} ascending numbers below {length}")))
    }
}

/// Bits of a number below `length`.
fn width(length: usize) -> u32 {
    usize::BITS - length.saturating_sub(1).leading_zeros()
}

/// The places of the `k` largest magnitudes, ascending; the first of equals.
#[allow(clippy::cast_possible_truncation)]
fn largest(values: &[f32], k: usize, keys: &mut Vec<u64>, chosen: &mut Vec<u32>) {
    chosen.clear();
    if k >= values.len() {
        chosen.extend(0..values.len() as u32);
        return;
    }
    keys.clear();
    // Magnitudes are ordered like their bits; the place decides among equals.
    let key =
        |(at, value): (usize, &f32)| u64::from(!magnitude(*value).to_bits()) << 32 | at as u64;
    keys.extend(values.iter().enumerate().map(key));
    keys.select_nth_unstable(k);
    chosen.extend(keys[..k].iter().map(|key| *key as u32));
    chosen.sort_unstable();
}
