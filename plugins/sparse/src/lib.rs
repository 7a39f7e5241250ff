//! sparse: a few values of every token, the largest or a random choice; the decoder has 0 elsewhere.
//!
//! Sources: top-k and random-k with memory as in [Sparsified SGD with
//! memory](https://arxiv.org/abs/1809.07599) (`feedback = "error"`), and
//! [EF21](https://arxiv.org/abs/2106.05203) (`feedback = "difference"`), with tokens in the place of
//! training steps. With C the k kept values and m = 0 before the first token of a sequence:
//!
//! - `none`: x' = C(x).
//! - `error`: x' = C(x + m), then m = x + m - x'.
//! - `difference`: x' = m + C(x - m), then m = x'; the decoder keeps the same m.
//!
//! Stored per message (`top`): a byte that names the coding of the indices, and the indices of all
//! tokens: one bit per channel (0), ⌈log2 channels⌉ bits each (1), or Rice codes of the gaps with r lower
//! bits (2 + r): ⌊gap / 2^r⌋ zeros, a one, the r lower bits. `auto` takes the smallest. `random` stores no
//! indices. Stored per kept value, after all indices: 16 bits, or `bits` bits as `int`, with an f32 per
//! token in front: s = max|x| / (2^(bits-1) - 1), q = round(x/s). With a tenth of 5120 channels: 1.6 bits a
//! value in f16, and about 0.48 for the indices.
//!
//! ```
//! # strait_conformance::check_example::<strait_sparse::Sparse>(r#"
//! [[compressor]]
//! codec = "sparse"
//! params = { fraction = 0.05, values = "int", bits = 6 }
//! # "#);
//! ```
//!
//! Error: |x| where a value is left out; the rounding of f16 or bf16, or s/2, where it is kept. Limits:
//! NaN counts as 0, an infinity as the largest finite value of the message's dtype, f16 saturates at
//! 65504, and the result is always finite. A sequence whose number of channels changes starts its
//! memory anew. `error` gives a token what its predecessor lost, which is right for sums over tokens
//! and rarely for hidden states; it is here because it is published.

mod index;
mod params;
mod select;
mod store;

use strait_codec_kit::bits::{BitReader, BitWriter};
use strait_sdk::prelude::*;

pub use params::{Feedback, Index, Select, SparseParams, Values};

use index::Coding;
use select::Selector;
use store::{Store, largest};

/// The codec `sparse`.
#[derive(Debug)]
pub struct Sparse {
    params: SparseParams,
    selector: Selector,
    store: Store,
    /// What earlier tokens of the sequence left, one value per channel.
    memory: Vec<f32>,
    /// Tokens of the sequence so far.
    token: u64,
    row: Vec<f32>,
    kept: Vec<f32>,
    chosen: Vec<u32>,
}

impl Codec for Sparse {
    const INFO: CodecInfo = CodecInfo {
        id: "sparse",
        summary: "the largest values of every token, or a random choice, with memory as an option",
        paper: "https://arxiv.org/abs/1809.07599",
        stateful: true,
        ..CodecInfo::DEFAULT
    };
    type Params = SparseParams;

    fn open(params: SparseParams) -> Result<Self> {
        let store = Store::new(&params);
        Ok(Sparse {
            params,
            selector: Selector::default(),
            store,
            memory: Vec::new(),
            token: 0,
            row: Vec::new(),
            kept: Vec::new(),
            chosen: Vec::new(),
        })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let Shape { rows, channels, dtype } = message.shape();
        let k = self.kept_of(channels);
        self.begin(channels);
        let largest = largest(dtype);
        let Sparse { params, selector, store, memory, token, row, kept, chosen } = self;
        row.resize(channels, 0.0);
        let mut all = Vec::with_capacity(rows * k);
        let mut values = Vec::with_capacity(rows * store.bytes(k));
        message.for_each_row(|_, x| {
            for (row, x) in row.iter_mut().zip(x) {
                *row = if x.is_nan() { 0.0 } else { x.clamp(-largest, largest) };
            }
            match params.feedback {
                Feedback::None => {}
                Feedback::Error => add(row, memory, 1.0),
                Feedback::Difference => add(row, memory, -1.0),
            }
            match params.select {
                Select::Top => selector.top(row, k, chosen),
                Select::Random => selector.random(params.seed, *token, channels, k, chosen),
            }
            *token += 1;
            kept.clear();
            kept.extend(chosen.iter().map(|channel| row[*channel as usize]));
            store.write(kept, &mut values)?;
            match params.feedback {
                Feedback::None => {}
                Feedback::Error => {
                    memory.copy_from_slice(row);
                    for (channel, value) in chosen.iter().zip(&*kept) {
                        add(&mut memory[*channel as usize..][..1], &[*value], -1.0);
                    }
                }
                Feedback::Difference => follow(memory, chosen, kept, largest),
            }
            if params.select == Select::Top {
                all.extend_from_slice(chosen);
            }
            Ok(())
        })?;
        if params.select == Select::Top && !all.is_empty() {
            let coding = Coding::choose(params.index, channels, k, &all);
            payload.push(coding.byte());
            let mut writer = BitWriter::new(payload);
            all.chunks(k).for_each(|chosen| coding.write(channels, chosen, &mut writer));
            writer.finish();
        }
        payload.append(&mut values);
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let Shape { rows, channels, dtype } = message.shape();
        let k = self.kept_of(channels);
        self.begin(channels);
        let largest = largest(dtype);
        let row_bytes = self.store.bytes(k);
        let most = self.payload_bytes(message.shape()).limit();
        let index_bytes = payload.len().checked_sub(rows * row_bytes);
        let Some(index_bytes) = index_bytes.filter(|_| payload.len() <= most) else {
            return Err(Error::payload_length(most, payload.len()));
        };
        let (indices, values) = payload.split_at(index_bytes);
        let (coding, indices) = match indices.split_first() {
            Some((byte, indices)) => (Coding::of_byte(*byte)?, indices),
            None if self.params.select == Select::Top && rows * k > 0 => {
                return Err(Error::payload_length(most, payload.len()));
            }
            None => (Coding::Bitmap, indices),
        };
        if self.params.select == Select::Random && index_bytes > 0 {
            return Err(Error::payload_length(rows * row_bytes, payload.len()));
        }
        let mut reader = BitReader::new(indices);
        let Sparse { params, selector, store, memory, token, kept, chosen, .. } = self;
        kept.resize(k, 0.0);
        message.for_each_row(|i, row| {
            match params.select {
                Select::Top => coding.read(channels, k, &mut reader, chosen)?,
                Select::Random => selector.random(params.seed, *token, channels, k, chosen),
            }
            *token += 1;
            store.read(&values[i * row_bytes..][..row_bytes], kept)?;
            if params.feedback == Feedback::Difference {
                follow(memory, chosen, kept, largest);
                row.copy_from_slice(memory);
            } else {
                row.fill(0.0);
                follow(row, chosen, kept, largest);
            }
            Ok(())
        })?;
        reader.finish()
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        let Shape { rows, channels, .. } = shape;
        let k = self.kept_of(channels);
        let values = rows * self.store.bytes(k);
        if self.params.select == Select::Random || rows * k == 0 {
            return PayloadBytes::Exact(values);
        }
        let bits = Coding::most_bits(self.params.index, channels, k);
        let bytes = 1 + (rows * bits).div_ceil(8) + values;
        match self.params.index {
            Index::Bitmap | Index::Fixed => PayloadBytes::Exact(bytes),
            Index::Auto | Index::Delta => PayloadBytes::AtMost(bytes),
        }
    }

    fn reset(&mut self) {
        self.memory.fill(0.0);
        self.token = 0;
    }
}

impl Sparse {
    /// Kept values of a token.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    fn kept_of(&self, channels: usize) -> usize {
        let wanted = match self.params.k {
            0 => ((self.params.fraction * channels as f64).round() as usize).max(1),
            k => k,
        };
        wanted.min(channels)
    }

    /// Memory for so many channels.
    fn begin(&mut self, channels: usize) {
        if self.memory.len() != channels {
            self.memory.clear();
            self.memory.resize(channels, 0.0);
        }
    }
}

/// `values + sign * others`, kept finite.
fn add(values: &mut [f32], others: &[f32], sign: f32) {
    for (value, other) in values.iter_mut().zip(others) {
        *value = (*value + sign * other).clamp(f32::MIN, f32::MAX);
    }
}

/// Adds the kept values, in encoder and decoder alike.
fn follow(values: &mut [f32], chosen: &[u32], kept: &[f32], largest: f32) {
    for (channel, kept) in chosen.iter().zip(kept) {
        let value = &mut values[*channel as usize];
        // A damaged payload may hold NaN and infinities.
        *value = (*value + kept).clamp(-largest, largest);
    }
}

strait_sdk::export!(Sparse);
