//! Messages: the step, which rows are plain, and every row through the [`Stream`].

use strait_codec_kit::entropy::{RangeDecoder, RangeEncoder};
use strait_sdk::prelude::*;

use crate::step::{NONE, code_of, deviation, step_of};
use crate::stream::Stream;
use crate::symbols::Port;
use crate::table::Table;
use crate::transform::Transform;

/// Rows of a message that the step is chosen from, at most.
const MEASURED: usize = 32;

/// A step is kept while it is off by less than this many eighths of an octave.
const SLACK: i32 = 3;

/// A row with a coefficient of more steps is stored plain.
const MOST_STEPS: f32 = 1_048_576.0;

/// One side of a link.
#[derive(Debug)]
pub(crate) struct Engine {
    bits: f32,
    history: usize,
    sequence: Option<Sequence>,
    coefficients: Vec<f32>,
    scratch: Vec<f32>,
}

/// What a sequence of messages of one width shares.
#[derive(Debug)]
struct Sequence {
    stream: Stream,
    code: Option<i32>,
    /// Binary logarithm of the deviation, and how many rows it was measured on.
    measured: (f64, f64),
    steps: Table,
    plain: Table,
}

/// Codes of the change of the step: this one is no change, the last one an escape.
const SAME: i32 = 7;
const ESCAPE: u32 = 15;

impl Engine {
    pub(crate) fn new(bits: f32, history: usize) -> Engine {
        let (coefficients, scratch) = (Vec::new(), Vec::new());
        Engine { bits, history, sequence: None, coefficients, scratch }
    }

    pub(crate) fn reset(&mut self) {
        self.sequence = None;
    }

    pub(crate) fn encode(
        &mut self,
        message: Message<'_>,
        transform: Option<&Transform>,
        payload: &mut Vec<u8>,
    ) -> Result<()> {
        let shape = message.shape();
        if shape.values() == 0 {
            return Ok(());
        }
        let values = message.to_f32();
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::new(format!(
                "frontier: expected finite values, found {} in row {}",
                values[at],
                at / shape.channels
            )));
        }
        let sequence = sequence(&mut self.sequence, shape.channels, self.history, true);
        let code = match transform {
            Some(transform) => code_of(f64::from(transform.deviation()), self.bits),
            None => sequence.choose(&values, shape.channels, self.bits, &mut self.scratch),
        };
        let mut port = RangeEncoder::new(payload);
        sequence.code_step(&mut port, code, transform);
        let coefficients = &mut self.coefficients;
        coefficients.clear();
        match transform {
            Some(transform) => transform.forward(&values, coefficients),
            None => coefficients.extend_from_slice(&values),
        }
        let elements = message.bytes().chunks_exact(shape.row_bytes());
        for (row, elements) in coefficients.chunks_exact_mut(shape.channels).zip(elements) {
            let most = if sequence.stream.step() > 0.0 {
                (MOST_STEPS * sequence.stream.step()).min(1e30)
            } else {
                0.0
            };
            // Also true of what is not a number.
            let plain = !row.iter().all(|value| value.abs() <= most);
            if port.symbol(&mut sequence.plain, plain.into()) == 0 {
                sequence.stream.code(&mut port, row);
                continue;
            }
            for element in elements.chunks_exact(shape.dtype.size()) {
                let mut bytes = [0; 4];
                bytes[..element.len()].copy_from_slice(element);
                port.encode_bits(u32::from_le_bytes(bytes), bits_of(shape.dtype));
            }
        }
        port.finish();
        Ok(())
    }

    pub(crate) fn decode(
        &mut self,
        payload: &[u8],
        transform: Option<&Transform>,
        message: &mut MessageMut<'_>,
    ) -> Result<()> {
        let shape = message.shape();
        if shape.values() == 0 {
            return Error::check_payload_length(0, payload.len());
        }
        let sequence = sequence(&mut self.sequence, shape.channels, self.history, false);
        let mut port = RangeDecoder::new(payload);
        sequence.code_step(&mut port, 0, transform);
        let coefficients = &mut self.coefficients;
        coefficients.clear();
        coefficients.resize(shape.values(), 0.0);
        let (mut plain, mut elements) = (Vec::new(), Vec::new());
        for (index, row) in coefficients.chunks_exact_mut(shape.channels).enumerate() {
            if port.symbol(&mut sequence.plain, 0) == 0 {
                sequence.stream.code(&mut port, row);
                continue;
            }
            for _ in 0..shape.channels {
                let bytes = port.decode_bits(bits_of(shape.dtype)).to_le_bytes();
                elements.extend_from_slice(&bytes[..shape.dtype.size()]);
            }
            plain.push(index);
        }
        port.finish()?;
        // Rounding up must not make an infinity of the dtype's largest numbers.
        let most = match shape.dtype {
            Dtype::F16 => 65504.0,
            Dtype::BF16 => 3.389_531_4e38,
            Dtype::F32 => f32::MAX,
        };
        let clamp = |values: &mut [f32]| {
            values.iter_mut().for_each(|value| *value = value.clamp(-most, most));
        };
        match transform {
            None => {
                clamp(coefficients);
                message.write_f32(coefficients)?;
            }
            Some(transform) => {
                self.scratch.clear();
                transform.backward(coefficients, &mut self.scratch);
                clamp(&mut self.scratch);
                message.write_f32(&self.scratch)?;
            }
        }
        let bytes = shape.row_bytes();
        for (index, elements) in plain.into_iter().zip(elements.chunks_exact(bytes)) {
            message.bytes_mut()[index * bytes..][..bytes].copy_from_slice(elements);
        }
        Ok(())
    }
}

/// The sequence that goes on, or a new one where rows have another width.
fn sequence(
    sequence: &mut Option<Sequence>,
    channels: usize,
    history: usize,
    encoder: bool,
) -> &mut Sequence {
    if sequence.as_ref().is_some_and(|sequence| sequence.stream.width() != channels) {
        *sequence = None;
    }
    sequence.get_or_insert_with(|| Sequence {
        stream: Stream::new(channels, history, encoder),
        code: None,
        measured: (0.0, 0.0),
        steps: Table::new(7),
        plain: Table::new(7),
    })
}

impl Sequence {
    /// The code of the step for a message and those before it.
    fn choose(
        &mut self,
        values: &[f32],
        channels: usize,
        bits: f32,
        scratch: &mut Vec<f32>,
    ) -> i32 {
        let rows = values.len() / channels;
        let mut deviations: Vec<f64> = values
            .chunks_exact(channels)
            .step_by(rows.div_ceil(MEASURED))
            .map(|row| deviation(row, scratch))
            .collect();
        let middle = deviations.len() / 2;
        let (_, sigma, _) = deviations.select_nth_unstable_by(middle, f64::total_cmp);
        if *sigma > 0.0 {
            #[allow(clippy::cast_precision_loss)]
            let new = rows as f64;
            let (mean, seen) = &mut self.measured;
            let seen_now = (*seen + new).min(256.0);
            *mean += (sigma.log2() - *mean) * (new / seen_now).min(1.0);
            *seen = seen_now;
        }
        let wanted =
            if self.measured.1 > 0.0 { code_of(self.measured.0.exp2(), bits) } else { NONE };
        match self.code {
            Some(code) if (code - wanted).abs() < SLACK => code,
            _ => wanted,
        }
    }

    /// Codes the step where it is not known; the first one is 11 bits.
    fn code_step<P: Port>(&mut self, port: &mut P, code: i32, transform: Option<&Transform>) {
        let known = match (self.code, transform) {
            (Some(before), None) => {
                let change = code - before + SAME;
                let fits = (0..15).contains(&change);
                let change = port
                    .symbol(&mut self.steps, if fits { change.cast_unsigned() } else { ESCAPE });
                (change != ESCAPE).then(|| before + change.cast_signed() - SAME)
            }
            (before, Some(_)) => before,
            (None, None) => None,
        };
        let code = known
            .unwrap_or_else(|| port.bits((code - NONE).cast_unsigned(), 11).cast_signed() + NONE);
        let first = self.code.is_none();
        if self.code != Some(code) {
            self.stream.set_step(step_of(code));
            self.code = Some(code);
        }
        if let Some(transform) = transform.filter(|_| first) {
            self.stream.expect(transform.deviations());
        }
    }
}

fn bits_of(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::F32 => 32,
        Dtype::F16 | Dtype::BF16 => 16,
    }
}
