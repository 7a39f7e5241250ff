//! One link of one cell: compressed or passed on unchanged, and what that costs.

use strait_loader::MatrixRef;
use strait_metrics::Distortion;
use strait_model::{Dtype, Hidden};
use strait_schema::LinkCounts;

use crate::convert;
use crate::ways::ends::Ends;
use crate::ways::plausible::shortfall;
use crate::ways::probe::IMPORTANCE;

/// Shape of a sequence of hidden states, and how it is split into messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequence {
    pub(crate) tokens: usize,
    pub(crate) channels: usize,
    pub(crate) dtype: Dtype,
    chunk_tokens: Option<usize>,
}

impl Sequence {
    /// A sequence of `states`, in messages of `chunk_tokens` tokens, or in one message.
    pub(crate) fn of(states: &Hidden, chunk_tokens: Option<usize>) -> Self {
        let Hidden { tokens, channels, dtype, .. } = *states;
        Self { tokens, channels, dtype, chunk_tokens }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.tokens * self.row()
    }

    fn row(&self) -> usize {
        self.channels * self.dtype.size()
    }

    /// Number of tokens per message.
    fn chunk(&self) -> usize {
        self.chunk_tokens.unwrap_or(self.tokens).clamp(1, self.tokens)
    }
}

/// A link of a cell.
pub(crate) struct CellLink {
    name: String,
    ends: Option<Ends>,
}

impl CellLink {
    pub(crate) fn new(name: &str, ends: Option<Ends>) -> Self {
        Self { name: name.to_owned(), ends }
    }

    /// Whether a codec works here.
    pub(crate) fn compresses(&self) -> bool {
        self.ends.is_some()
    }

    /// Sends one sequence from `input` to `output`, both `[tokens, channels]` in the model's dtype. The
    /// encoder also gets the importances of the tokens, if there are any.
    ///
    /// # Errors
    /// The codec's error, with the end and the message at which it occurred. `output` is then undefined.
    pub(crate) fn send(
        &mut self,
        sequence: Sequence,
        input: &[u8],
        output: &mut [u8],
        importances: Option<&[f32]>,
    ) -> Result<LinkCounts, String> {
        let Some(ends) = &mut self.ends else {
            output.copy_from_slice(input);
            return Ok(self.pass(sequence, input));
        };
        let mut counts = counts(&self.name, sequence, input);
        ends.reset()?;
        let mut importances = importances.map(|values| values.chunks(sequence.chunk()));
        let size = sequence.chunk() * sequence.row();
        for (sent, arrived) in input.chunks(size).zip(output.chunks_mut(size)) {
            let told = importances.as_mut().and_then(Iterator::next);
            let side: Vec<(&str, &[f32])> =
                told.map(|values| (IMPORTANCE, values)).into_iter().collect();
            let message = MatrixRef {
                rows: sent.len() / sequence.row(),
                channels: sequence.channels,
                dtype: convert::loader_dtype(sequence.dtype),
                bytes: sent,
                side: &side,
            };
            counts.payload_bytes += ends.cross(message, arrived, &mut counts)?;
        }
        measure(sequence.dtype, input, output, &mut counts.distortion);
        let LinkCounts { distortion, payload_bytes, .. } = &counts;
        let shape = (sequence.channels, sequence.dtype);
        counts.shortfall = shortfall(shape, input, output, distortion, *payload_bytes);
        Ok(counts)
    }

    /// The cost of a sequence that is passed on unchanged; it need not be moved to know that.
    pub(crate) fn pass(&self, sequence: Sequence, states: &[u8]) -> LinkCounts {
        let mut counts = counts(&self.name, sequence, states);
        counts.messages = sequence.tokens.div_ceil(sequence.chunk()) as u64;
        counts.payload_bytes = states.len() as u64;
        measure(sequence.dtype, states, states, &mut counts.distortion);
        counts
    }
}

/// The counts of a sequence that has not been sent yet.
fn counts(name: &str, sequence: Sequence, input: &[u8]) -> LinkCounts {
    let mut counts = LinkCounts::new(name);
    counts.raw_bytes = input.len() as u64;
    counts.tokens = sequence.tokens as u64;
    counts.values = (sequence.tokens * sequence.channels) as u64;
    counts
}

/// Adds the difference between what was sent and what arrived, one block at a time, so that no f32 copy
/// of a whole sequence is made.
fn measure(dtype: Dtype, sent: &[u8], arrived: &[u8], distortion: &mut Distortion) {
    const BLOCK: usize = 4096;
    let size = dtype.size();
    let (mut wide_sent, mut wide_arrived) = (vec![0.0; BLOCK], vec![0.0; BLOCK]);
    for (sent, arrived) in sent.chunks(BLOCK * size).zip(arrived.chunks(BLOCK * size)) {
        let values = sent.len() / size;
        dtype.decode(sent, &mut wide_sent[..values]);
        dtype.decode(arrived, &mut wide_arrived[..values]);
        distortion.push(&wide_sent[..values], &wide_arrived[..values]);
    }
}
