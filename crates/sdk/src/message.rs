//! A message as the encoder sees it.

use std::borrow::Cow;

use strait_abi::MatrixView;

use crate::convert::widen;
use crate::{Dtype, Error, Result, Shape};

/// Hidden states `[rows, channels]` of one sequence, or any other matrix to encode.
///
/// The elements are little-endian bytes of the model's dtype; rows come as `f32` on demand. They lie in
/// the host's memory: what does not never becomes a `Message`.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    shape: Shape,
    bytes: &'a [u8],
    side: &'a [Side<'a>],
}

/// One piece of side information: a name and one `f32` per row.
pub type Side<'a> = strait_abi::SideView<'a>;

impl<'a> Message<'a> {
    /// A message over bytes that hold exactly `shape`.
    ///
    /// # Errors
    /// When `bytes` is shorter or longer than the shape, or side information is not one per row.
    pub fn new(shape: Shape, bytes: &'a [u8], side: &'a [Side<'a>]) -> Result<Self> {
        check_bytes(shape, bytes.len())?;
        match side.iter().find(|side| side.values().len() != shape.rows) {
            Some(side) => Err(Error::new(format!(
                "side information `{}`: expected {} values, one per row, found {}",
                side.name(),
                shape.rows,
                side.values().len()
            ))),
            None => Ok(Message { shape, bytes, side }),
        }
    }

    /// The message that crossed the boundary as `view`, if it lies in the host's memory.
    ///
    /// # Errors
    /// [`Error::Matrix`] when it lies elsewhere, without a look at its bytes, or has an unknown dtype; those of
    /// [`new`](Message::new).
    pub fn from_view(view: &MatrixView<'a>) -> Result<Self> {
        let (dtype, bytes) = view.contents()?;
        let shape = Shape { rows: view.rows(), channels: view.channels(), dtype };
        Message::new(shape, bytes, view.side())
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

    /// The raw little-endian bytes, row-major, without gaps.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All values, row-major `[rows, channels]`; borrowed when the dtype is f32.
    pub fn to_f32(&self) -> Cow<'a, [f32]> {
        if let Some(values) = self.as_f32() {
            return Cow::Borrowed(values);
        }
        let mut values = vec![0.0; self.shape.values()];
        widen(self.dtype(), self.bytes, &mut values);
        Cow::Owned(values)
    }

    /// Copies row `row` into `values`.
    ///
    /// # Panics
    /// When there is no such row or `values` has not [`channels`](Message::channels) elements.
    pub fn row_f32(&self, row: usize, values: &mut [f32]) {
        let bytes = self.shape.row_bytes();
        widen(self.dtype(), &self.bytes[row * bytes..][..bytes], values);
    }

    /// Calls `f(row, values)` for every row in order; without a copy when the dtype is f32.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn for_each_row(&self, mut f: impl FnMut(usize, &[f32]) -> Result<()>) -> Result<()> {
        let channels = self.channels();
        if let Some(values) = self.as_f32() {
            return (0..self.rows())
                .try_for_each(|row| f(row, &values[row * channels..][..channels]));
        }
        let mut values = vec![0.0; channels];
        (0..self.rows()).try_for_each(|row| {
            self.row_f32(row, &mut values);
            f(row, &values)
        })
    }

    /// Side information by name, one value per row; `None` when the host has none.
    pub fn side(&self, name: &str) -> Option<&'a [f32]> {
        self.side.iter().find(|side| side.name() == name).map(|side| side.values())
    }

    /// All side information, to pass on to a codec inside this one.
    pub fn sides(&self) -> &'a [Side<'a>] {
        self.side
    }

    /// The values in place, when they are f32 and aligned.
    fn as_f32(&self) -> Option<&'a [f32]> {
        match self.dtype() {
            Dtype::F32 => bytemuck::try_cast_slice(self.bytes).ok(),
            Dtype::F16 | Dtype::BF16 => None,
        }
    }
}

/// Checks that a buffer holds exactly this shape.
pub(crate) fn check_bytes(shape: Shape, found: usize) -> Result<()> {
    let expected = shape.checked_bytes();
    if expected == Some(found) {
        return Ok(());
    }
    Err(Error::new(format!(
        "message of {} rows of {} {} values: expected {} bytes, found {found}",
        shape.rows,
        shape.channels,
        shape.dtype,
        expected.map_or_else(|| "more than fits in memory".to_owned(), |n| n.to_string()),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_same_aligned_and_not() {
        let values: Vec<f32> = (0..15_u8).map(f32::from).collect();
        let shape = Shape { rows: 3, channels: 5, dtype: Dtype::F32 };
        let mut shifted = vec![0_u8];
        shifted.extend_from_slice(bytemuck::cast_slice(&values));
        for bytes in [bytemuck::cast_slice(&values), &shifted[1..]] {
            let message = Message::new(shape, bytes, &[]).unwrap();
            assert_eq!(message.to_f32().as_ref(), values);
            let mut rows = Vec::new();
            message
                .for_each_row(|_, row| {
                    rows.extend_from_slice(row);
                    Ok(())
                })
                .unwrap();
            assert_eq!(rows, values);
        }
    }

    #[test]
    fn wrong_lengths_are_errors() {
        let shape = Shape { rows: 2, channels: 2, dtype: Dtype::F16 };
        let error = Message::new(shape, &[0; 7], &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "message of 2 rows of 2 f16 values: expected 8 bytes, found 7"
        );
        let side = [Side::new("importance", &[1.0])];
        let error = Message::new(shape, &[0; 8], &side).unwrap_err();
        assert!(error.to_string().contains("one per row"), "{error}");
        let huge = Shape { rows: usize::MAX, channels: 2, dtype: Dtype::F32 };
        assert!(Message::new(huge, &[], &[]).is_err());
    }

    #[test]
    fn side_information_is_found_by_name() {
        let shape = Shape { rows: 2, channels: 1, dtype: Dtype::F32 };
        let side = [Side::new("importance", &[1.0, 2.0])];
        let message = Message::new(shape, &[0; 8], &side).unwrap();
        assert_eq!(message.side("importance"), Some(&[1.0, 2.0][..]));
        assert_eq!(message.side("other"), None);
    }
}
