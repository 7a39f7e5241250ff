//! Hidden states in host memory: what crosses a link.

use aligned_vec::{AVec, ConstAlign};

use crate::error::OpsError;
use strait_vocabulary::Dtype;

/// Host bytes aligned to 64 bytes.
pub type AlignedBytes = AVec<u8, ConstAlign<64>>;

/// Hidden states `[batch, tokens, channels]` in the model's dtype, row-major, in host memory.
///
/// One sequence of the batch is one message: see [`Hidden::sequence`].
#[derive(Debug, Clone, PartialEq)]
pub struct Hidden {
    /// Number of sequences.
    pub batch: usize,
    /// Tokens in every sequence.
    pub tokens: usize,
    /// Hidden size.
    pub channels: usize,
    /// Element type of `data`.
    pub dtype: Dtype,
    /// Little-endian elements, `batch * tokens * channels` of them.
    pub data: AlignedBytes,
}

impl Hidden {
    /// Zeros of the given shape.
    #[must_use]
    pub fn zeros(batch: usize, tokens: usize, channels: usize, dtype: Dtype) -> Hidden {
        let length = batch * tokens * channels * dtype.size();
        Hidden { batch, tokens, channels, dtype, data: AVec::from_iter(64, vec![0u8; length]) }
    }

    /// Concatenates parts of the same shape along the batch axis, in the given order.
    ///
    /// # Errors
    /// When there are no parts, or they differ in tokens, channels or dtype.
    pub fn stack(parts: &[&Hidden]) -> Result<Hidden, OpsError> {
        let first = parts.first().ok_or(OpsError::size("stack", "at least 1 part", 0))?;
        let mut data =
            AlignedBytes::with_capacity(64, parts.iter().map(|part| part.data.len()).sum());
        let mut batch = 0;
        for part in parts {
            if (part.tokens, part.channels) != (first.tokens, first.channels) {
                return Err(OpsError::size(
                    "stack, [tokens, channels] of a part",
                    format!("{:?}", [first.tokens, first.channels]),
                    format!("{:?}", [part.tokens, part.channels]),
                ));
            }
            if part.dtype != first.dtype {
                return Err(OpsError::HiddenDtype { expected: first.dtype, found: part.dtype });
            }
            data.extend_from_slice(&part.data);
            batch += part.batch;
        }
        Ok(Hidden { batch, data, ..Hidden::zeros(0, first.tokens, first.channels, first.dtype) })
    }

    /// Size of one sequence in bytes.
    #[must_use]
    pub fn sequence_bytes(&self) -> usize {
        self.tokens * self.channels * self.dtype.size()
    }

    /// The bytes of sequence `index`, `[tokens, channels]`; empty when there is no such sequence.
    #[must_use]
    pub fn sequence(&self, index: usize) -> &[u8] {
        let size = self.sequence_bytes();
        self.data.get(index * size..(index + 1) * size).unwrap_or(&[])
    }

    /// The mutable bytes of sequence `index`; empty when there is no such sequence.
    #[must_use]
    pub fn sequence_mut(&mut self, index: usize) -> &mut [u8] {
        let size = self.sequence_bytes();
        self.data.get_mut(index * size..(index + 1) * size).unwrap_or(&mut [])
    }

    /// All values as f32; the conversion is exact.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.data.len() / self.dtype.size()];
        self.dtype.decode(&self.data, &mut values);
        values
    }

    /// Makes hidden states from f32 values, rounded to `dtype`.
    ///
    /// # Errors
    /// When the number of values is not `batch * tokens * channels`.
    pub fn from_f32(
        values: &[f32],
        [batch, tokens, channels]: [usize; 3],
        dtype: Dtype,
    ) -> Result<Hidden, OpsError> {
        let mut hidden = Hidden::zeros(batch, tokens, channels, dtype);
        if values.len() != batch * tokens * channels {
            return Err(OpsError::size(
                "hidden states, number of values",
                batch * tokens * channels,
                values.len(),
            ));
        }
        dtype.encode(values, &mut hidden.data);
        Ok(hidden)
    }

    /// Checks channels, dtype and number of bytes.
    ///
    /// # Errors
    /// When one of them differs.
    pub fn check(&self, channels: usize, dtype: Dtype) -> Result<(), OpsError> {
        if self.dtype != dtype {
            return Err(OpsError::HiddenDtype { expected: dtype, found: self.dtype });
        }
        if self.channels != channels {
            return Err(OpsError::size("hidden states, channels", channels, self.channels));
        }
        let expected = self.batch * self.sequence_bytes();
        if self.data.len() != expected {
            return Err(OpsError::size("hidden states, bytes", expected, self.data.len()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacking_keeps_every_sequence() {
        let one = Hidden::from_f32(&[1.0, 2.0], [1, 1, 2], Dtype::F16).unwrap();
        let two = Hidden::from_f32(&[3.0, 4.0, 5.0, 6.0], [2, 1, 2], Dtype::F16).unwrap();
        let both = Hidden::stack(&[&one, &two]).unwrap();
        assert_eq!(both.batch, 3);
        assert_eq!(both.to_f32(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(both.sequence(0), one.sequence(0));
        assert_eq!(both.sequence(2), two.sequence(1));
        assert_eq!(both.data.as_ptr() as usize % 64, 0);
    }

    #[test]
    fn different_shapes_do_not_stack() {
        let one = Hidden::zeros(1, 1, 2, Dtype::F32);
        let two = Hidden::zeros(1, 2, 1, Dtype::F32);
        let message = Hidden::stack(&[&one, &two]).unwrap_err().to_string();
        assert_eq!(message, "stack, [tokens, channels] of a part: expected [1, 2], found [2, 1]");
    }
}
