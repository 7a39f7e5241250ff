//! AQLM checkpoints: every group of inputs is a sum of vectors, one from each codebook of the module.
//!
//! `codes` is `[out groups, in groups, codebooks]`, `codebooks` is `[codebooks, size, outputs of a group, inputs of
//! a group]`. `weight = (sum of vectors) * scale` in the dtype of the codebooks, with the sum, which is made in
//! f32, rounded before the product. There is one scale for each group of outputs.
//!
//! Source: aqlm 1.1.7 (`utils.py`).

use super::codes::Codes;
use super::grid::Grid;
use super::numbers::Precision;
use super::parts::{EXPORT_AGAIN, Module, Part, Reader};
use super::{Layout, Plan, WeightsError};

struct Aqlm {
    codes: Part,
    books: Part,
    scales: Part,
}

/// Codes and the vectors that they name, as [`Codes`] reads them.
pub(super) struct Sums<'a> {
    /// Bytes of the codes, little-endian and as many per code as its type has.
    codes: &'a [u8],
    /// Bytes per code, 1 or 2.
    width: usize,
    vectors: Vec<f32>,
    /// Codebooks, vectors in each, and outputs and inputs that a vector spans.
    shape: [usize; 4],
    precision: Precision,
}

/// Plans modules with codes and codebooks.
pub(super) fn plan(module: &Module<'_>) -> Result<Option<Plan>, WeightsError> {
    if !module.has("codes") && !module.has("codebooks") {
        return Ok(None);
    }
    let codes = module.need("codes", "aqlm")?;
    module.check_dtype(&codes, &["I8", "I16"])?;
    let books = module.need("codebooks", "aqlm")?;
    module.check_dtype(&books, &["F16", "BF16", "F32"])?;
    let (&[rows, groups, count], &[number, size, outputs, inputs]) =
        (codes.shape.as_slice(), books.shape.as_slice())
    else {
        let expected = "codes of three axes and codebooks of four";
        let found = format!("{} and {}", codes.describe(), books.describe());
        return Err(module.bad(&codes, expected, &found, EXPORT_AGAIN));
    };
    let most = if codes.dtype == "I8" { 1 << 8 } else { 1 << 16 };
    if count != number || !size.is_power_of_two() || size > most || outputs * inputs == 0 {
        let expected = format!("codebooks of {count} times a power of two up to {most} vectors");
        return Err(module.bad(&books, &expected, &books.describe(), EXPORT_AGAIN));
    }
    let scales = module.need("scales", "aqlm")?;
    module.check(&scales, &[books.dtype.as_str()], &[rows, 1, 1, 1])?;
    let shape = vec![rows.saturating_mul(outputs), groups.saturating_mul(inputs)];
    let format = format!("aqlm {count}x{} g{}", size.ilog2(), outputs * inputs);
    Ok(Some(Plan { format, shape, layout: Box::new(Aqlm { codes, books, scales }) }))
}

impl Layout for Aqlm {
    fn open<'a>(&'a self, reader: Reader<'a>) -> Result<(Codes<'a>, Grid), WeightsError> {
        let precision = self.books.precision();
        // The plan has seen four axes.
        let shape = <[usize; 4]>::try_from(self.books.shape.as_slice()).unwrap_or_default();
        let sums = Sums {
            codes: reader.bytes(&self.codes)?,
            width: if self.codes.dtype == "I8" { 1 } else { 2 },
            vectors: reader.numbers(&self.books)?,
            shape,
            precision,
        };
        let [_, _, outputs, inputs] = shape;
        let tile = [outputs, self.codes.shape[1] * inputs].map(|size| size.max(1));
        let grid = Grid::tiles(tile, 1, reader.numbers(&self.scales)?, precision);
        Ok((Codes::Sums(sums), grid))
    }
}

impl Sums<'_> {
    /// Writes the sums of rows `first..` of `columns` values each.
    pub(super) fn read(&self, first: usize, columns: usize, out: &mut [f32]) {
        let [books, size, outputs, inputs] = self.shape;
        let groups = columns / inputs;
        for (row, out) in out.chunks_mut(columns).enumerate() {
            let (group, within) = ((first + row) / outputs, (first + row) % outputs);
            out.fill(0.0);
            for (column, out) in out.chunks_mut(inputs).enumerate() {
                for book in 0..books {
                    let code = self.code((group * groups + column) * books + book) % size;
                    let vector = ((book * size + code) * outputs + within) * inputs;
                    let vector = &self.vectors[vector..vector + inputs];
                    out.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
                }
            }
            self.precision.round_all(out);
        }
    }

    /// A code, which is signed where it is stored and counts from 0 where it is used.
    fn code(&self, index: usize) -> usize {
        let bytes = &self.codes[index * self.width..][..self.width];
        match *bytes {
            [low, high] => usize::from(u16::from_le_bytes([low, high])),
            [byte] => usize::from(byte),
            _ => 0,
        }
    }
}
