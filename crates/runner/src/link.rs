//! One link of one cell: encoder, payload, decoder, and what they cost.

use half::{bf16, f16};
use strait_loader::{CodecInstance, Dtype, MatrixMut, MatrixRef, with_copy};
use strait_metrics::Distortion;
use strait_schema::LinkCounts;

use crate::clock::timed;
use crate::look::IMPORTANCE;
use crate::plausible::shortfall;

/// Said of an encoder that did so.
const WROTE: &str =
    "the codec wrote to the message, which it may only read: copy what is to be changed";

/// The two ends of a link. They share nothing but the payload: the decoder was opened from a
/// private copy of the library.
pub(crate) struct Ends {
    pub(crate) encoder: CodecInstance,
    pub(crate) decoder: CodecInstance,
}

/// Shape of a sequence of hidden states and how it is split into messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequence {
    pub(crate) tokens: usize,
    pub(crate) channels: usize,
    pub(crate) dtype: Dtype,
    pub(crate) chunk_tokens: Option<usize>,
}

impl Sequence {
    pub(crate) fn bytes(&self) -> usize {
        self.tokens * self.channels * self.dtype.size()
    }
}

/// A link of a cell: compressed, or passed on as it is.
pub(crate) struct CellLink {
    name: String,
    ends: Option<Ends>,
    payload: Vec<u8>,
}

impl CellLink {
    pub(crate) fn new(name: &str, ends: Option<Ends>) -> Self {
        Self { name: name.to_owned(), ends, payload: Vec::new() }
    }

    /// Whether a codec works here.
    pub(crate) fn compresses(&self) -> bool {
        self.ends.is_some()
    }

    /// Sends one sequence from `input` to `output`, both `[tokens, channels]` in the model's dtype. The
    /// encoder is told the importances of the tokens, if there are any.
    ///
    /// # Errors
    /// What the codec said, with the end and the message it said it at. `output` is then undefined.
    pub(crate) fn send(
        &mut self,
        sequence: Sequence,
        input: &[u8],
        output: &mut [u8],
        importances: Option<&[f32]>,
    ) -> Result<LinkCounts, String> {
        let mut counts = LinkCounts::new(self.name.as_str());
        counts.raw_bytes = input.len() as u64;
        let row = sequence.channels * sequence.dtype.size();
        let chunk = sequence.chunk_tokens.unwrap_or(sequence.tokens).clamp(1, sequence.tokens);
        match &mut self.ends {
            None => {
                output.copy_from_slice(input);
                counts.messages = sequence.tokens.div_ceil(chunk) as u64;
                counts.payload_bytes = input.len() as u64;
            }
            Some(ends) => {
                ends.encoder.reset().map_err(|e| format!("encoder reset: {e}"))?;
                ends.decoder.reset().map_err(|e| format!("decoder reset: {e}"))?;
                let mut importances = importances.map(|values| values.chunks(chunk));
                for (input, output) in input.chunks(chunk * row).zip(output.chunks_mut(chunk * row))
                {
                    let told = importances.as_mut().and_then(Iterator::next);
                    let side: Vec<(&str, &[f32])> =
                        told.map(|values| (IMPORTANCE, values)).into_iter().collect();
                    let rows = input.len() / row;
                    let Sequence { channels, dtype, .. } = sequence;
                    let message = MatrixRef { rows, channels, dtype, bytes: input, side: &side };
                    cross(ends, &mut self.payload, message, output, &mut counts)?;
                }
            }
        }
        counts.tokens = sequence.tokens as u64;
        counts.values = (sequence.tokens * sequence.channels) as u64;
        measure(sequence.dtype, input, output, &mut counts.distortion);
        if self.ends.is_some() {
            let LinkCounts { distortion, payload_bytes, .. } = &counts;
            counts.shortfall = shortfall(sequence, input, output, distortion, *payload_bytes);
        }
        Ok(counts)
    }
}

fn cross(
    ends: &mut Ends,
    payload: &mut Vec<u8>,
    message: MatrixRef<'_>,
    output: &mut [u8],
    counts: &mut LinkCounts,
) -> Result<(), String> {
    let MatrixRef { rows, channels, dtype, .. } = message;
    payload.clear();
    let encode = |message: MatrixRef<'_>| {
        timed(&mut counts.encode_s, || ends.encoder.encode(message, payload))
    };
    let (encoded, written) = with_copy(message, encode);
    encoded.map_err(|e| format!("encode of {rows}x{channels}: {e}"))?;
    if written {
        return Err(format!("encode of {rows}x{channels}: {WROTE}"));
    }
    counts.messages += 1;
    counts.payload_bytes += payload.len() as u64;
    // All ones is NaN in every dtype: what a decoder leaves unwritten cannot pass for a value.
    output.fill(0xff);
    let message = MatrixMut { rows, channels, dtype, bytes: output };
    timed(&mut counts.decode_s, || ends.decoder.decode(payload, message))
        .map_err(|e| format!("decode of {} bytes to {rows}x{channels}: {e}", payload.len()))
}

/// Adds the difference between what was sent and what arrived.
fn measure(dtype: Dtype, input: &[u8], output: &[u8], distortion: &mut Distortion) {
    const BLOCK: usize = 4096;
    let size = dtype.size();
    let (mut sent, mut arrived) = (Vec::new(), Vec::new());
    for (input, output) in input.chunks(BLOCK * size).zip(output.chunks(BLOCK * size)) {
        widen(dtype, input, &mut sent);
        widen(dtype, output, &mut arrived);
        distortion.push(&sent, &arrived);
    }
}

/// Values of any dtype as f32.
pub(crate) fn widen(dtype: Dtype, bytes: &[u8], values: &mut Vec<f32>) {
    values.clear();
    match dtype {
        Dtype::F32 => values.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))),
        Dtype::F16 => {
            values.extend(bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()));
        }
        Dtype::BF16 => {
            values.extend(bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()));
        }
    }
}
