//! The layout that most formats share: codes in rows, one scale per tile, and optionally a zero
//! point.

use super::codes::{Codes, Packing};
use super::grid::{Grid, Pattern};
use super::numbers::Precision;
use super::parts::{EXPORT_AGAIN, Part, Reader};
use super::{Layout, WeightsError};

/// A weight of codes and scales, whose shapes have been checked.
pub(super) struct Affine {
    pub(super) codes: CodesPart,
    pub(super) scale: ScalePart,
    pub(super) zeros: Zeros,
    /// The group of each input, if inputs were quantized in another order than they are stored in.
    pub(super) order: Option<Order>,
    pub(super) precision: Precision,
}

/// How codes are stored.
pub(super) enum CodesPart {
    Bytes(Part, &'static [f32; 256]),
    /// Two values per byte, the first in the low nibble.
    Nibbles(Part, [f32; 16]),
    /// Integers in words along the inputs; `2^(bits - 1)` is subtracted from each.
    Words {
        part: Part,
        words_per_row: usize,
        packing: Packing,
        offset: f32,
    },
}

/// How scales are stored, row-major over the tiles.
pub(super) struct ScalePart {
    pub(super) part: Part,
    pub(super) kind: ScaleKind,
    /// Rows and columns of the values that share a scale.
    pub(super) tile: [usize; 2],
    /// Number of tiles side by side.
    pub(super) per_row: usize,
}

/// What a stored scale means.
pub(super) enum ScaleKind {
    /// The scale is stored directly.
    Plain,
    /// The stored scale is rounded to the dtype in which the reference multiplies.
    Rounded,
    /// The byte is the exponent of two plus 127.
    PowerOfTwo,
    /// The byte is an F8_E4M3.
    E4M3,
    /// The stored scale is divided by one number of the tensor.
    Over(Part),
    /// The stored scale is multiplied by one number of the tensor.
    Times(Part),
}

/// How zero points are stored, in the order of the scales.
pub(super) enum Zeros {
    None,
    /// As plain numbers.
    Plain(Part),
    /// As plain numbers of a symmetric format, which must all be 0.
    Unused(Part),
    /// In words along the outputs, `[words, groups]`; `offset` is subtracted from each.
    Words {
        part: Part,
        outputs: usize,
        groups: usize,
        packing: Packing,
        offset: f32,
    },
}

/// The order in which inputs were quantized, if it differs from the stored one.
pub(super) struct Order {
    pub(super) part: Part,
    pub(super) groups: usize,
    pub(super) group_size: usize,
}

impl Layout for Affine {
    fn open<'a>(&'a self, reader: Reader<'a>) -> Result<(Codes<'a>, Grid), WeightsError> {
        let codes = match &self.codes {
            CodesPart::Bytes(part, values) => Codes::Bytes { bytes: reader.bytes(part)?, values },
            CodesPart::Nibbles(part, values) => {
                Codes::Nibbles { bytes: reader.bytes(part)?, values: *values, first_is_high: false }
            }
            CodesPart::Words { part, words_per_row, packing, offset } => Codes::Rows {
                words: reader.words(part)?,
                words_per_row: *words_per_row,
                packing: *packing,
                offset: *offset,
            },
        };
        let ScalePart { tile, per_row, .. } = self.scale;
        let scales = self.scale.read(&reader, self.precision)?;
        let mut grid = Grid::tiles(tile, per_row, scales, self.precision);
        grid.zeros = self.zeros.read(&reader)?;
        if let Some(order) = &self.order
            && let Some(group_of) = order.read(&reader)?
        {
            grid.pattern = Pattern::Listed { group_of, groups: order.groups };
        }
        Ok((codes, grid))
    }
}

impl ScalePart {
    fn read(&self, reader: &Reader<'_>, precision: Precision) -> Result<Vec<f32>, WeightsError> {
        let mut scales = match &self.kind {
            ScaleKind::PowerOfTwo => reader.powers_of_two(&self.part)?,
            ScaleKind::E4M3 => reader.e4m3(&self.part)?,
            _ => reader.numbers(&self.part)?,
        };
        match &self.kind {
            ScaleKind::Plain | ScaleKind::PowerOfTwo | ScaleKind::E4M3 => {}
            ScaleKind::Rounded => precision.round_all(&mut scales),
            ScaleKind::Over(part) => {
                let global = one_number(reader, part)?;
                if global == 0.0 {
                    return Err(reader.bad(part, "a number other than 0", "0", EXPORT_AGAIN));
                }
                scales.iter_mut().for_each(|scale| *scale /= global);
            }
            ScaleKind::Times(part) => {
                let global = one_number(reader, part)?;
                scales.iter_mut().for_each(|scale| *scale *= global);
            }
        }
        Ok(scales)
    }
}

fn one_number(reader: &Reader<'_>, part: &Part) -> Result<f32, WeightsError> {
    reader
        .numbers(part)?
        .first()
        .copied()
        .ok_or_else(|| reader.bad(part, "one number", "none", EXPORT_AGAIN))
}

impl Zeros {
    fn read(&self, reader: &Reader<'_>) -> Result<Option<Vec<f32>>, WeightsError> {
        match self {
            Self::None => Ok(None),
            Self::Plain(part) => reader.numbers(part).map(Some),
            Self::Unused(part) => {
                match reader.numbers(part)?.into_iter().find(|&zero| zero != 0.0) {
                    None => Ok(None),
                    Some(zero) => {
                        let expected = "zero points of 0, as the configuration says \"symmetric\"";
                        Err(reader.bad(part, expected, &zero.to_string(), EXPORT_AGAIN))
                    }
                }
            }
            Self::Words { part, outputs, groups, packing, offset } => {
                let words: &[[u8; 4]] = reader.words(part)?;
                let mut zeros = Vec::with_capacity(outputs * groups);
                for output in 0..*outputs {
                    for group in 0..*groups {
                        let zero = packing.get(output, |word| words[word * groups + group]);
                        zeros.push(zero as f32 - offset);
                    }
                }
                Ok(Some(zeros))
            }
        }
    }
}

impl Order {
    /// The group of each input, or `None` if the list is unused, which a -1 in it marks.
    fn read(&self, reader: &Reader<'_>) -> Result<Option<Vec<u32>>, WeightsError> {
        if reader.integers(&self.part)?.contains(&-1) {
            return Ok(None);
        }
        let group_of = reader.group_indices(&self.part, self.groups)?;
        let mut counts = vec![0usize; self.groups];
        group_of.iter().for_each(|&group| counts[group as usize] += 1);
        match counts.iter().position(|&count| count != self.group_size) {
            None => Ok(Some(group_of)),
            Some(group) => {
                let expected = format!("{} inputs in every group", self.group_size);
                let found = format!("{} in group {group}", counts[group]);
                Err(reader.bad(&self.part, &expected, &found, EXPORT_AGAIN))
            }
        }
    }
}
