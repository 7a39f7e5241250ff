//! A message as the decoder fills it.

use strait_abi::MatrixTarget;

use crate::convert::narrow;
use crate::message::check_bytes;
use crate::{Dtype, Error, Result, Shape};

/// A matrix of announced shape for the decoder to fill; every element must be written.
///
/// What it holds before is not defined (the host fills it with NaN). It lies in the host's memory: what does
/// not never becomes a `MessageMut`.
#[derive(Debug)]
pub struct MessageMut<'a> {
    shape: Shape,
    bytes: &'a mut [u8],
}

impl<'a> MessageMut<'a> {
    /// A message over bytes that hold exactly `shape`.
    ///
    /// # Errors
    /// When `bytes` is shorter or longer than the shape.
    pub fn new(shape: Shape, bytes: &'a mut [u8]) -> Result<Self> {
        check_bytes(shape, bytes.len())?;
        Ok(MessageMut { shape, bytes })
    }

    /// The message that crossed the boundary as `target`, if it lies in the host's memory.
    ///
    /// # Errors
    /// [`Error::Matrix`] when it lies elsewhere, without a look at its bytes, or has an unknown dtype; those of
    /// [`new`](MessageMut::new).
    pub fn from_target(target: MatrixTarget<'a>) -> Result<Self> {
        let (rows, channels) = (target.rows(), target.channels());
        let (dtype, bytes) = target.contents()?;
        MessageMut::new(Shape { rows, channels, dtype }, bytes)
    }

    /// Shape and dtype.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Number of rows: one per token.
    pub fn rows(&self) -> usize {
        self.shape.rows
    }

    /// Values per row.
    pub fn channels(&self) -> usize {
        self.shape.channels
    }

    /// Type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.shape.dtype
    }

    /// The raw little-endian bytes to fill, row-major, without gaps.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes
    }

    /// Writes all values, row-major `[rows, channels]`, rounded to the dtype (nearest even).
    ///
    /// # Errors
    /// When `values` has not exactly rows × channels elements.
    pub fn write_f32(&mut self, values: &[f32]) -> Result<()> {
        if values.len() != self.shape.values() {
            return Err(Error::ValueCount { expected: self.shape.values(), found: values.len() });
        }
        narrow(self.shape.dtype, values, self.bytes);
        Ok(())
    }

    /// Calls `f(row, values)` for every row in order; what `f` leaves in `values` is the row.
    ///
    /// Without a copy when the dtype is f32; otherwise the row is rounded to the dtype.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn for_each_row(
        &mut self,
        mut f: impl FnMut(usize, &mut [f32]) -> Result<()>,
    ) -> Result<()> {
        let Shape { rows, channels, dtype } = self.shape;
        if dtype == Dtype::F32
            && let Ok(values) = bytemuck::try_cast_slice_mut::<u8, f32>(self.bytes)
        {
            return (0..rows).try_for_each(|row| f(row, &mut values[row * channels..][..channels]));
        }
        let mut values = vec![0.0; channels];
        let row_bytes = self.shape.row_bytes();
        (0..rows).try_for_each(|row| {
            f(row, &mut values)?;
            narrow(dtype, &values, &mut self.bytes[row * row_bytes..][..row_bytes]);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_whole_writes_agree_for_every_dtype() {
        let values: Vec<f32> = (0..15_u8).map(|i| f32::from(i) / 3.0).collect();
        for dtype in Dtype::ALL {
            let shape = Shape { rows: 3, channels: 5, dtype };
            let mut whole = vec![0_u8; shape.bytes()];
            MessageMut::new(shape, &mut whole).unwrap().write_f32(&values).unwrap();
            for offset in 0..2 {
                let mut by_row = vec![0_u8; shape.bytes() + offset];
                MessageMut::new(shape, &mut by_row[offset..])
                    .unwrap()
                    .for_each_row(|row, out| {
                        out.copy_from_slice(&values[row * 5..][..5]);
                        Ok(())
                    })
                    .unwrap();
                assert_eq!(by_row[offset..], whole);
            }
        }
    }

    #[test]
    fn a_wrong_number_of_values_is_an_error() {
        let shape = Shape { rows: 1, channels: 2, dtype: Dtype::F32 };
        let mut bytes = [0; 8];
        let error = MessageMut::new(shape, &mut bytes).unwrap().write_f32(&[1.0]).unwrap_err();
        assert_eq!(error.to_string(), "message: expected 2 values, found 1");
    }
}
